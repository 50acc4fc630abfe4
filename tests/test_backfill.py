"""A swarm whose backfill was interrupted: what is done stays, what is missing is made."""

import json
import shutil
from io import StringIO
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from assets.partitions import current_partitions
from orchestration import deployments
from orchestration.demo import materialise_all, stale_partitions
from orchestration.execution import Task, run_task

pytestmark = pytest.mark.timeout(900)  # the first test to run makes the graph
PROXIES = dg.AssetKey("proxy_runs")
NUM_DONE = 9


def manifests(lake):
    return {key: lake.artifact("proxy_runs", key).manifest for key in lake.partitions("proxy_runs")}


def values(manifests, name):
    return {key: manifest[name] for key, manifest in manifests.items()}


@pytest.fixture
def lake(made_home):
    return deployments.lake()


@pytest.fixture
def interrupted(lake):
    """A backfill from nothing: some proxies were made, then a training died; keys of the done."""
    keys = current_partitions(lake, "proxy_runs")
    original = manifests(lake)
    with deployments.instance() as instance:
        instance.wipe_assets([PROXIES])
    home = Path(lake.root, "artifacts", "proxy_runs")
    for key in keys[NUM_DONE:]:
        shutil.rmtree(home / key)
    for key in keys[:NUM_DONE]:  # made by the backfill, in runs with ids of their own
        pointer = home / key / "current.json"
        pointer.write_text(json.dumps({**original[key], "run_id": f"backfill-{key}"}))
    with deployments.instance() as instance:
        for key in keys[:NUM_DONE]:
            instance.report_runless_asset_event(dg.AssetMaterialization(PROXIES, partition=key))
    return keys[:NUM_DONE]


def test_an_interrupted_run_leaves_no_version_and_is_still_to_be_made(
    lake, interrupted, monkeypatch
):
    missing = [key for key in current_partitions(lake, "proxy_runs") if key not in interrupted]

    def press_control_c(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.loop.train", press_control_c)
    with pytest.raises(KeyboardInterrupt):
        run_task(Task(assets=("proxy_runs",), partition=missing[0]))
    assert lake.partitions("proxy_runs") == sorted(interrupted)
    assert not list(Path(lake.root, "artifacts", "proxy_runs", missing[0]).iterdir())
    with deployments.instance() as instance:
        assert instance.get_materialized_partitions(PROXIES) == set(interrupted)
    stale = stale_partitions(lake)
    assert {key for asset, key, _ in stale if asset == "proxy_runs"} == set(missing)


def test_only_what_is_missing_is_made_and_comes_out_the_same(made_graph, lake, interrupted):
    whole = {
        key: json.loads(path.read_text())
        for path in Path(made_graph.home, "ci", "lake", "artifacts", "proxy_runs").glob("*/*.json")
        for key in [path.parent.name]
    }
    before = manifests(lake)
    # the law was made from the same losses, so nothing else is stale
    assert materialise_all(lake, Console(file=StringIO())) == len(whole) - NUM_DONE
    after = manifests(lake)
    assert {key: after[key] for key in interrupted} == before
    assert values(after, "data_version") == values(whole, "data_version")
    made = {key: manifest for key, manifest in after.items() if key not in interrupted}
    assert not set(values(made, "run_id").values()) & set(values(whole, "run_id").values())
    with deployments.instance() as instance:
        assert instance.get_materialized_partitions(PROXIES) == set(whole)
        succeeded = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
    assert set(values(made, "run_id").values()) <= {run.run_id for run in succeeded}
