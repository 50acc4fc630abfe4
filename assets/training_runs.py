"""Group training: one run per method and seed, in a process of its own."""

import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
from pydantic import TypeAdapter

from assets.domain_text import weights_by_score
from assets.gates import GateOverride, require_gates
from assets.gpu_pool import POOL
from assets.lake import Artifact, Lake, publishing, write_json
from assets.launchers.training_launcher import TrainingLauncher
from assets.mixing import planned_weights, training_plan
from assets.partitions import (
    OWNERS,
    PRESET,
    TRAINING_RUNS,
    WEIGHT_RUNS,
    training_run_partitions,
    weights_to_training,
)
from assets.pictures import training_losses_picture, weights_picture
from assets.presets import config_digest
from assets.run_configs import target_config, token_artifacts, train_tokens
from assets.tables import table_metadata
from assets.tokens import token_shards
from training.config import RunConfig
from training.run_result import RunResult, read_result

GROUP = "training"
RUN_CONFIG_FILE = "config.json"
PUBLISHED = ("final", "ledger", "metrics.jsonl", "result.json")
"""What a finished run leaves: no timings, so an interrupted run publishes the same bytes."""

LEARNED_WEIGHTS = (
    [dg.AssetDep("weight_runs", partition_mapping=weights_to_training)] if WEIGHT_RUNS else []
)
"""Where the preset has learners, the runs whose weights the method `learned` trains on."""


@dg.asset(
    group_name=GROUP,
    partitions_def=training_run_partitions,
    deps=[
        dg.AssetDep(token_shards, partition_mapping=dg.AllPartitionMapping()),
        training_plan,
        *LEARNED_WEIGHTS,
    ],
    kinds={"pytorch"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.target)}",
    pool=POOL,
)
def training_runs(
    context: dg.AssetExecutionContext,
    config: GateOverride,
    lake: Lake,
    launcher: TrainingLauncher,
) -> dg.MaterializeResult[None]:
    """A trained model, its ledger of every row drawn, and its metrics; resumes where it stopped."""
    run = TRAINING_RUNS[context.partition_key]
    shards = token_artifacts(lake)
    inputs: list[Artifact] = list(shards.values())
    planned = learned = None
    if run.weight_run is not None:
        learned = lake.artifact("weight_runs", run.weight_run.key)
        inputs.append(learned)
    if run.needs_plan:
        plan = lake.artifact("training_plan")
        planned = planned_weights(plan)
        inputs.append(plan)
    elif run.follows_score:
        planned = weights_by_score(shards, train_tokens(shards))
    clearance = require_gates(context, lake, *inputs, overrides=config)
    config_of_run = target_config(run, shards, planned, learned)
    work = lake.work_folder("training_runs", run.key, config_of_run.digest())
    with publishing(context, lake, inputs=inputs) as draft:
        config_file = work / RUN_CONFIG_FILE
        # At once: a trainer that holds the folder may be reading the file.
        write_json(config_file, TypeAdapter(RunConfig).dump_python(config_of_run, mode="json"))
        launcher.launch(context, config_file=config_file, out=work)
        for name in PUBLISHED:
            copy = shutil.copytree if (work / name).is_dir() else shutil.copy2
            copy(work / name, draft.folder / name)
        draft.extra_cost = _gpu_cost(work)
    assert draft.artifact is not None
    shutil.rmtree(work)
    result = read_result(draft.artifact.folder / "result.json")
    return draft.result(
        {
            **clearance.metadata(),
            "method": run.label,
            "seed": run.seed,
            "tokens": result.tokens,
            "parameters": result.num_parameters,
            "mean_loss_nats": float(np.mean([held.loss_nats for held in result.heldout.values()])),
            "domains": table_metadata(_domain_table(result)),
            "losses": training_losses_picture(draft.artifact),
            "sampling_weights": weights_picture(draft.artifact),
        }
    )


def _gpu_cost(work: Path) -> dict[str, float]:
    """Seconds on a GPU of all attempts, from the run's own timings; a very short run has none."""
    timings = work / "timings.jsonl"
    if not timings.exists():
        return {}
    return {"gpu_seconds": float(pl.read_ndjson(timings)["gpu_seconds"].sum())}


def _domain_table(result: RunResult) -> pl.DataFrame:
    """What a run asked for, drew, repeated and reached, by domain."""
    return pl.DataFrame(
        [
            {
                "domain": domain,
                "requested": round(result.requested_weights[domain], 4),
                "realised": round(result.realised_shares[domain], 4),
                "epochs": round(result.epochs[domain], 3),
                "loss_nats": round(held.loss_nats, 4),
            }
            for domain, held in result.heldout.items()
        ]
    )
