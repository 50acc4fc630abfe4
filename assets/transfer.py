"""Group mixture, beside the law: does what the proxies say hold at a second, larger scale?

Loaded where the preset has a `transfer` section. A few mixtures of the swarm are trained again at
the larger scale, each repeating its data as often as the proxies and the target do; the ranks at
both scales are compared, and the law's level is corrected by those runs.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace

import dagster as dg
import polars as pl

from assets.gates import GateOverride, require_gates
from assets.gpu_pool import POOL
from assets.lake import Artifact, Lake, publishing, write_json
from assets.mixing import admitted_runs, exclusion_table, finished_proxies, mixing_law
from assets.partitions import DOMAINS, OWNERS, PRESET, offer_runs, transfer_run_partitions
from assets.pictures import picture
from assets.plots import plot_swarm
from assets.presets import RunShape, TransferStudy, config_digest
from assets.proxies import proxy_runs, swarm
from assets.run_configs import proxy_config, shard_digests, token_artifacts
from assets.small_trainings import small_run_metadata, train_small
from assets.tables import table_metadata
from assets.tokens import token_shards
from assets.transfer_pictures import draw_transfer
from training.arrays import Floats
from training.fitted_laws import FittedLaws
from training.run_table import Exclusion, RunTable
from training.scale_transfer import (
    ScaleTransfer,
    choose_spread_rows,
    judge_transfer,
    measure_scale_transfer,
)
from training.swarm import Swarm, read_swarm, run_key, write_swarm

GROUP = "mixture"
FILE = "transfer.json"


def _study() -> tuple[TransferStudy, RunShape]:
    """The study of the preset, and the scale it trains at."""
    assert PRESET.transfer is not None, "these assets are loaded where there is a study"
    return PRESET.transfer, PRESET.transfer.shape or PRESET.target


@dg.asset(
    group_name=GROUP,
    deps=[swarm, dg.AssetDep(token_shards, partition_mapping=dg.AllPartitionMapping())],
    kinds={"numpy"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.transfer, PRESET.target)}",
)
def transfer_mixtures(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Mixtures of the swarm that lie farthest apart, to be trained again at the larger scale."""
    study, shape = _study()
    design = lake.artifact("swarm")
    shards = token_artifacts(lake)
    spec = {"shape": config_digest(shape), "shards": shard_digests(shards)}
    with publishing(context, lake, inputs=[design, *shards.values()]) as draft:
        mixtures = read_swarm(design.folder)
        rows = choose_spread_rows(mixtures.weights, study.num_mixtures).tolist()
        chosen = _chosen(mixtures, rows, spec)
        write_swarm(chosen, draft.folder)
    offer_runs(context.instance, transfer_run_partitions, chosen.run_ids)
    return draft.result(
        {
            "dagster/row_count": len(rows),
            "tokens_per_run": shape.num_tokens,
            "proxies": table_metadata(
                pl.DataFrame(
                    {
                        "run_id": chosen.run_ids,
                        "proxy": [mixtures.run_ids[row] for row in rows],
                        "origin": chosen.origins,
                    }
                )
            ),
            "picture": picture(plot_swarm(chosen.run_ids, chosen.domains, chosen.weights)),
        }
    )


def _chosen(mixtures: Swarm, rows: list[int], spec: Mapping[str, object]) -> Swarm:
    """Rows of a swarm under names of their own, in the order of the choice."""
    specs = [
        {**spec, "weights": mixtures.weights[row].tolist(), "seed": mixtures.seeds[row]}
        for row in rows
    ]
    return Swarm(
        domains=mixtures.domains,
        run_ids=tuple(run_key(f"transfer-{at:03d}", each) for at, each in enumerate(specs)),
        seeds=tuple(mixtures.seeds[row] for row in rows),
        origins=tuple(mixtures.origins[row] for row in rows),
        weights=mixtures.weights[rows],
        notes=(),
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=transfer_run_partitions,
    deps=[
        transfer_mixtures,
        dg.AssetDep(token_shards, partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"pytorch"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
)
def transfer_runs(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """One mixture of the swarm trained at the larger scale: held-out loss of every domain."""
    _, shape = _study()
    run_id = context.partition_key
    mixtures = read_swarm(lake.artifact("transfer_mixtures").folder)
    shards = token_artifacts(lake)
    clearance = require_gates(context, lake, *shards.values(), overrides=config)
    if run_id not in mixtures.run_ids:
        raise dg.Failure(
            f"{run_id} is not among the current mixtures: materialise transfer_mixtures, then "
            "its runs",
            allow_retries=False,
        )
    row = mixtures.run_ids.index(run_id)
    run = replace(
        proxy_config(run_id, mixtures.weights[row], mixtures.seeds[row], shards),
        model=shape.model,
        schedule=shape.schedule,
        evaluation=shape.evaluation,
        checkpoint=shape.checkpoint,
        epoch_share=shape.num_tokens / PRESET.target.num_tokens,
    )
    with publishing(context, lake, inputs=list(shards.values())) as draft:
        result = train_small(run, lake, asset="transfer_runs", draft=draft.folder)
    return draft.result({**clearance.metadata(), **small_run_metadata(result)})


@dg.asset(
    group_name=GROUP,
    deps=[
        mixing_law,
        transfer_mixtures,
        dg.AssetDep(proxy_runs, partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(transfer_runs, partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"scipy"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.transfer)}",
)
def law_transfer(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Whether ranks of proxies and law hold at the larger scale, and how far off the level is."""
    study, shape = _study()
    law, design = lake.artifact("mixing_law"), lake.artifact("swarm")
    chosen = lake.artifact("transfer_mixtures")
    proxies = finished_proxies(lake, design)
    finished = finished_proxies(lake, chosen, asset="transfer_runs")
    shards = token_artifacts(lake)
    with publishing(context, lake, inputs=[law, design, chosen, *proxies, *finished]) as draft:
        small, _ = admitted_runs(lake, design, shards, proxies)
        large, excluded = admitted_runs(lake, chosen, shards, finished, steps=shape.schedule.steps)
        found = _measure(FittedLaws.from_json(law.json("law.json")), small, large, design, chosen)
        verdict = judge_transfer(found, study.gate)
        write_json(draft.folder / FILE, {**found.to_json(), "gate": verdict.to_json()})
    return draft.result(_metadata(found, excluded))


def _measure(
    laws: FittedLaws, small: RunTable, large: RunTable, design: Artifact, chosen: Artifact
) -> ScaleTransfer:
    try:
        return measure_scale_transfer(
            laws,
            replace(small, weights=_requested(small, design)),
            replace(large, weights=_requested(large, chosen)),
            realised=large.weights,
        )
    except ValueError as error:
        raise dg.Failure(
            f"{error}; materialise transfer_runs and proxy_runs", allow_retries=False
        ) from error


def _requested(table: RunTable, design: Artifact) -> Floats:
    """Shares that the design asked for: the same at both scales, unlike those realised."""
    mixtures = read_swarm(design.folder)
    columns = [mixtures.domains.index(name) for name in DOMAINS]
    rows = [mixtures.run_ids.index(run_id) for run_id in table.run_ids]
    return mixtures.weights[rows][:, columns].reshape(-1, len(columns))


def _metadata(
    found: ScaleTransfer, excluded: list[Exclusion]
) -> dict[str, int | float | str | dg.MetadataValue]:
    rank, by_law = found.runs.average.rank, found.law.average.rank
    level = found.average_level
    return {
        "mixtures": found.runs.num_mixtures,
        "rank": "none: one scale is constant" if rank is None else rank.value,
        "rank_interval": "none" if rank is None else f"{rank.low:.3f} to {rank.high:.3f}",
        "rank_of_the_law": "none: the law is constant" if by_law is None else by_law.value,
        "regret_nats": found.runs.average.regret_nats,
        "level_error_before_nats": level.before_nats,
        "level_error_after_nats": level.after_nats,
        "level": table_metadata(
            pl.DataFrame([{"domain": name, **asdict(one)} for name, one in found.level.items()])
        ),
        "recalibrated_by": table_metadata(
            pl.DataFrame(
                {
                    "runs": range(1, len(found.left_after) + 1),
                    "error_of_the_others_nats": found.left_after,
                }
            )
        ),
        "excluded_runs": table_metadata(exclusion_table(excluded)),
        "picture": picture(draw_transfer(found)),
    }


@dg.asset_check(
    asset=law_transfer,
    description="The ranking of mixtures at the small scale holds at the larger one.",
)
def ranking_transfers(lake: Lake) -> dg.AssetCheckResult:
    """Show the stored verdict; nothing is blocked, for the plan has gates of its own."""
    gate = lake.artifact("law_transfer").json(FILE)["gate"]
    assert isinstance(gate, dict)
    failed = [row for row in gate["rows"] if not row["passed"]]
    told = [f"{row['name']}: {row['observed']}, wanted {row['limit']}" for row in failed]
    return dg.AssetCheckResult(
        passed=gate["passed"],
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(told) or None,
        metadata={"criteria": table_metadata(pl.DataFrame(gate["rows"]))},
    )
