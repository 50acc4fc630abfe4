"""Gates in real Dagster runs, with two toy assets under real names."""

import json

import dagster as dg
import pytest

from assets.gate_checks import PARTITION_TAG, make_gate_check, run_gate
from assets.gates import GATES, GateOverride, require_gates
from assets.lake import Lake, publishing
from quality.gates import Criterion, GateCrashed, limit_check

CORPORA = dg.StaticPartitionsDefinition(["wiki", "forum"])


class Size(dg.Config):
    rows: int


@dg.asset(partitions_def=CORPORA, code_version="1")
def raw_corpora(context: dg.AssetExecutionContext, config: Size, lake: Lake):
    with publishing(context, lake, inputs=[]) as draft:
        (draft.folder / "rows.txt").write_text(str(config.rows))
    return draft.result({})


@dg.asset(partitions_def=CORPORA, deps=[raw_corpora], code_version="1")
def cleaned_shards(context: dg.AssetExecutionContext, config: GateOverride, lake: Lake):
    raw = lake.artifact("raw_corpora", context.partition_key)
    clearance = require_gates(context, lake, raw, overrides=config)
    with publishing(context, lake, inputs=[raw]) as draft:
        (draft.folder / "rows.txt").write_text("cleaned")
    return draft.result(clearance.metadata())


def judge(folder):
    """At least ten rows, at most a thousand as a warning; a negative number crashes."""
    rows = int((folder / "rows.txt").read_text())
    if rows < 0:
        raise GateCrashed("toy: 1 expectation(s) could not be evaluated")
    return (
        limit_check("rows", rows, at_least=10, examples=["few.txt"]),
        limit_check("not_too_many", rows, at_most=1000, severity="warning"),
    )


CHECK = make_gate_check(
    "raw_corpora", "raw_documents", description="Toy.", judge=judge, partitions_def=CORPORA
)


@pytest.fixture(autouse=True)
def _one_gate(monkeypatch):
    """The toy has one gate, whatever the real asset has."""
    monkeypatch.setitem(GATES, "raw_corpora", ("raw_documents",))


@pytest.fixture(scope="module")
def instance():
    """Dagster's record of runs in memory; only the lake outlives a run of these tests."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def materialise(instance, lake):
    """Run some of the toy graph on the partition `wiki`."""
    return launcher(instance, lake)


def launcher(instance, lake):
    def run(*names, rows=None, reason=None, tags=None, checks=True):
        config = {}
        selection = dg.AssetSelection.assets(*names)
        if not checks:
            selection = selection.without_checks()
        if rows is not None:
            config["raw_corpora"] = {"config": {"rows": rows}}
        if reason is not None:
            config["cleaned_shards"] = {"config": {"override_reason": reason}}
        return dg.materialize(
            [raw_corpora, cleaned_shards, CHECK],
            selection=selection,
            partition_key="wiki",
            run_config={"ops": config},
            instance=instance,
            resources={"lake": lake},
            tags=tags,
            raise_on_error=False,
        )

    return run


@pytest.fixture
def run_check(instance, lake):
    """Run the check alone, as a remedy says."""

    def run(tags):
        return dg.materialize(
            [raw_corpora, CHECK],
            selection=dg.AssetSelection.checks(CHECK),
            instance=instance,
            resources={"lake": lake},
            tags=tags,
            raise_on_error=False,
        )

    return run


def metadata(result, asset):
    (event,) = result.asset_materializations_for_node(asset)
    return {key: value.value for key, value in event.metadata.items()}


def failure(result, step):
    (event,) = [e for e in result.get_step_failure_events() if e.step_key == step]
    return event.step_failure_data


def test_a_passed_gate_lets_the_child_through_and_stores_its_report(materialise, lake):
    result = materialise("raw_corpora", "cleaned_shards", rows=50)
    assert result.success
    (evaluation,) = result.get_asset_check_evaluations()
    shown = {key: value.value for key, value in evaluation.metadata.items()}
    assert (evaluation.passed, evaluation.partition) == (True, "wiki")
    assert (shown["num_criteria"], shown["num_failed"]) == (3, 0)
    artifact = lake.artifact("raw_corpora", "wiki")
    assert shown["data_version"] == artifact.data_version
    stored = json.loads((lake.gate_folder(artifact) / "raw_documents.json").read_text())
    assert [row["name"] for row in stored["rows"]] == ["files_as_published", "rows", "not_too_many"]
    found = metadata(result, "cleaned_shards")
    assert (found["gates/required"], found["gates/overridden"]) == (1, 0)


def test_a_failed_gate_stops_the_child_in_the_same_run(materialise, lake):
    result = materialise("raw_corpora", "cleaned_shards", rows=3)
    assert not result.success
    assert result.asset_materializations_for_node("cleaned_shards") == []
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.blocking) == (False, True)
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    table = evaluation.metadata["criteria"].records
    assert table[1].data["expectation"] == "rows"
    assert table[1].data["examples"] == "few.txt"
    assert lake.find("raw_corpora", "wiki") is not None


def test_after_a_failed_gate_a_manual_materialisation_of_the_child_is_refused(tmp_path, lake):
    """On an instance that was closed and opened again, as a person would on another day."""
    home = tmp_path / "instance"
    home.mkdir()
    overrides = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as first:
        launcher(first, lake)("raw_corpora", "cleaned_shards", rows=3)
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as second:
        result = launcher(second, lake)("cleaned_shards")
    assert not result.success
    failed = failure(result, "cleaned_shards")
    message = failed.user_failure_data.description
    for part in (
        "raw_corpora[wiki]",
        lake.artifact("raw_corpora", "wiki").data_version,
        "gate raw_documents",
        "rows: observed 3, allowed >= 10, for example few.txt",
        "override_reason",
    ):
        assert part in message
    assert lake.find("cleaned_shards", "wiki") is None


def test_a_version_that_was_never_judged_is_refused_until_its_check_has_run(materialise, run_check):
    assert materialise("raw_corpora", rows=50, checks=False).success
    refused = materialise("cleaned_shards")
    message = failure(refused, "cleaned_shards").user_failure_data.description
    assert "never judged" in message
    assert "run the check" in message
    (evaluation,) = run_check({PARTITION_TAG: "wiki"}).get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.partition) == (True, "wiki")
    assert materialise("cleaned_shards").success


def test_a_check_that_is_launched_without_a_partition_says_so(run_check):
    message = failure(run_check({}), "raw_corpora_raw_documents").user_failure_data.description
    assert "launch it with the tag dagster/partition=<key>" in message


def test_an_override_goes_through_and_is_recorded_and_counted(materialise, lake):
    materialise("raw_corpora", rows=3)
    result = materialise(
        "cleaned_shards", reason="  three rows are the fixture  ", tags={"user": "ada"}
    )
    assert result.success
    found = metadata(result, "cleaned_shards")
    assert (found["gates/required"], found["gates/overridden"]) == (1, 1)
    assert found["gates/override_reason"] == "three rows are the fixture"
    assert found["gates/overridden_names"] == "raw_documents on raw_corpora[wiki]"
    artifact = lake.artifact("raw_corpora", "wiki")
    (file,) = (lake.gate_folder(artifact) / "overrides").iterdir()
    record = json.loads(file.read_text())
    assert record["who"] == "ada"
    assert record["run_id"] == result.run_id
    assert (record["consumer"], record["consumer_partition"]) == ("cleaned_shards", "wiki")
    assert record["reason"] == "three rows are the fixture"
    assert "rows: observed 3" in record["problem"]
    assert record["when"].endswith("+00:00")
    assert not list(artifact.folder.rglob("*override*"))


@pytest.mark.parametrize("reason", ["", "   "])
def test_an_override_without_a_reason_is_none(materialise, reason):
    materialise("raw_corpora", rows=3)
    assert not materialise("cleaned_shards", reason=reason).success


def test_a_warning_is_shown_and_counted_but_stops_nobody(materialise):
    result = materialise("raw_corpora", "cleaned_shards", rows=5000)
    assert result.success
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert metadata(result, "cleaned_shards")["gates/warned"] == 1


def test_a_crashed_gate_withdraws_the_earlier_verdict(materialise, lake):
    assert materialise("raw_corpora", rows=50).success

    def crash(folder):
        raise GateCrashed("toy: broken suite")

    with pytest.raises(GateCrashed, match="broken suite"):
        run_gate(lake, lake.artifact("raw_corpora", "wiki"), "raw_documents", crash)
    refused = materialise("cleaned_shards")
    message = failure(refused, "cleaned_shards").user_failure_data.description
    assert "never judged, or the gate crashed on it" in message


def test_a_crashed_gate_is_no_evaluation(materialise):
    result = materialise("raw_corpora", rows=-1)
    assert not result.success
    assert result.get_asset_check_evaluations() == []
    assert failure(result, "raw_corpora_raw_documents").error.cause.cls_name == "GateCrashed"


def test_the_verdict_of_one_version_says_nothing_about_the_next(materialise, lake):
    assert materialise("raw_corpora", rows=50).success
    draft = lake.draft_folder("raw_corpora", "wiki")
    (draft / "rows.txt").write_text("51")
    lake.publish(draft, asset="raw_corpora", partition="wiki", recipe={})
    assert not materialise("cleaned_shards").success


def test_a_file_changed_after_publishing_fails_the_gate(materialise, lake):
    assert materialise("raw_corpora", rows=50).success
    artifact = lake.artifact("raw_corpora", "wiki")
    (artifact.folder / "rows.txt").write_text("60")
    report = run_gate(lake, artifact, "raw_documents", judge)
    assert [(row.name, row.examples) for row in report.failed] == [
        ("files_as_published", ("rows.txt",))
    ]


@pytest.mark.parametrize("damage", ["not json", "another version"])
def test_a_report_that_is_none_or_about_something_else_is_refused(materialise, lake, damage):
    assert materialise("raw_corpora", rows=50).success
    artifact = lake.artifact("raw_corpora", "wiki")
    path = lake.gate_folder(artifact) / "raw_documents.json"
    content = json.loads(path.read_text())
    changed = json.dumps({**content, "data_version": "0" * 32})
    path.write_text("{" if damage == "not json" else changed)
    assert not materialise("cleaned_shards").success


def test_a_profile_of_older_inputs_is_refused(lake):
    def publish(asset, partition, text, **recipe):
        draft = lake.draft_folder(asset, partition)
        (draft / "a.txt").write_text(text)
        return lake.publish(draft, asset=asset, partition=partition, recipe=recipe)

    def passed(folder):
        return (Criterion(name="toy", passed=True, observed=1, limit="1"),)

    old = publish("token_shards", "code", "old")
    profile = publish(
        "shard_profile", None, "profile", inputs={"token_shards[code]": old.data_version}
    )
    new = publish("token_shards", "code", "new")
    for artifact, gate in ((profile, "whole_corpus"), (old, "token_tables"), (new, "token_tables")):
        run_gate(lake, artifact, gate, passed)

    def consume(shards):
        @dg.asset
        def swarm(context: dg.AssetExecutionContext):
            require_gates(context, lake, profile, shards, overrides=GateOverride())

        return dg.materialize([swarm], raise_on_error=False)

    assert consume(old).success
    message = failure(consume(new), "swarm").user_failure_data.description
    assert "passed for other versions of token_shards[code]" in message


def test_a_gate_that_nobody_would_require_cannot_be_made():
    with pytest.raises(ValueError, match="'raw_document' of 'raw_corpora' is not in GATES"):
        make_gate_check("raw_corpora", "raw_document", description="Misspelt.")
