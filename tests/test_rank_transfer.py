import numpy as np
import pytest

from training.rank_transfer import measure_rank_transfer
from training.run_table import RunTable

WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
SMALL = np.column_stack([WEIGHTS @ np.array([3.0, 4, 5]), WEIGHTS @ np.array([5.0, 4.5, 2])])


def table(weights, losses, domains="abc", names=("x", "y")):
    return RunTable(
        run_ids=tuple(f"run{number}" for number in range(len(weights))),
        domains=tuple(domains),
        eval_domains=tuple(names),
        weights=weights,
        losses=losses,
    )


def test_the_same_ranking_at_another_level_transfers_whatever_the_order_of_rows_and_columns():
    order = np.random.default_rng(1).permutation(20)
    large = table(WEIGHTS[order][:, [2, 0, 1]], SMALL[order][:, ::-1] - 1.5, "cab", ("y", "x"))
    report = measure_rank_transfer(table(WEIGHTS, SMALL), large)
    assert report.num_mixtures == 20
    for one in report.per_domain.values():
        assert one.rank.value == pytest.approx(1.0)
        assert (one.regret_nats, one.top_overlap) == (pytest.approx(0), 1.0)
    assert report.to_json()["average"]["rank"]["value"] == pytest.approx(1.0)


def test_an_unrelated_ranking_has_an_interval_around_zero_and_a_regret():
    noise = np.random.default_rng(3).normal(3, 0.1, (20, 2))
    report = measure_rank_transfer(table(WEIGHTS, SMALL), table(WEIGHTS, noise))
    x = report.per_domain["x"]
    assert x.rank.low < 0 < x.rank.high
    pick = SMALL[:, 0].argmin()
    assert x.regret_nats == pytest.approx(noise[pick, 0] - noise[:, 0].min())


def test_repeats_are_averaged_and_strangers_left_out():
    large = np.vstack([WEIGHTS[:8], WEIGHTS[:1], [[0.0, 0.0, 1.0]]])
    losses = np.vstack([SMALL[:8], SMALL[:1] + 0.5, [[1.0, 1.0]]])
    losses[0] -= 0.5
    report = measure_rank_transfer(table(WEIGHTS, SMALL), table(large, losses))
    assert report.num_mixtures == 8
    assert report.per_domain["x"].rank.value == pytest.approx(1.0)


def test_a_constant_side_has_no_rank():
    flat = np.full((20, 2), 3.0)
    assert measure_rank_transfer(table(WEIGHTS, SMALL), table(WEIGHTS, flat)).average.rank is None


def test_rejects():
    small = table(WEIGHTS, SMALL)
    with pytest.raises(ValueError, match="domains differ"):
        measure_rank_transfer(small, table(WEIGHTS, SMALL, "abd"))
    with pytest.raises(ValueError, match="no evaluation domain"):
        measure_rank_transfer(small, table(WEIGHTS, SMALL, names=("u", "v")))
    with pytest.raises(ValueError, match="needs 4 mixtures at both scales, got 3"):
        measure_rank_transfer(small, table(WEIGHTS[:3], SMALL[:3]))
