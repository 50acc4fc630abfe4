"""All gates of the lake: passed, failed, never judged, overridden."""

import json
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from assets.gates import GATES, report_path
from assets.lake import WHOLE, Artifact, Lake
from quality.gates import GateReport

Status = Literal["passed", "warning", "failed", "not judged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """A failed gate that somebody set aside."""

    consumer: str
    """Asset that consumed the version all the same."""
    who: str
    """Who launched it."""
    when: str
    """ISO 8601."""
    reason: str
    """Why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One gate on the current version of one artifact."""

    gate: str
    """Name of the gate."""
    artifact: str
    """`asset` or `asset[partition]`."""
    status: Status
    """`warning`: something does not hold, and nothing is stopped by it."""
    num_criteria: int
    """Criteria that were judged."""
    failed: tuple[str, ...]
    """Criteria that do not hold, one line each."""
    overrides: tuple[Override, ...]
    """Uses in spite of a failure."""


def read_verdicts(lake: Lake) -> tuple[Verdict, ...]:
    """Every gate of every current artifact, in the order of the graph."""
    return tuple(
        _verdict(lake, artifact, gate)
        for asset, gates in GATES.items()
        for artifact in _current(lake, asset)
        for gate in gates
    )


def _current(lake: Lake, asset: str) -> list[Artifact]:
    keys = lake.partitions(asset)
    found = [lake.find(asset, None if key == WHOLE else key) for key in keys]
    return [artifact for artifact in found if artifact is not None]


def _verdict(lake: Lake, artifact: Artifact, gate: str) -> Verdict:
    path = report_path(lake, artifact, gate)
    if not path.exists():
        return Verdict(
            gate=gate,
            artifact=artifact.name,
            status="not judged",
            num_criteria=0,
            failed=(),
            overrides=_overrides(lake, artifact, gate),
        )
    report = GateReport.from_json(path.read_text(), file=str(path))
    return Verdict(
        gate=gate,
        artifact=artifact.name,
        status=_status(report),
        num_criteria=len(report.rows),
        failed=tuple(row.describe() for row in report.failed),
        overrides=_overrides(lake, artifact, gate),
    )


def _status(report: GateReport) -> Status:
    if report.passed:
        return "passed"
    return "failed" if report.stops_consumers else "warning"


def _overrides(lake: Lake, artifact: Artifact, gate: str) -> tuple[Override, ...]:
    files = sorted((lake.gate_folder(artifact) / "overrides").glob(f"{gate}-*.json"))
    return tuple(
        TypeAdapter(Override).validate_python(json.loads(path.read_text())) for path in files
    )
