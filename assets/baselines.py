"""Versions that were accepted as normal, a history per asset partition; drift is from the last.

    root/artifacts/<asset>/<partition or _>/accepted.json

The first version is accepted without asking, for there is nothing to compare it with, and says so.
From then on a baseline moves only by `accept`: if every version that passes became the next
baseline, a corpus could drift anywhere in small steps. The accepted version is never pruned.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from assets.gates import GATES, report_path
from assets.lake import Artifact, Lake, write_json
from quality.drift import DriftLimits, Snapshot, compare_snapshots, take_snapshot
from quality.gate_tables import verdict
from quality.gates import Criterion, GateCrashed, GateReport, Severity

DRIFT_GATES = {"raw_corpora": "raw_drift", "cleaned_shards": "cleaned_drift"}
"""Asset -> its gate on drift."""
MADE_FROM_GATED = frozenset({"cleaned_shards"})
"""Assets made of one input that has a drift gate itself: other settings explain other content."""
FIRST = "the first version"
"""Reason of an acceptance that nobody was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """One accepted version."""

    data_version: str
    """The version."""
    accepted: str
    """When, ISO 8601 with UTC offset."""
    who: str
    """Account that accepted it."""
    reason: str
    """Why; `FIRST` if nobody was asked."""
    code_version: str
    """Code that made the version."""
    settings: str
    """Digest of the settings that made it."""
    snapshot: Snapshot
    """What it looked like."""


def read_baselines(lake: Lake, asset: str, partition: str | None) -> list[Baseline]:
    """Accepted versions, oldest first.

    Raises:
        ValueError: The file is damaged.
    """
    path = lake.baseline_path(asset, partition)
    if not path.exists():
        return []
    try:
        return [
            Baseline(**{**entry, "snapshot": Snapshot.from_json(entry["snapshot"])})
            for entry in json.loads(path.read_text())
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: not a list of accepted versions ({error}); remove it, and the next version "
            "that is judged becomes the first accepted one"
        ) from error


def accept(lake: Lake, artifact: Artifact, *, reason: str) -> Baseline:
    """Make a version the one that later ones are compared with.

    Args:
        lake: Where the record is kept.
        artifact: The version.
        reason: Why this is the new normal.

    Raises:
        ValueError: The reason or the version is empty, the asset has no drift gate, or the version
            cannot be read.
    """
    if artifact.asset not in DRIFT_GATES:
        raise ValueError(f"{artifact.asset} has no drift gate; {', '.join(DRIFT_GATES)} have one")
    if not reason.strip():
        raise ValueError(f"{artifact.name}: say why this version is accepted (the reason is empty)")
    snapshot = take_snapshot(artifact.folder)
    if not snapshot.num_documents:
        raise ValueError(
            f"{artifact.name}: an empty version cannot be what others are held against"
        )
    return _record(lake, artifact, snapshot, reason=reason.strip())


def _record(lake: Lake, artifact: Artifact, snapshot: Snapshot, *, reason: str) -> Baseline:
    baseline = Baseline(
        data_version=artifact.data_version,
        accepted=datetime.now(UTC).isoformat(timespec="seconds"),
        who=os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}",
        reason=reason,
        code_version=str(artifact.manifest.get("code_version")),
        settings=str(artifact.manifest.get("settings")),
        snapshot=snapshot,
    )
    history = [*read_baselines(lake, artifact.asset, artifact.partition), baseline]
    write_json(lake.baseline_path(artifact.asset, artifact.partition), [*map(asdict, history)])
    return baseline


def judge_drift(
    lake: Lake, artifact: Artifact, limits: DriftLimits | None = None
) -> tuple[Criterion, ...]:
    """Compare a version with the accepted one; a first version is accepted.

    A version that other code or settings made than the accepted one, from an input with a drift
    gate of its own, differs on purpose: its drift is a warning.

    Args:
        lake: Where the accepted versions are.
        artifact: The version.
        limits: None for the defaults.

    Raises:
        GateCrashed: The record of accepted versions is damaged.
    """
    return verdict(lambda: _drift(lake, artifact, limits or DriftLimits()))


def _drift(lake: Lake, artifact: Artifact, limits: DriftLimits) -> tuple[Criterion, ...]:
    snapshot = take_snapshot(artifact.folder)
    try:
        history = read_baselines(lake, artifact.asset, artifact.partition)
    except ValueError as error:
        raise GateCrashed(str(error)) from error
    if not history or _is_void(lake, artifact, history):
        if not snapshot.num_documents:
            return (_baseline_row("none: an empty version is no first one", passed=False),)
        _record(lake, artifact, snapshot, reason=FIRST)
        return (_baseline_row(f"none yet: {FIRST} is accepted as it is"),)
    baseline = history[-1]
    severity = _severity(artifact, baseline)
    told = f"version {baseline.data_version[:8]}, accepted {baseline.accepted} by {baseline.who}: "
    rows = compare_snapshots(snapshot, baseline.snapshot, limits, severity=severity)
    return (_baseline_row(told + baseline.reason), *rows)


def _baseline_row(observed: str, *, passed: bool = True) -> Criterion:
    return Criterion(
        name="baseline", passed=passed, observed=observed, limit="compared with an accepted version"
    )


def _severity(artifact: Artifact, baseline: Baseline) -> Severity:
    made_by = (str(artifact.manifest.get(name)) for name in ("code_version", "settings"))
    same = tuple(made_by) == (baseline.code_version, baseline.settings)
    return "error" if same or artifact.asset not in MADE_FROM_GATED else "warning"


def _is_void(lake: Lake, artifact: Artifact, history: Sequence[Baseline]) -> bool:
    """Whether all that was ever accepted is a first version that failed another of its gates."""
    first = history[-1]
    if len(history) > 1 or first.reason != FIRST or first.data_version == artifact.data_version:
        return False
    version = replace(artifact, data_version=first.data_version)
    for gate in GATES.get(artifact.asset, ()):
        path = report_path(lake, version, gate)
        if gate != DRIFT_GATES[artifact.asset] and path.exists():
            report = GateReport.from_json(path.read_text(), file=str(path))
            if report.stops_consumers:
                return True
    return False
