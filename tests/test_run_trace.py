"""Step to documents and back, checked against the tokens that the steps really read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assets.lake import Lake
from assets.lake_runs import open_lake_run
from orchestration.cli import app
from training.ledger import read_ledger
from training.loop import train
from training.run_trace import TracedRun
from training.shards import TokenShards

T = 16


@pytest.fixture(scope="module")
def run_folder(tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("traced") / "run"
    train(tiny_run, out)
    return out


def invoke(*arguments):
    return CliRunner().invoke(app, ["explain", *map(str, arguments)], env={"COLUMNS": "160"})


def test_a_step_is_its_rows_of_the_ledger_with_the_documents_in_them(run_folder, tiny_run):
    trace = TracedRun.open(run_folder).step(7)
    ledger = read_ledger(run_folder / "ledger").filter(pl.col("step") == 7)
    told = [(seen.slot, seen.domain, seen.row, seen.epoch) for seen, _ in trace.rows]
    assert told == ledger.select("slot", "domain", "row", "epoch").rows()
    assert [one.domain for one in trace.domains] == list(tiny_run.domains)
    assert {one.domain: one.rows for one in trace.domains} == dict(
        ledger["domain"].value_counts().iter_rows()
    )
    for seen, spans in trace.rows:
        assert sum(span.num_tokens for span in spans) == T + 1
        assert spans[0].row_start == 0
        row = TokenShards.open(Path(tiny_run.domains[seen.domain], "train")).rows(
            np.array([seen.row]), T
        )[0]
        ends = [span.row_start + span.num_tokens for span in spans[:-1]]
        assert (row[[end - 1 for end in ends]] == 0).all()  # a document ends with token 0


def test_there_and_back(run_folder):
    """Every document of a step names that step, with the same row."""
    traced = TracedRun.open(run_folder)
    for seen, spans in traced.step(24).rows:
        for span in spans:
            assert seen in traced.document(span.document_id).seen


def test_a_document_never_drawn_and_one_held_out(run_folder):
    traced = TracedRun.open(run_folder)
    trace = traced.document("doc-1-0")  # the fixture gives both splits the same ids
    assert trace.domains == trace.heldout_domains == ("blue",)
    assert trace.rows == {"blue": 3}  # 41 tokens from 0: rows 0, 1, 2 of 16
    unseen = [
        name for name in (f"doc-1-{number}" for number in range(60)) if not _seen(traced, name)
    ]
    drawn = {name for step in range(1, 25) for name in _documents(traced, step)}
    assert set(unseen).isdisjoint(drawn)


def _seen(traced, name):
    return traced.document(name).seen


def _documents(traced, step):
    return [span.document_id for _, spans in traced.step(step).rows for span in spans]


def test_a_stopped_run_is_explained_up_to_its_checkpoint(tiny_run, tmp_path, run_folder):
    out = tmp_path / "stopped"
    seen = []
    train(tiny_run, out, on_progress=seen.append, should_stop=lambda: len(seen) == 8)
    stopped, whole = TracedRun.open(out), TracedRun.open(run_folder)
    assert stopped.step(8) == whole.step(8)
    with pytest.raises(ValueError, match="--step 9: the ledger has the steps 1 to 8"):
        stopped.step(9)


def test_a_damaged_checkpoint_is_not_believed(tiny_run, tmp_path, run_folder, caplog):
    """A flipped bit in the rows it holds, which still reads as rows; then half a file."""
    out = tmp_path / "stopped"
    seen = []
    train(tiny_run, out, on_progress=seen.append, should_stop=lambda: len(seen) == 8)
    tensors = out / "checkpoints/step-00000008/tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    header = int.from_bytes(content[:8], "little")
    begin, _ = json.loads(content[8 : 8 + header])["ledger.rows"]["data_offsets"]
    content[8 + header + begin + 3 * 8] ^= 1
    for damaged in (content, content[: len(content) // 2]):
        tensors.write_bytes(damaged)
        assert TracedRun.open(out).step(5) == TracedRun.open(run_folder).step(5)
        with pytest.raises(ValueError, match="--step 8: the ledger has the steps 1 to 5"):
            TracedRun.open(out).step(8)
    assert "step-00000008 is damaged" in caplog.text


def test_refusals(run_folder, tmp_path, tiny_run):
    traced = TracedRun.open(run_folder)
    with pytest.raises(ValueError, match="no domain of the run holds it"):
        traced.document("nobody")
    with pytest.raises(ValueError, match=r"no config\.json of a run"):
        TracedRun.open(tmp_path)
    out = tmp_path / "changed"
    train(replace(tiny_run, schedule=replace(tiny_run.schedule, steps=3)), out)
    result = json.loads((out / "result.json").read_text())
    result["shard_digests"]["green"] = "0" * 64
    (out / "result.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match="domain 'green' are not those"):
        TracedRun.open(out)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text((run_folder / "config.json").read_text())
    with pytest.raises(ValueError, match="drew nothing yet"):
        TracedRun.open(tmp_path / "begun")


def test_the_command_says_it_in_tables_and_json(run_folder):
    told = json.loads(invoke(run_folder, "--step", 2, "--json").stdout)
    assert (told["step"], len(told["rows"])) == (2, 6)
    name = told["rows"][0]["documents"][0]["document_id"]
    back = json.loads(invoke(run_folder, "--document", name, "--json").stdout)
    assert 2 in [seen["step"] for seen in back["seen"]]
    assert name in invoke(run_folder, "--step", 2).stdout
    assert "were drawn" in invoke(run_folder, "--document", name).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --step N or --document ID"),
        (("--step", 2, "--document", "x"), "give either --step N or --document ID"),
        (("--step", 99), "--step 99: the ledger has the steps 1 to 24"),
    ],
)
def test_bad_input_is_one_line(run_folder, arguments, message):
    result = invoke(run_folder, *arguments)
    assert (result.exit_code, result.stderr) == (2, f"error: {message}\n")


def test_a_path_that_is_not_there_is_no_run_of_the_lake(tmp_path):
    result = invoke(tmp_path / "gone", "--step", 1)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path}/gone: no such folder; ")


@pytest.fixture
def lake(tmp_path, tiny_run, run_folder):
    """A lake with the shards of the run and the run, as the assets publish them."""
    lake = Lake(root=str(tmp_path / "lake"))
    versions = {}
    for domain, folder in tiny_run.domains.items():
        draft = lake.draft_folder("token_shards", domain)
        shutil.copytree(folder, draft, dirs_exist_ok=True)
        found = lake.publish(draft, asset="token_shards", partition=domain, recipe={})
        versions[found.name] = found.data_version
    draft = lake.draft_folder("training_runs", "tiny")
    shutil.copytree(run_folder / "ledger", draft / "ledger")
    shutil.copy(run_folder / "result.json", draft)
    lake.publish(
        draft, asset="training_runs", partition="tiny", recipe={"inputs": {**versions, "plan": "x"}}
    )
    return lake


def test_a_run_of_the_lake_tells_the_same(lake, run_folder):
    traced, there = open_lake_run(lake, "tiny"), TracedRun.open(run_folder)
    assert traced.step(5) == there.step(5)
    assert traced.document("doc-13-4") == there.document("doc-13-4")


def test_a_run_of_the_lake_needs_the_version_of_its_shards(lake):
    with pytest.raises(ValueError, match="no run 'other' in the lake, which has tiny"):
        open_lake_run(lake, "other")
    shutil.rmtree(lake.artifact("token_shards", "red").folder)
    with pytest.raises(ValueError, match=r"this version of token_shards\[red\] is gone"):
        open_lake_run(lake, "tiny")
