"""The whole graph, made once: preset ci on the fixture corpora."""

import shutil
import warnings
from dataclasses import dataclass, replace
from io import StringIO
from itertools import product
from pathlib import Path

import dagster as dg
import pytest


@dataclass(frozen=True, kw_only=True)
class MadeGraph:
    """What the session's one run of the graph left; read-only."""

    home: Path
    """MIXWRIGHT_HOME."""
    log: str
    """What `materialise_all` printed the first time."""
    num_runs: tuple[int, int]
    """Dagster runs of the first call, and of the one after the overrides."""
    overridden: tuple[str, ...]
    """Artifacts made in spite of a failed gate, for the runs are too small for a law."""


def _materialise_overridden(asset, partition):
    from orchestration import deployments
    from orchestration.execution import QUIET, definitions, first_error

    options = {asset: {"config": {"override_reason": "runs of this size support no law"}}}
    job = definitions().resolve_implicit_global_asset_job_def()
    with deployments.instance() as instance:
        result = job.execute_in_process(
            run_config={**QUIET, "ops": options},
            instance=instance,
            partition_key=partition,
            asset_selection=[dg.AssetKey(asset)],
            raise_on_error=False,
        )
    found = deployments.lake().find(asset, partition)
    assert found is not None, first_error(result)
    return found.name


@pytest.fixture(scope="session")
def made_graph(tmp_path_factory):
    """Everything from raw corpora to costs, as `mixwright demo --preset ci` makes it."""
    from rich.console import Console

    from assets.partitions import TRAINING_RUNS
    from orchestration import demo, deployments

    home = tmp_path_factory.mktemp("made_graph")
    console = Console(file=StringIO(), width=200)
    overridden = []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Dagster's own Pipes session reads it.
        warnings.filterwarnings("ignore", message="AssetExecutionContext.run_id is deprecated")
        patch.setenv("MIXWRIGHT_HOME", str(home))
        # Imports cost a worker more than all it trains here; test_backfill has workers.
        stages = tuple(replace(stage, num_workers=1) for stage in demo.STAGES)
        patch.setattr(demo, "STAGES", stages)
        lake = deployments.lake()
        first = demo.materialise_all(lake, console)
        planned = [key for key, run in TRAINING_RUNS.items() if run.needs_plan]
        for asset, partition in (("training_plan", None), *product(["training_runs"], planned)):
            if lake.find(asset, partition) is None:
                overridden.append(_materialise_overridden(asset, partition))
        second = demo.materialise_all(lake, console)
    return MadeGraph(
        home=home,
        log=console.file.getvalue(),
        num_runs=(first, second),
        overridden=tuple(overridden),
    )


@pytest.fixture
def made_home(made_graph, tmp_path, monkeypatch):
    """A copy of the made graph as MIXWRIGHT_HOME; the test may change it."""
    home = shutil.copytree(made_graph.home, tmp_path / "home")
    monkeypatch.setenv("MIXWRIGHT_HOME", str(home))
    return home
