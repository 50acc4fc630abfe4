"""Accepted versions, the drift gate in real Dagster runs, and the command that accepts."""

import json

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from assets.baselines import FIRST, accept, judge_drift, read_baselines
from assets.gate_checks import make_gate_check, run_gate
from assets.gates import GATES, GateOverride, require_gates
from assets.lake import Lake, publishing
from orchestration.cli import app
from quality.gates import Criterion, GateCrashed

CORPORA = dg.StaticPartitionsDefinition(["wiki"])
TEXT = "A plain English sentence about the weather in the north of the country, number {}."


class Size(dg.Config):
    rows: int


@dg.asset(partitions_def=CORPORA, code_version="1")
def raw_corpora(context: dg.AssetExecutionContext, config: Size, lake: Lake):
    with publishing(context, lake, inputs=[]) as draft:
        texts = [TEXT.format(number) for number in range(config.rows)]
        pl.DataFrame({"text": texts}).write_parquet(draft.folder / "documents.parquet")
    return draft.result({})


@dg.asset(partitions_def=CORPORA, deps=[raw_corpora], code_version="1")
def cleaned_shards(context: dg.AssetExecutionContext, config: GateOverride, lake: Lake):
    raw = lake.artifact("raw_corpora", context.partition_key)
    clearance = require_gates(context, lake, raw, overrides=config)
    with publishing(context, lake, inputs=[raw]) as draft:
        (draft.folder / "made_from.txt").write_text(raw.data_version)
    return draft.result(clearance.metadata())


CHECK = make_gate_check(
    "raw_corpora",
    "raw_drift",
    description="Toy.",
    judge_version=judge_drift,
    partitions_def=CORPORA,
)


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def refresh(lake, monkeypatch):
    """Re-make the toy graph with some number of documents."""
    monkeypatch.setitem(GATES, "raw_corpora", ("raw_drift",))
    with dg.DagsterInstance.ephemeral() as instance:

        def run(rows):
            return dg.materialize(
                [raw_corpora, cleaned_shards, CHECK],
                partition_key="wiki",
                run_config={"ops": {"raw_corpora": {"config": {"rows": rows}}}},
                instance=instance,
                resources={"lake": lake},
                raise_on_error=False,
            )

        yield run


def publish(lake, rows, asset="raw_corpora", **recipe):
    draft = lake.draft_folder(asset, "wiki")
    texts = [TEXT.format(number) for number in range(rows)]
    pl.DataFrame({"text": texts}, schema={"text": pl.String}).write_parquet(
        draft / "documents.parquet"
    )
    return lake.publish(draft, asset=asset, partition="wiki", recipe=recipe)


def verdicts(rows):
    return {row.name: (row.passed, row.severity) for row in rows if row.name != "readable"}


def test_a_corpus_that_shrank_stops_what_follows_until_it_is_accepted(refresh, lake):
    first = refresh(300)
    (evaluation,) = first.get_asset_check_evaluations()
    assert first.success
    assert (
        "the first version is accepted"
        in evaluation.metadata["criteria"].records[2].data["observed"]
    )
    good = lake.artifact("cleaned_shards", "wiki")

    shrunk = refresh(30)
    assert not shrunk.success
    assert shrunk.asset_materializations_for_node("cleaned_shards") == []
    (evaluation,) = shrunk.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.blocking) == (False, True)
    assert "document_ratio: observed 0.1, allowed >= 0.5 and <= 2" in evaluation.description
    assert "300 then, 30 now" in evaluation.description
    assert evaluation.metadata["observed/document_ratio"].value == 0.1
    assert lake.artifact("cleaned_shards", "wiki").data_version == good.data_version

    accept(lake, lake.artifact("raw_corpora", "wiki"), reason="the forum closed")
    assert refresh(31).success
    assert lake.artifact("cleaned_shards", "wiki").data_version != good.data_version


def test_small_steps_do_not_move_the_baseline(lake):
    assert verdicts(judge_drift(lake, publish(lake, 300))) == {"baseline": (True, "error")}
    assert all(row.passed for row in judge_drift(lake, publish(lake, 200)))
    found = verdicts(judge_drift(lake, publish(lake, 130)))
    assert found["document_ratio"] == (False, "error")
    assert [entry.reason for entry in read_baselines(lake, "raw_corpora", "wiki")] == [FIRST]


def test_the_accepted_version_is_never_pruned(lake):
    first = publish(lake, 300)
    judge_drift(lake, first)
    for rows in (30, 31, 32, 33):
        publish(lake, rows)
    assert first.folder.is_dir()
    versions = [path for path in first.folder.parent.iterdir() if path.is_dir()]
    assert len(versions) == 3


def test_other_settings_explain_a_change_of_what_is_made_from_a_judged_input(lake):
    same = {"code_version": "1", "settings": "a"}
    judge_drift(lake, publish(lake, 300, "cleaned_shards", **same))
    other = publish(lake, 30, "cleaned_shards", **{**same, "settings": "b"})
    assert verdicts(judge_drift(lake, other))["document_ratio"] == (False, "warning")
    unexplained = publish(lake, 29, "cleaned_shards", **same)
    assert verdicts(judge_drift(lake, unexplained))["document_ratio"] == (False, "error")
    judge_drift(lake, publish(lake, 300, settings="a"))
    raw = publish(lake, 30, settings="b")  # the settings of a source tell of its files only
    assert verdicts(judge_drift(lake, raw))["document_ratio"] == (False, "error")


def test_a_first_version_that_failed_another_gate_is_no_baseline(lake):
    broken = publish(lake, 3)
    judge_drift(lake, broken)
    row = Criterion(name="toy", passed=False, observed=3, limit=">= 10")
    run_gate(lake, broken, "raw_documents", lambda _: (row,))
    assert verdicts(judge_drift(lake, publish(lake, 300))) == {"baseline": (True, "error")}
    assert read_baselines(lake, "raw_corpora", "wiki")[-1].snapshot.num_documents == 300


def test_an_empty_or_damaged_version_fails(lake):
    assert verdicts(judge_drift(lake, publish(lake, 0))) == {"baseline": (False, "error")}
    assert read_baselines(lake, "raw_corpora", "wiki") == []
    damaged = publish(lake, 5)
    (damaged.folder / "documents.parquet").write_bytes(b"PAR1")
    assert [(row.name, row.passed) for row in judge_drift(lake, damaged)] == [("readable", False)]


def test_acceptance_needs_a_reason_a_drift_gate_and_documents(lake):
    version = publish(lake, 5)
    with pytest.raises(ValueError, match="say why"):
        accept(lake, version, reason=" ")
    with pytest.raises(ValueError, match="tokenizer has no drift gate"):
        accept(lake, publish(lake, 5, "tokenizer"), reason="x")
    with pytest.raises(ValueError, match="empty version"):
        accept(lake, publish(lake, 0), reason="x")


def test_a_damaged_record_is_an_error_of_the_gate(lake):
    version = publish(lake, 5)
    lake.baseline_path("raw_corpora", "wiki").write_text('[{"who": "ada"}]')
    with pytest.raises(ValueError, match=r"accepted.json: not a list of accepted versions"):
        read_baselines(lake, "raw_corpora", "wiki")
    with pytest.raises(GateCrashed, match=r"accepted.json"):
        judge_drift(lake, version)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Call `mixwright accept` on an empty home; returns result and lake."""
    from orchestration import deployments

    monkeypatch.setenv("MIXWRIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", "")

    def call(*words):
        return CliRunner().invoke(app, ["accept", *words])

    return call, deployments.lake()


def test_the_command_accepts_and_the_gate_passes(command):
    from assets.partitions import CATALOGUE

    call, lake = command
    corpus = next(iter(CATALOGUE))

    def publish_rows(rows):
        draft = lake.draft_folder("raw_corpora", corpus)
        texts = [TEXT.format(number) for number in range(rows)]
        pl.DataFrame({"text": texts}).write_parquet(draft / "documents.parquet")
        return lake.publish(draft, asset="raw_corpora", partition=corpus, recipe={})

    judge_drift(lake, publish_rows(300))
    shrunk = publish_rows(30)
    report = run_gate(lake, shrunk, "raw_drift", lambda _: judge_drift(lake, shrunk))
    assert report.stops_consumers
    result = call("raw_corpora", "--partition", corpus, "--reason", "closed", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["data_version"], told["reason"]) == (shrunk.data_version, "closed")
    assert (told["num_documents"], told["gate_passed"]) == (30, True)
    stored = json.loads((lake.gate_folder(shrunk) / "raw_drift.json").read_text())
    assert stored["passed"] is True
    baselines = read_baselines(lake, "raw_corpora", corpus)
    assert [(entry.reason, entry.snapshot.num_documents) for entry in baselines] == [
        (FIRST, 300),
        ("closed", 30),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("raw_corpora", "-P", "nowhere", "--reason", "x"), "was never materialised"),
        (("tokenizer", "-P", "x", "--reason", "x"), "was never materialised"),
    ],
)
def test_the_command_refuses_what_is_not_there(command, words, message):
    call, _ = command
    result = call(*words)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
