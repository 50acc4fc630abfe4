"""Group skills, second half: what training on one domain, or on two, does to every other.

Loaded where the preset has a `skills` section. The runs have the shape of the proxies; every seed
trains on each domain alone, on each two half and half if pairs are asked for, and on the natural
mixture, which tells whether a domain is a skill at all.
"""

import json
from dataclasses import replace

import dagster as dg
import numpy as np
import polars as pl

from assets.gates import GateOverride, require_gates
from assets.gpu_pool import POOL
from assets.lake import Artifact, Lake, publishing, write_json
from assets.partitions import DOMAINS, OWNERS, PRESET, SKILL_RUNS, SkillRun, skill_run_partitions
from assets.pictures import picture
from assets.plots import plot_skill_graph
from assets.presets import config_digest
from assets.run_configs import proxy_config, token_artifacts, train_tokens
from assets.small_trainings import train_small
from assets.tables import table_metadata
from assets.tokens import token_shards
from training.arrays import Floats
from training.run_result import RunResult, read_result
from training.skill_graph import SkillGraph, learn_skill_graph
from training.skill_runs import arrange_skill_runs

GROUP = "skills"


@dg.asset(
    group_name=GROUP,
    partitions_def=skill_run_partitions,
    deps=[dg.AssetDep(token_shards, partition_mapping=dg.AllPartitionMapping())],
    kinds={"pytorch"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
)
def skill_runs(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """One small training on one domain, on two, or on all: held-out losses before and after."""
    run = SKILL_RUNS[context.partition_key]
    shards = token_artifacts(lake)
    clearance = require_gates(context, lake, *shards.values(), overrides=config)
    settings = proxy_config(run.key, _weights(run, train_tokens(shards)), run.seed, shards)
    # An evaluation before the first step: a graph needs the losses from which all runs start.
    before = replace(settings.evaluation, every_steps=settings.schedule.steps)
    settings = replace(settings, evaluation=before)
    with publishing(context, lake, inputs=list(shards.values())) as draft:
        result = train_small(settings, lake, asset="skill_runs", draft=draft.folder)
    return draft.result(
        {
            **clearance.metadata(),
            "trained_on": " and ".join(run.trained) or "the natural mixture",
            "seed": run.seed,
            "losses_nats": dg.MetadataValue.json(
                {name: round(held.loss_nats, 4) for name, held in result.heldout.items()}
            ),
        }
    )


def _weights(run: SkillRun, tokens: dict[str, int]) -> Floats:
    """Shares in the order of the domains: equal among the trained ones, natural for none."""
    amounts = tokens if not run.trained else {name: name in run.trained for name in DOMAINS}
    shares = np.array([amounts[name] for name in DOMAINS], dtype=np.float64)
    return shares / float(shares.sum())


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(skill_runs, partition_mapping=dg.AllPartitionMapping())],
    kinds={"numpy"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.skills)}",
)
def skill_graph(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Which domain's data lowers which domain's loss, and whether an order of them can help."""
    found = [lake.find("skill_runs", key) for key in SKILL_RUNS]
    runs = [artifact for artifact in found if artifact is not None]
    with publishing(context, lake, inputs=runs) as draft:
        graph = _learn(runs)
        write_json(draft.folder / "graph.json", graph.to_json())
    drawing = plot_skill_graph(graph.trained, graph.evaluated, graph.matrix(), graph.signs())
    return draft.result(
        {
            "verdict": graph.diagnosis.verdict,
            "advice": graph.diagnosis.advice,
            "density": graph.diagnosis.density,
            "runs": len(graph.used),
            "edges": table_metadata(pl.DataFrame(graph.edges)),
            "skills": table_metadata(pl.DataFrame(graph.skills)),
            "picture": picture(drawing),
        }
    )


def _learn(runs: list[Artifact]) -> SkillGraph:
    """The graph of the finished runs; a missing one, or one on other data, is named."""
    results = [read_result(run.folder / "result.json") for run in runs]
    if not results:
        raise dg.Failure("no skill run was made: materialise skill_runs first")
    for result in results[1:]:
        if result.shard_digests != results[0].shard_digests:
            raise dg.Failure(
                f"{result.run_id} and {results[0].run_id} trained on different token shards: "
                "materialise the older of them again"
            )
    rows = [_row(result, run) for result, run in zip(results, runs, strict=True)]
    try:
        return learn_skill_graph(arrange_skill_runs(pl.DataFrame(rows)))
    except ValueError as error:
        raise dg.Failure(f"skill runs give no graph: {error}") from error


def _row(result: RunResult, artifact: Artifact) -> dict[str, str | int | float]:
    """A line of the table that `mixwright skill-graph` reads."""
    run = SKILL_RUNS[result.run_id]
    first = json.loads((artifact.folder / "metrics.jsonl").read_text().split("\n", 1)[0])
    row: dict[str, str | int | float] = {"run_id": run.key, "seed": run.seed, "steps": result.steps}
    row["kind"] = "skill" if run.trained else "random"
    for name in DOMAINS:
        row[f"p_{name}"] = result.realised_shares[name]
        row[f"loss_{name}"] = result.heldout[name].loss_nats
        row[f"initial_loss_{name}"] = first["heldout"][name]
    return row
