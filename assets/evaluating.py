"""Group evaluation: what the trained models do, what the law had said, and what it all cost."""

from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import polars as pl

from assets.automation import refresh_on_change
from assets.gates import GateOverride, require_gates
from assets.gpu_pool import POOL
from assets.lake import Artifact, Lake, publishing, write_json
from assets.mixing import admitted_runs, finished_proxies, mixing_law
from assets.partitions import (
    OWNERS,
    PRESET,
    TRAINING_RUNS,
    current_artifacts,
    training_run_partitions,
)
from assets.pictures import picture
from assets.plots import (
    PredictedLoss,
    plot_cost,
    plot_evaluation,
    plot_predicted_against_actual,
)
from assets.run_configs import token_artifacts
from assets.tables import table_metadata
from assets.training_runs import training_runs
from training.fitted_laws import FittedLaws, bootstrap_laws, prediction_intervals
from training.predictions import PredictionReport, compare_predictions
from training.recalibration import recalibrate_laws
from training.run_result import read_result
from training.run_table import RunTable

if TYPE_CHECKING:
    from training.scoring import DomainScore

GROUP = "evaluation"
COSTED = (
    "raw_corpora",
    "corpus_profiles",
    "cleaned_shards",
    "fingerprints",
    "duplicate_clusters",
    "cluster_members",
    "heldout_sets",
    "contaminated_documents",
    "skill_taggers",
    "skill_tags",
    "quality_model",
    "quality_scores",
    "tokenizer",
    "token_shards",
    "shard_profile",
    "skill_runs",
    "skill_graph",
    "swarm",
    "proxy_runs",
    "mixing_law",
    "transfer_mixtures",
    "transfer_runs",
    "law_transfer",
    "training_plan",
    "reference_runs",
    "weight_runs",
    "training_runs",
    "evaluations",
    "predicted_vs_actual",
)
"""Assets in the order of the graph; the report of costs does not cost itself."""


@dg.asset(
    group_name=GROUP,
    partitions_def=training_run_partitions,
    deps=[training_runs],
    kinds={"pytorch", "polars"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
    automation_condition=refresh_on_change(),
)
def evaluations(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Loss, perplexity and bits per byte of one trained model on all held-out text, by domain."""
    from training.model import load_model
    from training.run_session import choose_device
    from training.scoring import score_domains

    run = TRAINING_RUNS[context.partition_key]
    trained = lake.artifact("training_runs", run.key)
    shards = token_artifacts(lake)
    clearance = require_gates(context, lake, trained, *shards.values(), overrides=config)
    with publishing(context, lake, inputs=[trained, *shards.values()]) as draft:
        scores = score_domains(
            load_model(trained.folder / "final"),
            {domain: artifact.folder / "heldout" for domain, artifact in shards.items()},
            context_tokens=PRESET.target.model.context_tokens,
            device=choose_device("auto"),
        )
        table = pl.DataFrame(
            [
                {"run_id": run.key, "method": run.label, "seed": run.seed, "domain": domain}
                | _scores_row(score)
                for domain, score in scores.items()
            ]
        )
        table.write_parquet(draft.folder / "scores.parquet", compression="zstd")
    losses = dict(table.select("domain", "loss_nats").iter_rows())
    return draft.result(
        {
            **clearance.metadata(),
            "method": run.label,
            "seed": run.seed,
            "mean_loss_nats": sum(losses.values()) / len(losses),
            "mean_bits_per_byte": float(table["bits_per_byte"].to_numpy().mean()),
            "scores": table_metadata(table.drop("run_id", "method", "seed")),
            "picture": picture(
                plot_evaluation(losses, dict(table.select("domain", "loss_se").iter_rows()))
            ),
        }
    )


def _scores_row(score: "DomainScore") -> dict[str, float | int | None]:
    return {
        "loss_nats": score.loss_nats,
        "loss_se": score.loss_standard_error,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
        "bits_per_byte_se": score.bits_per_byte_standard_error,
        "num_tokens": score.num_tokens,
        "num_rows": score.num_rows,
    }


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(evaluations, partition_mapping=dg.AllPartitionMapping()), mixing_law],
    kinds={"polars"},
    owners=OWNERS,
    code_version="2",
    automation_condition=refresh_on_change(),
)
def predicted_vs_actual(
    context: dg.AssetExecutionContext, lake: Lake
) -> dg.MaterializeResult[None]:
    """What the law says of each training run's mixture beside what it reached: rank, and level."""
    law = lake.artifact("mixing_law")
    evaluated = _evaluated(lake)
    trained = [lake.artifact("training_runs", str(artifact.partition)) for artifact in evaluated]
    with publishing(context, lake, inputs=[law, *trained, *evaluated]) as draft:
        laws = FittedLaws.from_json(law.json("law.json"))
        runs, scores = _run_table(laws, trained, evaluated)
        report = compare_predictions(laws, runs)
        comparison = _with_intervals(lake, laws, runs, report, scores)
        comparison.write_parquet(draft.folder / "comparison.parquet", compression="zstd")
        write_json(draft.folder / "scores.json", report.to_json())
        write_json(draft.folder / "recalibration.json", recalibrate_laws(laws, runs).to_json())
    average = report.average
    return draft.result(
        {
            "runs": len(evaluated),
            "spearman": "too few runs" if average.spearman is None else average.spearman,
            "level_error_nats": average.level_error_nats,
            "offset_nats": average.offset_nats,
            "recalibrated_error_nats": average.recalibrated_error_nats
            if average.recalibrated_error_nats is not None
            else "too few runs",
            "comparison": table_metadata(comparison),
            "picture": picture(plot_predicted_against_actual(_plotted(comparison))),
        }
    )


def _run_table(
    laws: FittedLaws, trained: list[Artifact], evaluated: list[Artifact]
) -> tuple[RunTable, pl.DataFrame]:
    """Realised shares and evaluated losses of each training run; and the scores as a table."""
    scores = pl.concat(
        pl.read_parquet(artifact.folder / "scores.parquet") for artifact in evaluated
    )
    results = [read_result(artifact.folder / "result.json") for artifact in trained]
    losses = {
        (run_id, domain): loss
        for run_id, domain, loss in scores.select("run_id", "domain", "loss_nats").iter_rows()
    }
    table = RunTable(
        run_ids=tuple(result.run_id for result in results),
        domains=laws.domains,
        eval_domains=laws.eval_domains,
        weights=np.array(
            [[result.realised_shares[name] for name in laws.domains] for result in results]
        ),
        losses=np.array(
            [[losses[result.run_id, name] for name in laws.eval_domains] for result in results]
        ),
    )
    return table, scores


def _with_intervals(
    lake: Lake, laws: FittedLaws, runs: RunTable, report: PredictionReport, scores: pl.DataFrame
) -> pl.DataFrame:
    """One row per run and domain: prediction with its interval, and what was measured."""
    design = lake.artifact("swarm")
    admitted, _ = admitted_runs(lake, design, token_artifacts(lake), finished_proxies(lake, design))
    low, high = prediction_intervals(
        bootstrap_laws(admitted, method=laws.method),
        runs.weights,
        fitted=laws,
        num_runs=len(admitted.run_ids),
    )
    predicted = pl.DataFrame(
        {
            "run_id": [row.run_id for row in report.rows],
            "domain": [row.eval_domain for row in report.rows],
            "predicted": [row.predicted_nats for row in report.rows],
            "predicted_low": low.ravel(),
            "predicted_high": high.ravel(),
        }
    )
    measured = scores.select(
        "run_id", "method", "seed", "domain", actual="loss_nats", actual_se="loss_se"
    )
    return measured.join(predicted, on=["run_id", "domain"], how="inner", validate="1:1")


def _plotted(comparison: pl.DataFrame) -> list[PredictedLoss]:
    return [
        PredictedLoss(
            method=row["method"],
            domain=row["domain"],
            predicted=row["predicted"],
            low=row["predicted_low"],
            high=row["predicted_high"],
            actual=row["actual"],
            actual_error=row["actual_se"],
        )
        for row in comparison.to_dicts()
    ]


def _evaluated(lake: Lake) -> list[Artifact]:
    """Evaluations of the current preset's runs."""
    found = [lake.find("evaluations", key) for key in TRAINING_RUNS]
    present = [artifact for artifact in found if artifact is not None]
    if not present:
        raise dg.Failure("no training run was evaluated: materialise evaluations first")
    return present


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(evaluations, partition_mapping=dg.AllPartitionMapping())],
    kinds={"polars"},
    owners=OWNERS,
    code_version="2",
    automation_condition=refresh_on_change(),
)
def cost_report(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Processor and GPU seconds that went into what is current, by asset."""
    artifacts = [artifact for asset in COSTED for artifact in current_artifacts(lake, asset)]
    rows = [{"asset": artifact.asset, **_cost(artifact)} for artifact in artifacts]
    with publishing(context, lake, inputs=artifacts) as draft:
        costs = (
            pl.DataFrame(rows)
            .group_by("asset", maintain_order=True)
            .agg(pl.len().alias("partitions"), pl.col("^.*_seconds$").sum())
        )
        costs.write_parquet(draft.folder / "costs.parquet", compression="zstd")
    cpu = dict(costs.select("asset", "cpu_seconds").iter_rows())
    gpu = dict(costs.select("asset", "gpu_seconds").iter_rows())
    return draft.result(
        {
            "total_cpu_seconds": sum(cpu.values()),
            "total_gpu_seconds": sum(gpu.values()),
            "costs": table_metadata(costs),
            "picture": picture(plot_cost(cpu, gpu)),
        }
    )


def _cost(artifact: Artifact) -> dict[str, float]:
    cost = artifact.manifest["cost"]
    assert isinstance(cost, dict)
    names = ("wall_seconds", "cpu_seconds", "gpu_seconds")
    return {name: float(cost.get(name, 0.0)) for name in names}
