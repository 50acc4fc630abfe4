"""`mixwright accept`: another version becomes the one that drift is measured from."""

import json
import os
import warnings
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import dagster as dg

    from assets.lake import Lake

EPILOG = (
    "Examples: mixwright accept raw_corpora --partition chitchat "
    '--reason "the forum closed two boards"   |   '
    'mixwright accept cleaned_shards -P sympy --reason "new profile" --json'
)


def accept(
    asset: Annotated[str, typer.Argument(help="raw_corpora or cleaned_shards.")],
    reason: Annotated[str, typer.Option(help="Why its current version is the new normal.")],
    partition: Annotated[str, typer.Option("--partition", "-P", help="Corpus.")],
    preset: Annotated[str | None, typer.Option("--preset", "-p", help="Name or path.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Accept the current version of a corpus, and judge its drift anew."""
    from orchestration.cli import choose_preset

    choose_preset(preset)
    from rich.console import Console
    from rich.markup import escape

    from assets.baselines import DRIFT_GATES
    from assets.baselines import accept as record
    from assets.lake import ArtifactMissing
    from orchestration import deployments

    lake = deployments.lake()
    os.environ["DAGSTER_HOME"] = str(deployments.dagster_home())
    try:
        artifact = lake.artifact(asset, partition)
        baseline = record(lake, artifact, reason=reason)
    except (ArtifactMissing, ValueError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from error
    with deployments.instance() as instance:
        passed = judge_again(lake, instance, asset, DRIFT_GATES[asset], partition)
    told = {
        "asset": asset,
        "partition": partition,
        "data_version": baseline.data_version,
        "accepted": baseline.accepted,
        "who": baseline.who,
        "reason": baseline.reason,
        "num_documents": baseline.snapshot.num_documents,
        "gate_passed": passed,
    }
    if as_json:
        typer.echo(json.dumps(told))
    else:
        verdict = "passed" if passed else "did not pass"
        Console().print(
            f"Accepted {escape(artifact.name)} version {baseline.data_version[:8]} "
            f"({baseline.snapshot.num_documents} documents); {DRIFT_GATES[asset]} {verdict}.",
            soft_wrap=True,
        )
    if not passed:
        raise typer.Exit(1)


def judge_again(
    lake: "Lake", instance: "dg.DagsterInstance", asset: str, gate: str, partition: str
) -> bool:
    """Run one check on one partition, so that the lake and Dagster know of the new verdict.

    Args:
        lake: Where the verdict is stored.
        instance: Dagster's record.
        asset: Asset that is judged.
        gate: Name of the check.
        partition: Partition key.

    Returns:
        Whether it passed.
    """
    import dagster as dg

    from assets.gate_checks import PARTITION_TAG
    from orchestration.definitions import definitions_on
    from orchestration.execution import QUIET

    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    key = dg.AssetCheckKey(dg.AssetKey(asset), gate)
    job = definitions_on(lake).resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection=set(), asset_check_selection={key}).execute_in_process(
        run_config=QUIET,
        instance=instance,
        tags={PARTITION_TAG: partition},
        raise_on_error=False,
    )
    evaluations = result.get_asset_check_evaluations()
    return bool(evaluations) and all(evaluation.passed for evaluation in evaluations)
