"""Group mixture, first half: the designed mixtures and one small training for each."""

from dataclasses import asdict

import dagster as dg
import numpy as np
import polars as pl

from assets.gates import GateOverride, require_gates
from assets.gpu_pool import POOL
from assets.lake import Artifact, Lake, publishing
from assets.partitions import DOMAINS, OWNERS, PRESET, offer_runs, proxy_run_partitions
from assets.pictures import picture
from assets.plots import plot_swarm
from assets.presets import config_digest
from assets.run_configs import (
    offered_tokens,
    proxy_config,
    shard_digests,
    token_artifacts,
    train_tokens,
)
from assets.small_trainings import small_run_metadata, train_small
from assets.tables import table_metadata
from assets.tokens import shard_profile, token_shards
from training.arrays import Floats
from training.epoching import DomainEpochs, availability_caps, compare_epochs
from training.swarm import design_swarm, read_swarm, write_swarm

GROUP = "mixture"


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(token_shards, partition_mapping=dg.AllPartitionMapping()), shard_profile],
    kinds={"numpy"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.swarm, PRESET.proxy, PRESET.target, PRESET.plan)}",
)
def swarm(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Designed mixtures, one proxy run each; materialising it adds the runs as partitions."""
    shards = token_artifacts(lake)
    profile = lake.artifact("shard_profile")
    clearance = require_gates(context, lake, profile, *shards.values(), overrides=config)
    tokens = train_tokens(shards)
    natural = np.array(list(tokens.values()), dtype=np.float64) / sum(tokens.values())
    budget = PRESET.target.num_tokens
    epochs = _compare_epochs(shards)
    caps = _caps(tokens, budget)
    spec = {"proxy": config_digest(PRESET.proxy), "shards": shard_digests(shards)}
    with publishing(context, lake, inputs=[profile, *shards.values()]) as draft:
        design = design_swarm(DOMAINS, natural, PRESET.swarm, caps=caps, spec=spec)
        write_swarm(design, draft.folder)
    offer_runs(context.instance, proxy_run_partitions, design.run_ids)
    return draft.result(
        {
            **clearance.metadata(),
            "dagster/row_count": len(design.run_ids),
            "notes": "; ".join(design.notes) or "none",
            "epochs": table_metadata(pl.DataFrame([asdict(row) for row in epochs])),
            "picture": picture(plot_swarm(design.run_ids, design.domains, design.weights)),
        }
    )


def _compare_epochs(shards: dict[str, Artifact]) -> tuple[DomainEpochs, ...]:
    """Epochs of each domain in a proxy and in the target run, both on the natural mixture."""
    tokens = train_tokens(shards)
    return compare_epochs(
        {domain: count / sum(tokens.values()) for domain, count in tokens.items()},
        offered_tokens=offered_tokens(shards),
        available_tokens=tokens,
        proxy_tokens=PRESET.proxy.num_tokens,
        target_tokens=PRESET.target.num_tokens,
    )


@dg.asset_check(
    asset=swarm,
    description="A proxy repeats every domain about as often as the target run will.",
)
def epochs_agree(lake: Lake) -> dg.AssetCheckResult:
    """Compare them; a domain of few rows cannot be cut to the right share, which only warns."""
    rows = _compare_epochs(token_artifacts(lake))
    told = [
        f"{row.domain}: {row.proxy_epochs:.3g} in a proxy, {row.target_epochs:.3g} in the target"
        for row in rows
        if not row.agrees
    ]
    return dg.AssetCheckResult(
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(told) or None,
        metadata={"epochs": table_metadata(pl.DataFrame([asdict(row) for row in rows]))},
    )


def _caps(tokens: dict[str, int], budget: int) -> Floats | None:
    """Largest share of each domain under the plan's limit on epochs."""
    if PRESET.plan.max_epochs is None:
        return None
    caps = availability_caps(tokens, budget_tokens=budget, max_epochs=PRESET.plan.max_epochs)
    return np.array([caps[domain] for domain in DOMAINS])


@dg.asset(
    group_name=GROUP,
    partitions_def=proxy_run_partitions,
    deps=[swarm, dg.AssetDep(token_shards, partition_mapping=dg.AllPartitionMapping())],
    kinds={"pytorch"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
)
def proxy_runs(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """One small training on one mixture of the swarm: held-out loss of every domain."""
    run_id = context.partition_key
    design = lake.artifact("swarm")
    shards = token_artifacts(lake)
    clearance = require_gates(context, lake, *shards.values(), overrides=config)
    mixtures = read_swarm(design.folder)
    if run_id not in mixtures.run_ids:
        raise dg.Failure(
            f"{run_id} is not in the current swarm: materialise swarm, then its proxy runs",
            allow_retries=False,
        )
    row = mixtures.run_ids.index(run_id)
    run = proxy_config(run_id, mixtures.weights[row], mixtures.seeds[row], shards)
    with publishing(context, lake, inputs=list(shards.values())) as draft:
        result = train_small(run, lake, asset="proxy_runs", draft=draft.folder)
    return draft.result({**clearance.metadata(), **small_run_metadata(result)})
