"""Checks that run a gate on an artifact, store its verdict and show it in Dagster."""

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from assets.gates import GATES, report_path
from assets.lake import Artifact, Lake, file_digests
from quality.gates import Criterion, GateCrashed, GateReport
from quality.suites import SUITES, Judge

VersionJudge = Callable[[Lake, Artifact], tuple[Criterion, ...]]
PARTITION_TAG = "dagster/partition"
"""Run tag that gives a run its partition; a job of checks alone accepts no partition key."""


def make_gate_check(
    asset: str,
    gate: str,
    *,
    description: str,
    judge: Judge | None = None,
    judge_version: VersionJudge | None = None,
    partitions_def: dg.PartitionsDefinition | None = None,
    blocking: bool = True,
) -> dg.AssetChecksDefinition:
    """Make the check that runs one gate on the current version of an asset partition.

    Args:
        asset: Asset name; `GATES` must list the gate for it.
        gate: Name of the gate and of the check.
        description: One sentence for the UI.
        judge: Judges the artifact's folder; None for the suite of that name with default limits.
        judge_version: Judges a version that the folder alone does not tell enough of; instead of
            `judge`.
        partitions_def: The asset's partitions; one bad partition then holds back only its own
            children. None for an asset without partitions.
        blocking: False for a gate whose criteria only warn: automation waits for a blocking check
            that warned as it does for one that failed. Consumers require the verdict all the same.

    Raises:
        ValueError: `GATES` does not list the gate, so nobody would require its verdict.
    """
    if gate not in GATES.get(asset, ()):
        raise ValueError(f"gate {gate!r} of {asset!r} is not in GATES, which has {GATES}; list it")
    if judge_version is None:
        judge_folder = SUITES[gate] if judge is None else judge

        def judge_version(_: Lake, artifact: Artifact) -> tuple[Criterion, ...]:
            return judge_folder(artifact.folder)

    chosen = judge_version

    def check(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
        partition = None if partitions_def is None else _partition(context)
        artifact = lake.artifact(asset, partition)
        report = run_gate(lake, artifact, gate, lambda _: chosen(lake, artifact))
        return _check_result(report, stored_at=report_path(lake, artifact, gate))

    with warnings.catch_warnings():
        # Partitions of checks may change in a patch release; this is the only place that uses them.
        warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def.*")
        decorate = dg.asset_check(
            asset=asset,
            name=gate,
            description=description,
            blocking=blocking,
            partitions_def=partitions_def,
        )
        return decorate(check)


def run_gate(lake: Lake, artifact: Artifact, gate: str, judge: Judge) -> GateReport:
    """Judge one version and store the verdict beside it.

    Args:
        lake: Where the verdict is stored.
        artifact: The version.
        gate: Name of the gate.
        judge: Judges the artifact's folder.

    Raises:
        GateCrashed: There is no verdict. An earlier one on the same version is withdrawn.
    """
    path = report_path(lake, artifact, gate)
    try:
        criteria = judge(artifact.folder)
    except GateCrashed:
        path.unlink(missing_ok=True)
        raise
    report = GateReport(
        gate=gate,
        asset=artifact.asset,
        partition=artifact.partition,
        data_version=artifact.data_version,
        rows=(_unchanged_files(artifact), *criteria),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(report.to_json())
    os.replace(temporary, path)
    return report


def _partition(context: dg.AssetCheckExecutionContext) -> str:
    if not context.has_partition_key:
        raise dg.Failure(
            "this gate judges one partition and the run has none: launch it with the tag "
            f"{PARTITION_TAG}=<key>, or materialise the asset's partition again",
            allow_retries=False,
        )
    return str(context.partition_key)


def _unchanged_files(artifact: Artifact) -> Criterion:
    """Compare the files with the digests of the manifest, from which the version was computed."""
    recorded = artifact.manifest["files"]
    assert isinstance(recorded, dict), f"{artifact.name}: the manifest lists no files"
    found = file_digests(artifact.folder)
    changed = sorted(name for name in {*recorded, *found} if recorded.get(name) != found.get(name))
    return Criterion(
        name="files_as_published",
        passed=not changed,
        observed=f"{len(changed)} changed",
        limit="every file as published",
        examples=tuple(changed[:5]),
    )


def _check_result(report: GateReport, *, stored_at: Path) -> dg.AssetCheckResult:
    """Show a verdict in Dagster: the table of criteria, and numbers that the UI can plot."""
    columns = ["expectation", "column", "severity", "success", "observed", "limit", "examples"]
    records = [
        dg.TableRecord(
            {
                "expectation": row.name,
                "column": row.column or "",
                "severity": row.severity,
                "success": row.passed,
                "observed": "" if row.observed is None else str(row.observed),
                "limit": row.limit,
                "examples": ", ".join(row.examples),
            }
        )
        for row in report.rows
    ]
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn(name, "bool" if name == "success" else "string") for name in columns
        ]
    )
    num_failed, num_rows = len(report.failed), len(report.rows)
    # One plot per number: the history of a partition over its versions.
    observed = {
        f"observed/{row.name}" + (f"/{row.column}" if row.column else ""): row.observed
        for row in report.rows
        if isinstance(row.observed, int | float) and math.isfinite(row.observed)
    }
    return dg.AssetCheckResult(
        passed=report.passed,
        severity=dg.AssetCheckSeverity.ERROR
        if report.severity == "error"
        else dg.AssetCheckSeverity.WARN,
        description="; ".join(row.describe() for row in report.failed) or None,
        metadata={
            **observed,
            "criteria": dg.TableMetadataValue(records=records, schema=schema),
            "num_criteria": num_rows,
            "num_failed": num_failed,
            "success_percent": round(100 * (num_rows - num_failed) / num_rows, 2),
            "data_version": report.data_version,
            "report": dg.MetadataValue.path(stored_at),
        },
    )
