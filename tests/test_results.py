import polars as pl
import pytest

from assets.lake import Lake
from orchestration import results
from orchestration.results import MEAN


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path / "lake"))


def publish(lake, run_id, *, method, seed, losses, created="2026-01-01T00:00:00+00:00", se=0.1):
    folder = lake.draft_folder("evaluations", run_id)
    pl.DataFrame(
        [
            {
                "run_id": run_id,
                "method": method,
                "seed": seed,
                "domain": domain,
                "loss_nats": loss,
                "loss_se": se,
                "perplexity": 1.0,
                "bits_per_byte": loss / 2,
                "bits_per_byte_se": se,
                "num_tokens": 100,
                "num_rows": 10,
            }
            for domain, loss in losses.items()
        ]
    ).write_parquet(folder / "scores.parquet")
    lake.publish(folder, asset="evaluations", partition=run_id, recipe={"created": created})


def three_seeds(lake, aioli=(-0.1, -0.2, -0.3)):
    for seed, (base, gain) in enumerate(zip((4.0, 4.4, 4.2), aioli, strict=True)):
        losses = {"code": base, "prose": 5.0}
        publish(lake, f"uniform-{seed}", method="uniform", seed=seed, losses=losses)
        losses = {"code": base + gain, "prose": 5.0 + 0.01 * (seed - 1)}
        publish(lake, f"aioli-{seed}", method="aioli", seed=seed, losses=losses)
    return results.read_evaluations(lake)


def test_no_evaluations_is_none_not_an_error(lake):
    assert results.read_evaluations(lake) is None


def test_t_interval_worked_by_hand():
    # mean 2, sd 1, n 3: t(0.975, 2) = 4.302653, reach 4.302653 / sqrt(3) = 2.484138
    assert results.t_interval([1.0, 2.0, 3.0]) == pytest.approx((-0.484138, 4.484138), abs=1e-6)


def test_t_interval_rejects_one_value():
    with pytest.raises(ValueError, match="at least two values, got 1"):
        results.t_interval([1.0])


def test_baseline_comes_first_and_mean_counts_domains_alike(lake):
    found = three_seeds(lake)
    assert found.methods == ["uniform", "aioli"]
    assert found.domains == ["code", "prose"]
    assert found.losses("uniform", MEAN) == pytest.approx({0: 4.5, 1: 4.7, 2: 4.6})
    mean = found.scores.filter(pl.col("run_id") == "uniform-0", pl.col("domain") == MEAN)
    # sqrt(0.1^2 + 0.1^2) / 2
    assert mean["loss_se"].item() == pytest.approx(0.0707107, abs=1e-6)


def test_an_unknown_standard_error_stays_unknown_in_the_mean(lake):
    publish(lake, "a", method="uniform", seed=0, losses={"code": 4.0, "prose": 5.0}, se=None)
    mean = results.read_evaluations(lake).scores.filter(pl.col("domain") == MEAN)
    assert mean["loss_se"].to_list() == [None]


def test_mean_over_seeds_worked_by_hand(lake):
    found = results.mean_over_seeds(three_seeds(lake), "uniform", "code")
    assert found.mean == pytest.approx(4.2)
    assert found.standard_error == pytest.approx(0.2 / 3**0.5)
    assert found.num_seeds == 3


def test_one_seed_has_no_standard_error(lake):
    publish(lake, "a", method="uniform", seed=0, losses={"code": 4.0})
    found = results.mean_over_seeds(results.read_evaluations(lake), "uniform", "code")
    assert (found.mean, found.standard_error, found.num_seeds) == (4.0, None, 1)


def test_mean_over_seeds_rejects_what_was_not_evaluated(lake):
    with pytest.raises(ValueError, match="no evaluation of 'odm' in 'code'"):
        results.mean_over_seeds(three_seeds(lake), "odm", "code")


def test_pairing_takes_out_what_a_seed_does_to_both(lake):
    found = results.paired_difference(three_seeds(lake), "aioli", "uniform", "code")
    assert found.by_seed == pytest.approx((-0.1, -0.2, -0.3))
    assert found.mean == pytest.approx(-0.2)
    # 0.1 / sqrt(3) * 4.302653 = 0.248414
    assert found.interval == pytest.approx((-0.448414, 0.048414), abs=1e-6)
    assert not found.significant
    assert not found.better


def test_only_common_seeds_are_paired_and_two_are_insufficient(lake):
    three_seeds(lake)
    for seed in (1, 2, 7):
        losses = {"code": 3.0, "prose": 3.0}
        publish(lake, f"odm-{seed}", method="odm", seed=seed, losses=losses)
    found = results.paired_difference(results.read_evaluations(lake), "odm", "uniform", "code")
    assert found.by_seed == pytest.approx((-1.4, -1.2))
    assert found.interval is None
    assert not found.significant


def test_best_method_must_beat_every_other_beyond_chance(lake):
    found = three_seeds(lake, aioli=(-0.20, -0.21, -0.22))
    assert results.best_method(found, "code") == "aioli"
    assert results.best_method(found, "prose") is None  # differences of -0.01, 0, 0.01
    assert results.best_method(found, MEAN) == "aioli"


def test_one_method_alone_is_never_the_best(lake):
    for seed in range(3):
        publish(lake, f"a{seed}", method="uniform", seed=seed, losses={"code": 4.0})
    assert results.best_method(results.read_evaluations(lake), "code") is None


def test_differences_to_baseline_cover_domains_and_mean(lake):
    found = results.differences_to_baseline(three_seeds(lake))
    assert [(one.method, one.domain) for one in found] == [
        ("aioli", "code"),
        ("aioli", "prose"),
        ("aioli", MEAN),
    ]


def test_without_the_baseline_there_are_no_differences(lake):
    publish(lake, "a", method="aioli", seed=0, losses={"code": 4.0})
    publish(lake, "b", method="odm", seed=0, losses={"code": 4.0})
    assert results.differences_to_baseline(results.read_evaluations(lake)) == []


def test_newest_of_two_runs_counts_and_the_other_is_named(lake):
    publish(lake, "old", method="uniform", seed=0, losses={"code": 9.0}, created="2026-01-01")
    publish(lake, "new", method="uniform", seed=0, losses={"code": 4.0}, created="2026-01-02")
    found = results.read_evaluations(lake)
    assert found.losses("uniform", "code") == {0: 4.0}
    assert found.excluded == (("old", "a newer run of uniform with seed 0 counts"),)


def test_other_domains_are_left_out_with_the_reason(lake):
    publish(lake, "old", method="aioli", seed=0, losses={"code": 1.0}, created="2026-01-01")
    losses = {"code": 4.0, "prose": 5.0}
    publish(lake, "new", method="uniform", seed=0, losses=losses, created="2026-01-02")
    found = results.read_evaluations(lake)
    assert found.methods == ["uniform"]
    assert found.excluded == (("old", "evaluated on other domains; they differ in: prose"),)


def test_run_ids_choose(lake):
    three_seeds(lake)
    found = results.read_evaluations(lake, ["aioli-1", "gone"])
    assert found.scores["run_id"].unique().to_list() == ["aioli-1"]
    assert results.read_evaluations(lake, ["gone"]) is None
