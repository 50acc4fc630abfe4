import numpy as np
import polars as pl
import pytest

from training.forked_runs import Forks, judge_forks, read_forks
from training.run_table import RunTable
from training.runs_csv import CsvColumns

A = np.array([[0.3, 0.05, -0.08], [0.02, 0.25, 0.0]])
BEFORE = np.array([3.0, 2.5])


def forks(num=10, noise=0.003, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(3), num)
    runs = RunTable(
        run_ids=tuple(f"f{number}" for number in range(num)),
        domains=("a", "b", "c"),
        eval_domains=("x", "y"),
        weights=weights,
        losses=BEFORE - weights @ A.T + rng.normal(0, noise, (num, 2)),
    )
    return Forks(runs=runs, before=np.tile(BEFORE, (num, 1)))


def test_known_drops_are_found_with_intervals_and_signs():
    found = judge_forks(forks(), num_refits=40)
    np.testing.assert_allclose(found.law.drops, A, atol=0.02)
    assert ((found.low <= found.law.drops) & (found.law.drops <= found.high)).all()
    assert found.signs()[0].tolist() == ["positive", "positive", "negative"]
    assert found.left_out_error_nats < 0.2 * found.mean_error_nats
    content = found.to_json()
    assert content["axes"] == ["eval", "train"]
    assert content["drops"]["x"]["c"] == found.law.drops[0, 2]
    assert content["drops_low"]["y"]["b"] < content["drops_high"]["y"]["b"]


def test_forks_that_are_all_noise_are_no_better_than_the_mean():
    still = forks(noise=0.5)
    found = judge_forks(still, num_refits=20)
    assert found.left_out_error_nats > found.mean_error_nats
    assert "none" in found.signs()


def test_rejects():
    with pytest.raises(ValueError, match="need 5 forks, one of which can be left out, got 4"):
        judge_forks(forks(4))
    with pytest.raises(ValueError, match="at least 20 refits, got 3"):
        judge_forks(forks(), num_refits=3)
    twice = forks(6)
    twice.runs.weights[2:] = twice.runs.weights[0]
    with pytest.raises(ValueError, match="tell the domains apart"):
        judge_forks(twice)
    thrice = forks(5)
    thrice.runs.weights[:] = np.eye(3)[[0, 1, 2, 0, 1]]
    with pytest.raises(ValueError, match="tell"):
        judge_forks(thrice)


def table(**changes):
    made = forks().runs
    columns = {"run_id": made.run_ids} | {
        f"p_{name}": made.weights[:, at] for at, name in enumerate("abc")
    }
    for at, name in enumerate("xy"):
        columns |= {f"loss_{name}": made.losses[:, at], f"initial_loss_{name}": [BEFORE[at]] * 10}
    return pl.DataFrame(columns | changes)


def test_a_table_of_forks_is_read(tmp_path):
    table().write_csv(tmp_path / "forks.csv")
    found, notes = read_forks(tmp_path / "forks.csv", CsvColumns())
    np.testing.assert_allclose(found.before, np.tile(BEFORE, (10, 1)))
    assert found.runs.eval_domains == ("x", "y")
    assert notes == ()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table().drop("initial_loss_y"), "no column initial_loss_y: the loss at the checkpoint"),
        (table(initial_loss_x=[0.0] * 10), r"row 1 .*column initial_loss_x: loss must be > 0"),
        (table(initial_loss_x=[None] * 10), r"row 1 .*column initial_loss_x: the loss is missing"),
    ],
)
def test_bad_tables_are_named(tmp_path, frame, message):
    frame.write_csv(tmp_path / "forks.csv")
    with pytest.raises(ValueError, match=message):
        read_forks(tmp_path / "forks.csv", CsvColumns())
