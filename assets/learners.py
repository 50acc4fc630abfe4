"""Group mixture: weights learnt by proxy runs for the training runs, as in DoReMi and DoGE.

    reference_runs [run]  a small model on a fixed mixture, which doremi measures against
    weight_runs    [run]  a proxy run that weighs the loss of the domains: its mean weights
    training_runs  [run]  method `learned`: samples from them

Loaded where the preset has a `learners` section. All have the shape of the proxies; the seed of a
training run is that of its proxy and of its reference.
"""

import dagster as dg
import polars as pl

from assets.gates import GateOverride, require_gates
from assets.gpu_pool import POOL
from assets.lake import Lake, publishing
from assets.partitions import (
    OWNERS,
    REFERENCE_RUNS,
    WEIGHT_RUNS,
    reference_run_partitions,
    reference_to_weights,
    weight_run_partitions,
)
from assets.run_configs import small_config, token_artifacts
from assets.small_trainings import train_small
from assets.tables import table_metadata
from assets.tokens import token_shards
from training.run_result import RunResult

GROUP = "mixture"
_SHARDS = dg.AssetDep(token_shards, partition_mapping=dg.AllPartitionMapping())


@dg.asset(
    group_name=GROUP,
    partitions_def=reference_run_partitions,
    deps=[_SHARDS],
    kinds={"pytorch"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
)
def reference_runs(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """A small model that a proxy run compares its losses with."""
    run = REFERENCE_RUNS[context.partition_key]
    shards = token_artifacts(lake)
    clearance = require_gates(context, lake, *shards.values(), overrides=config)
    settings = small_config(run.key, run.mixer, run.seed, shards)
    with publishing(context, lake, inputs=list(shards.values())) as draft:
        result = train_small(
            settings, lake, asset="reference_runs", draft=draft.folder, keep_model=True
        )
    return draft.result({**clearance.metadata(), **_metadata(result)})


@dg.asset(
    group_name=GROUP,
    partitions_def=weight_run_partitions,
    deps=[_SHARDS, dg.AssetDep(reference_runs, partition_mapping=reference_to_weights)],
    kinds={"pytorch"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
)
def weight_runs(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """A proxy run whose mean loss weights a training run samples from."""
    run = WEIGHT_RUNS[context.partition_key]
    shards = token_artifacts(lake)
    inputs = list(shards.values())
    clearance = require_gates(context, lake, *inputs, overrides=config)
    reference = None
    if run.reference is not None:
        reference = lake.artifact("reference_runs", run.reference.key)
        inputs.append(reference)
    settings = small_config(run.key, run.learner.mixer, run.seed, shards, reference=reference)
    with publishing(context, lake, inputs=inputs) as draft:
        result = train_small(settings, lake, asset="weight_runs", draft=draft.folder)
    return draft.result({**clearance.metadata(), **_metadata(result)})


def _metadata(result: RunResult) -> dict[str, int | float | dg.TableMetadataValue]:
    learned = result.learned_weights or {}
    rows = [
        {
            "domain": domain,
            "drawn": result.realised_shares[domain],
            "loss_nats": held.loss_nats,
            "learned_weight": learned.get(domain),
        }
        for domain, held in result.heldout.items()
    ]
    return {"tokens": result.tokens, "domains": table_metadata(pl.DataFrame(rows))}
