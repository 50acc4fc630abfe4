"""The gates of the graph as Dagster checks: one per row of `assets.gates.GATES`.

Each stands alone, so that it can be run by itself, and is blocking, unless it can only warn; those
on partitioned assets have the asset's partitions, so that one bad partition holds back only its own
children.
"""

import json
from pathlib import Path

from assets.baselines import DRIFT_GATES, judge_drift
from assets.gate_checks import make_gate_check
from assets.partitions import (
    CATALOGUE,
    PRESET,
    corpus_partitions,
    domain_partitions,
    training_run_partitions,
)
from quality.coverage import judge_coverage
from quality.gates import Criterion
from quality.suites import contamination_report, token_shards
from training.run_result import read_result


def _token_limits() -> token_shards.TokenLimits:
    """Enough sequences of the length that proxies and training runs really read."""
    shapes = (PRESET.proxy, PRESET.target)
    return token_shards.TokenLimits(
        context_tokens=max(shape.model.context_tokens for shape in shapes)
    )


raw_documents = make_gate_check(
    "raw_corpora",
    "raw_documents",
    description="Documents are readable, identified, licensed; few had to be put aside.",
    partitions_def=corpus_partitions,
)
cleaned_documents = make_gate_check(
    "cleaned_shards",
    "cleaned_documents",
    description="Every raw document is kept or accounted for; what is kept is clean and unique.",
    partitions_def=corpus_partitions,
)
raw_drift = make_gate_check(
    "raw_corpora",
    DRIFT_GATES["raw_corpora"],
    description="About as many documents, lengths and languages as in the accepted version.",
    judge_version=judge_drift,
    partitions_def=corpus_partitions,
)
cleaned_drift = make_gate_check(
    "cleaned_shards",
    DRIFT_GATES["cleaned_shards"],
    description="What cleaning leaves is about what it left of the accepted version.",
    judge_version=judge_drift,
    partitions_def=corpus_partitions,
)
coverage = make_gate_check(
    "cleaned_shards",
    "coverage",
    description="No declared group of documents loses more in cleaning than it may.",
    judge_version=lambda _, artifact: judge_coverage(
        artifact.folder, CATALOGUE[str(artifact.partition)].coverage
    ),
    partitions_def=corpus_partitions,
)
contamination = make_gate_check(
    "contaminated_documents",
    "contamination",
    description="Every evaluation item was looked for and would be found; no leak is left.",
    judge=lambda folder: contamination_report.judge(
        folder,
        contamination_report.ContaminationLimits(
            heldout_overlap=PRESET.contamination.heldout_overlap
        ),
    ),
    partitions_def=corpus_partitions,
)
token_tables = make_gate_check(
    "token_shards",
    "token_tables",
    description="Shards match their manifest, documents lie end to end, there are enough rows.",
    judge=lambda folder: token_shards.judge(folder, _token_limits()),
    partitions_def=domain_partitions,
)
whole_corpus = make_gate_check(
    "shard_profile",
    "whole_corpus",
    description="No document twice, no held-out text or leak trained on, one tokenizer everywhere.",
)


def _stored_verdict(file: str) -> tuple[Criterion, ...]:
    """Criteria of a verdict that the asset stored in one of its JSON files."""
    content = json.loads(Path(file).read_text())
    return tuple(
        Criterion(
            name=row["name"],
            passed=row["passed"],
            observed=None if row["observed"] is None else round(row["observed"], 6),
            limit=f"{row['rule']} {row['limit']:.6g} ({row['detail']})",
        )
        for row in content["gate"]["rows"]
    )


law_evidence = make_gate_check(
    "mixing_law",
    "law_evidence",
    description="The law ranks runs it has not seen, and beats trivial predictors beyond chance.",
    judge=lambda folder: _stored_verdict(str(folder / "evidence.json")),
)
plan_within_evidence = make_gate_check(
    "training_plan",
    "plan_within_evidence",
    description="The proposed mixture lies inside the region that the proxy runs cover.",
    judge=lambda folder: _stored_verdict(str(folder / "plan.json")),
)


def _guard_verdicts(folder: Path) -> tuple[Criterion, ...]:
    """What the guards of a run's mixer found; nothing for a mixer without guards."""
    return tuple(
        Criterion(
            name=verdict.guard,
            severity="warning",
            passed=verdict.passed,
            observed=verdict.observed,
            limit=f"{verdict.limit} ({verdict.told})",
        )
        for verdict in read_result(folder / "result.json").verdicts
    )


mixture_guards = make_gate_check(
    "training_runs",
    "mixture_guards",
    description="The mixer worked as its method supposes; where it did not, the run says so.",
    judge=_guard_verdicts,
    partitions_def=training_run_partitions,
    blocking=False,
)
