"""Every gate on fixture partitions, for CI: Dagster's own exit codes do not tell a failed check."""

import tempfile
from pathlib import Path

import dagster as dg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assets.lake import Lake
from assets.partitions import CATALOGUE, CORPUS_DOMAINS, DOMAINS, PRESET
from orchestration.definitions import definitions_on
from orchestration.execution import QUIET, first_error

STEPS: tuple[tuple[tuple[str, ...], tuple[str | None, ...]], ...] = (
    (("raw_corpora", "cleaned_shards", "fingerprints"), tuple(CATALOGUE)),
    (("duplicate_clusters",), (None,)),
    (("cluster_members",), tuple(CATALOGUE)),
    (("heldout_sets",), CORPUS_DOMAINS),
    (("contaminated_documents",), tuple(CATALOGUE)),
    *(((("skill_taggers",), (None,)), (("skill_tags",), tuple(CATALOGUE))) if PRESET.tags else ()),
    *(
        ((("quality_model",), (None,)), (("quality_scores",), tuple(CATALOGUE)))
        if PRESET.score
        else ()
    ),
    (("tokenizer",), (None,)),
    (("token_shards",), DOMAINS),
    (("shard_profile",), (None,)),
)
"""Assets with gates on data, and what those need, with their partitions."""


def check_gates(console: Console) -> bool:
    """Make the fixture partitions in a temporary lake and judge them.

    Returns:
        Whether no check failed with severity ERROR and all were executed.
    """
    with tempfile.TemporaryDirectory(prefix="mixwright-check-") as folder:
        evaluations, errors = _evaluate(Lake(root=str(Path(folder, "lake"))))
    table = Table("gate", "partition", "verdict", "severity")
    for evaluation in evaluations:
        verdict = "[green]passed[/]" if evaluation.passed else "[bold red]failed[/]"
        name = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}"
        table.add_row(name, evaluation.partition or "", verdict, evaluation.severity.value)
    console.print(table)
    for error in errors:
        console.print(f"[bold red]{escape(error)}[/]", highlight=False, soft_wrap=True)
    failed = [
        evaluation
        for evaluation in evaluations
        if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    ]
    console.print(f"{len(evaluations)} checks, {len(failed)} failed with severity ERROR")
    return bool(evaluations) and not failed and not errors


def _evaluate(lake: Lake) -> tuple[list[dg.AssetCheckEvaluation], list[str]]:
    job = definitions_on(lake).resolve_implicit_global_asset_job_def()
    evaluations: list[dg.AssetCheckEvaluation] = []
    errors: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:
        for assets, partitions in STEPS:
            for partition in partitions:
                result = job.execute_in_process(
                    run_config=QUIET,
                    instance=instance,
                    partition_key=partition,
                    asset_selection=[dg.AssetKey(name) for name in assets],
                    raise_on_error=False,
                )
                evaluations += result.get_asset_check_evaluations()
                if not result.success and not _explained(result):
                    where = "/".join(assets) + (f"[{partition}]" if partition else "")
                    errors.append(f"not judged: {where}: {first_error(result)}")
    return evaluations, errors


def _explained(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a failed run failed by a check's verdict."""
    return any(not evaluation.passed for evaluation in result.get_asset_check_evaluations())
