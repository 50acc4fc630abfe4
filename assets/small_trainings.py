"""Trainings that end within one asset: proxies, skill runs, runs that test transfer.

They train in the process of the Dagster run, in a work folder named by their configuration, so that
one that was interrupted goes on from its last checkpoint; what is published are its result and its
metrics, not its model.
"""

import shutil
from pathlib import Path

import dagster as dg
import numpy as np

from assets.lake import Lake
from training.config import RunConfig
from training.run_result import RunResult

KEPT = ("result.json", "metrics.jsonl")


def train_small(run: RunConfig, lake: Lake, *, asset: str, draft: Path) -> RunResult:
    """Train, and copy what is kept into a draft.

    Args:
        run: Its id is the partition of the asset.
        lake: With the work folders.
        asset: Name of the asset.
        draft: Folder of the version being written.
    """
    from training.loop import train

    work = lake.work_folder(asset, run.run_id, run.digest())
    result = train(run, work)
    for file in KEPT:
        shutil.copy2(work / file, draft / file)
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
