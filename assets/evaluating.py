"""Group evaluation: what the trained models do, what the law had said, and what it all cost."""

import json

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.gates import GateOverride, require_gates
from assets.lake import Artifact, Lake, publishing, write_json
from assets.mixing import mixing_law
from assets.partitions import DOMAINS, OWNERS, TRAINING_RUNS, training_run_partitions
from assets.plots import as_markdown, plot_costs, plot_evaluation, plot_predicted_vs_actual
from assets.run_configs import token_artifacts
from assets.tables import table_metadata
from assets.training_runs import training_runs
from training.fitted_laws import FittedLaws
from training.predictions import compare_predictions

GROUP = "evaluation"


@dg.asset(
    group_name=GROUP,
    partitions_def=training_run_partitions,
    deps=[training_runs],
    kinds={"pytorch", "polars"},
    owners=OWNERS,
    code_version="1",
    automation_condition=refresh_on_change(),
)
def evaluations(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Loss, perplexity and bits per byte of one trained model on all held-out text, by domain."""
    from training.scoring import score_domains
    from training.model import load_model

    run = TRAINING_RUNS[context.partition_key]
    trained = lake.artifact("training_runs", run.key)
    shards = token_artifacts(lake)
    clearance = require_gates(context, lake, trained, *shards.values(), override=config)
    with publishing(context, lake, inputs=[trained, *shards.values()]) as draft:
        folders = {domain: artifact.folder for domain, artifact in shards.items()}
        scores = score_domains(load_model(trained.folder / "final"), folders)
        table = pl.DataFrame(
            [
                {"run_id": run.key, "method": run.label, "seed": run.seed, "domain": domain}
                | score.row()
                for domain, score in scores.items()
            ]
        )
        table.write_parquet(draft.folder / "scores.parquet", compression="zstd")
    return draft.result(
        {
            **clearance,
            "method": run.label,
            "mean_loss_nats": float(table["loss_nats"].mean()),  # type: ignore[arg-type]
            "mean_bits_per_byte": float(table["bits_per_byte"].mean()),  # type: ignore[arg-type]
            "scores": table_metadata(table),
            "picture": as_markdown(plot_evaluation(table)),
        }
    )


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(evaluations, partition_mapping=dg.AllPartitionMapping()), mixing_law],
    kinds={"polars"},
    owners=OWNERS,
    code_version="1",
    automation_condition=refresh_on_change(),
)
def predicted_vs_actual(
    context: dg.AssetExecutionContext, lake: Lake
) -> dg.MaterializeResult[None]:
    """What the mixing law says of each training run's realised mixture, beside what it reached."""
    law = lake.artifact("mixing_law")
    evaluated = _evaluated(lake)
    trained = [lake.artifact("training_runs", str(artifact.partition)) for artifact in evaluated]
    with publishing(context, lake, inputs=[law, *trained, *evaluated]) as draft:
        comparison = compare_predictions(
            FittedLaws.from_json(law.json("law.json")),
            shares={
                str(artifact.partition): artifact.json("result.json")["realised_shares"]
                for artifact in trained
            },
            scores=pl.concat(
                pl.read_parquet(artifact.folder / "scores.parquet") for artifact in evaluated
            ),
        )
        comparison.table.write_parquet(draft.folder / "comparison.parquet", compression="zstd")
        write_json(draft.folder / "scores.json", comparison.scores())
    return draft.result(
        {
            **comparison.scores(),
            "comparison": table_metadata(comparison.table),
            "picture": as_markdown(plot_predicted_vs_actual(comparison.table)),
        }
    )


def _evaluated(lake: Lake) -> list[Artifact]:
    """Evaluations of the current preset's runs."""
    found = [lake.find("evaluations", key) for key in TRAINING_RUNS]
    present = [artifact for artifact in found if artifact is not None]
    if not present:
        raise dg.Failure("no training run was evaluated: materialise evaluations first")
    return present
