"""Opens a training run of the lake for tracing: its ledger, and the shards it was made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assets.lake import Artifact, Lake

if TYPE_CHECKING:
    from training.run_trace import TracedRun

ASSET = "token_shards"


def open_lake_run(lake: Lake, run_id: str) -> "TracedRun":
    """Open the current version of a training run.

    Args:
        lake: Where it is.
        run_id: Partition of `training_runs`.

    Raises:
        ValueError: There is no such run, or a version of its shards is gone.
    """
    from training.run_result import read_result
    from training.run_trace import TracedRun, read_drawn

    found = lake.find("training_runs", run_id)
    if found is None:
        known = ", ".join(lake.partitions("training_runs")) or "none"
        raise ValueError(f"no run {run_id!r} in the lake, which has {known}")
    result = read_result(found.folder / "result.json")
    shards = _shard_folders(lake, found)
    ledger, weights = read_drawn(found.folder, tuple(sorted(shards)), finished=True)
    drawn = int(weights.select("rows").sum().collect().item())
    return TracedRun(
        ledger=ledger,
        weights=weights,
        shards=shards,
        context_tokens=result.tokens // drawn,
        result=result,
    )


def _shard_folders(lake: Lake, run: Artifact) -> dict[str, Path]:
    """Domain -> folder of the version of its shards that the run consumed."""
    inputs = run.manifest["inputs"]
    assert isinstance(inputs, Mapping)
    folders = {}
    for name, version in inputs.items():
        if name.startswith(f"{ASSET}["):
            domain = name.removeprefix(f"{ASSET}[").removesuffix("]")
            folders[domain] = Path(lake.root, "artifacts", ASSET, domain, version)
            if not folders[domain].is_dir():
                raise ValueError(
                    f"{folders[domain]}: this version of {name} is gone, the lake keeps the newest "
                    f"ones; materialise {run.name} again, then it can be explained"
                )
    return folders
