"""What a consumer requires of the artifacts that it reads: a stored verdict of every gate.

A failed blocking check stops only the run it is part of: a later run that materialises the child
alone goes through. So the verdict is stored for the exact version that was judged, and the
consumer itself calls `require_gates` for the exact versions that it will read. The checks that
store verdicts are made in assets.gate_checks.

    root/gates/<asset>/<partition or _>/<data version>/<gate>.json
    root/gates/<asset>/<partition or _>/<data version>/overrides/<gate>-<run>-<consumer>.json
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from assets.lake import Artifact, Lake, combined_digest, write_json
from quality.gates import GateReport

GATES: dict[str, tuple[str, ...]] = {
    "raw_corpora": ("raw_documents", "raw_drift"),
    "cleaned_shards": ("cleaned_documents", "cleaned_drift", "coverage"),
    "contaminated_documents": ("contamination",),
    "skill_tags": ("skill_labels",),
    "quality_scores": ("score_tables",),
    "token_shards": ("token_tables",),
    "shard_profile": ("whole_corpus",),
    "mixing_law": ("law_evidence",),
    "training_plan": ("plan_within_evidence",),
    "training_runs": ("mixture_guards",),
}
"""Gates that a version of an asset must have passed before anything consumes it."""

JUDGES_ITS_INPUTS = frozenset({"shard_profile"})
"""Assets whose gates make claims about their inputs, so a verdict on older inputs is none."""


class GateOverride(dg.Config):
    """Launch options of an asset that consumes gated artifacts."""

    override_reason: str = ""
    """Why artifacts that failed a gate are consumed all the same; empty: they are refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """One gate that one consumed version has not passed."""

    artifact: Artifact
    """What would be consumed."""
    gate: str
    """Which gate."""
    report: GateReport | None
    """The failed verdict; None if there is none."""
    problem: str
    """What is wrong, in one or more lines."""

    def describe(self) -> str:
        """Return what is refused, why, and what to do."""
        name = self.artifact.name
        remedy = "run the check"
        if self.report is not None:
            remedy = "correct its source, materialise it again and run the check"
        return (
            f"{name}, version {self.artifact.data_version}, gate {self.gate}: {self.problem}\n"
            f"  Remedy: {remedy} ({self.gate} on {name}); or, to consume it as it is, launch with "
            "override_reason in the configuration, which is recorded."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GateClearance:
    """What a consumer was allowed to read, and why."""

    reports: tuple[GateReport, ...]
    """The verdicts that let it through."""
    overridden: tuple[Refusal, ...]
    """The refusals that a person set aside."""
    reason: str
    """Their reason; empty if nothing was overridden."""

    def metadata(self) -> dict[str, int | str]:
        """Return numbers and names for the consumer's materialisation."""
        warned = sum(not report.passed for report in self.reports)
        shown: dict[str, int | str] = {
            "gates/required": len(self.reports) + len(self.overridden),
            "gates/warned": warned,
            "gates/overridden": len(self.overridden),
        }
        if self.overridden:
            names = sorted(
                f"{refusal.gate} on {refusal.artifact.name}" for refusal in self.overridden
            )
            shown["gates/overridden_names"] = ", ".join(names)
            shown["gates/override_reason"] = self.reason
        return shown


def require_gates(
    context: dg.AssetExecutionContext, lake: Lake, *consumed: Artifact, overrides: GateOverride
) -> GateClearance:
    """Make sure that exactly these versions have passed every gate that `GATES` lists for them.

    A failed criterion of severity "warning" is counted and lets the consumer through; a missing
    verdict does not. Call this before the first byte is read.

    Args:
        context: The consumer.
        lake: Where the verdicts are.
        consumed: The versions that will be read. Assets without gates need none.
        overrides: A reason lets failed versions through, recorded beside the verdict.

    Raises:
        dg.Failure: A gate was not passed and no reason was given; a retry would not help.
    """
    reports: list[GateReport] = []
    refusals: list[Refusal] = []
    for artifact in consumed:
        for gate in GATES.get(artifact.asset, ()):
            found = _stored_verdict(lake, artifact, gate, beside=consumed)
            if isinstance(found, GateReport):
                reports.append(found)
            else:
                refusals.append(found)
    reason = overrides.override_reason.strip()
    if refusals and not reason:
        raise dg.Failure(
            description="\n".join(
                [
                    f"{context.asset_key.to_user_string()} refuses to consume:",
                    *(refusal.describe() for refusal in refusals),
                ]
            ),
            metadata={"gates/refused": len(refusals)},
            allow_retries=False,
        )
    for refusal in refusals:
        _record_override(context, lake, refusal, reason)
    return GateClearance(
        reports=tuple(reports), overridden=tuple(refusals), reason=reason if refusals else ""
    )


def missing_verdicts(lake: Lake, artifact: Artifact | None) -> tuple[str, ...]:
    """Gates that were never run on a version, or crashed on it; none for a version that is None."""
    if artifact is None:
        return ()
    gates = GATES.get(artifact.asset, ())
    return tuple(gate for gate in gates if not report_path(lake, artifact, gate).exists())


def lets_consumers_through(lake: Lake, artifact: Artifact | None) -> bool:
    """Whether a version exists and has passed every gate that its consumers require of it."""
    return artifact is not None and all(
        isinstance(_stored_verdict(lake, artifact, gate, beside=()), GateReport)
        for gate in GATES.get(artifact.asset, ())
    )


def report_path(lake: Lake, artifact: Artifact, gate: str) -> Path:
    """Where the verdict of one gate on one version is stored."""
    return lake.gate_folder(artifact) / f"{gate}.json"


def _stored_verdict(
    lake: Lake, artifact: Artifact, gate: str, *, beside: Sequence[Artifact]
) -> GateReport | Refusal:
    path = report_path(lake, artifact, gate)

    def refuse(problem: str, report: GateReport | None = None) -> Refusal:
        return Refusal(artifact=artifact, gate=gate, report=report, problem=problem)

    if not path.exists():
        return refuse("this version was never judged, or the gate crashed on it")
    try:
        report = GateReport.from_json(path.read_text(), file=str(path))
    except ValueError as error:
        return refuse(str(error))
    about = (report.gate, report.asset, report.partition, report.data_version)
    if about != (gate, artifact.asset, artifact.partition, artifact.data_version):
        return refuse(f"{path} is the verdict of {about}")
    if report.stops_consumers:
        errors = [row.describe() for row in report.failed if row.severity == "error"]
        return refuse("failed\n" + "\n".join(f"    {line}" for line in errors), report)
    if artifact.asset in JUDGES_ITS_INPUTS and (replaced := _replaced_inputs(artifact, beside)):
        names = ", ".join(replaced)
        return refuse(f"passed for other versions of {names} than those to be consumed", report)
    return report


def _replaced_inputs(artifact: Artifact, beside: Sequence[Artifact]) -> list[str]:
    """Names of artifacts that are consumed in another version than `artifact` was made from."""
    inputs = artifact.manifest["inputs"]
    assert isinstance(inputs, dict), f"{artifact.name}: the manifest lists no inputs"
    return sorted(
        other.name
        for other in beside
        if other.name in inputs and inputs[other.name] != other.data_version
    )


def _record_override(
    context: dg.AssetExecutionContext, lake: Lake, refusal: Refusal, reason: str
) -> None:
    """Write who consumed what against which verdict, when and why, and log it."""
    record: Mapping[str, object] = {
        "gate": refusal.gate,
        "consumer": context.asset_key.to_user_string(),
        "consumer_partition": context.partition_key if context.has_partition_key else None,
        "run_id": context.run.run_id,
        "who": _operator(context),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": reason,
        "problem": refusal.problem,
    }
    folder = lake.gate_folder(refusal.artifact) / "overrides"
    folder.mkdir(parents=True, exist_ok=True)
    consumer = combined_digest(
        {"consumer": record["consumer"], "partition": record["consumer_partition"]}
    )
    write_json(folder / f"{refusal.gate}-{record['run_id']}-{consumer[:8]}.json", record)
    context.log.warning(
        f"gate overridden by {record['who']}, reason {reason!r}: {refusal.describe()}"
    )


def _operator(context: dg.AssetExecutionContext) -> str:
    """Name who launched the run: its `user` tag, else the account of this process."""
    account = os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"
    return context.run.tags.get("user", account)
