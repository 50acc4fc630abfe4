"""Trainings that end within one asset: proxies, skill runs, learners, runs that test transfer.

They train in the process of the Dagster run, in a work folder named by their configuration, so that
one that was interrupted goes on from its last checkpoint; what is published are its result and its
metrics, and its model only where another run reads it.
"""

import shutil
from pathlib import Path

import dagster as dg
import numpy as np

from assets.lake import Lake
from training.config import RunConfig
from training.run_result import RunResult

KEPT = ("result.json", "metrics.jsonl")


def train_small(
    run: RunConfig, lake: Lake, *, asset: str, draft: Path, keep_model: bool = False
) -> RunResult:
    """Train, and copy what is kept into a draft.

    Args:
        run: Its id is the partition of the asset.
        lake: With the work folders.
        asset: Name of the asset.
        draft: Folder of the version being written.
        keep_model: Whether the trained model is kept too.
    """
    from training.loop import train

    work = lake.work_folder(asset, run.run_id, run.digest())
    result = train(run, work)
    for file in KEPT:
        shutil.copy2(work / file, draft / file)
    if keep_model:
        shutil.copytree(work / "final", draft / "final")
    shutil.rmtree(work)
    return result


def small_run_metadata(
    result: RunResult,
) -> dict[str, int | float | dg.MetadataValue]:
    """Tokens, losses and realised shares for the UI."""
    losses = {name: round(held.loss_nats, 4) for name, held in result.heldout.items()}
    shares = {name: round(share, 4) for name, share in result.realised_shares.items()}
    return {
        "tokens": result.tokens,
        "mean_loss_nats": round(float(np.mean(list(losses.values()))), 4),
        "losses_nats": dg.MetadataValue.json(losses),
        "realised_shares": dg.MetadataValue.json(shares),
    }
