import numpy as np
import polars as pl
import pytest

from training import ledger as module
from training.ledger import Ledger, read_ledger, read_weights
from training.sampler import Sampler

DOMAINS = ("code", "web")
SAMPLER = Sampler(DOMAINS, np.array([5, 9]), seed=1, batch_rows=3)


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(module, "STEPS_PER_PART", 4)


def plans(num_steps):
    state, found = SAMPLER.initial(), []
    for _ in range(num_steps):
        plan, state = SAMPLER.plan(state, np.array([0.25, 0.75]))
        found.append(plan)
    return found


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(folder, num_steps):
    ledger = Ledger(folder, DOMAINS)
    for step, plan in enumerate(plans(num_steps), start=1):
        ledger.append(step, plan)
    return ledger


def test_holds_every_row_and_weight(tmp_path):
    write(tmp_path, 10).finish()
    assert sorted(content(tmp_path)) == [
        f"{kind}-0000000{first}.parquet" for kind in ("part", "weights") for first in (1, 5, 9)
    ]
    rows, weights = read_ledger(tmp_path), read_weights(tmp_path)
    assert rows.columns == ["step", "slot", "domain", "row", "epoch"]
    found = rows.rows()
    expected = [
        (step, slot, DOMAINS[domain], row, epoch)
        for step, plan in enumerate(plans(10), start=1)
        for slot, (domain, row, epoch) in enumerate(
            zip(plan.domain_index.tolist(), plan.rows.tolist(), plan.epochs.tolist(), strict=True)
        )
    ]
    assert found == expected
    assert weights.filter(domain="web")["requested"].to_list() == [0.75] * 10
    assert weights.filter(domain="web")["applied"].to_list() == [0.75] * 10
    assert weights.group_by("step").agg(pl.col("rows").sum())["rows"].to_list() == [3] * 10


@pytest.mark.parametrize("cut", range(1, 10))
def test_resumed_after_any_step_writes_the_same_bytes(tmp_path, cut):
    write(tmp_path / "straight", 10).finish()
    all_plans = plans(10)
    tensors = write(tmp_path / "cut", cut).pending()
    assert len(tensors["ledger.rows"]) == cut % 4 * 3
    lost = Ledger.resume(tmp_path / "cut", DOMAINS, step=cut, tensors=tensors)
    for step in range(cut + 1, 11):  # an attempt that dies without another checkpoint
        lost.append(step, all_plans[step - 1])
    resumed = Ledger.resume(tmp_path / "cut", DOMAINS, step=cut, tensors=tensors)
    for step in range(cut + 1, 11):
        resumed.append(step, all_plans[step - 1])
    resumed.finish()
    assert content(tmp_path / "cut") == content(tmp_path / "straight")


def test_a_new_ledger_removes_an_old_one(tmp_path):
    write(tmp_path, 10).finish()
    write(tmp_path, 3).finish()
    assert read_ledger(tmp_path)["step"].max() == 3


def test_whole_parts_end_without_an_empty_one(tmp_path):
    write(tmp_path, 8).finish()
    assert len(content(tmp_path)) == 4


def test_the_folder_may_be_gone_where_nothing_was_in_it(tmp_path):
    tensors = write(tmp_path / "a", 3).pending()
    resumed = Ledger.resume(tmp_path / "b", DOMAINS, step=3, tensors=tensors)
    resumed.finish()
    assert len(read_ledger(tmp_path / "b")) == 9


def test_missing_part_is_named(tmp_path):
    tensors = write(tmp_path, 6).pending()
    (tmp_path / "part-00000001.parquet").unlink()
    with pytest.raises(ValueError, match=r"part-00000001\.parquet is missing, the checkpoint of"):
        Ledger.resume(tmp_path, DOMAINS, step=6, tensors=tensors)
