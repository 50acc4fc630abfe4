"""What the artifacts of the lake say, as plain values for the report and the terminal.

Every reader returns None, or an empty tuple, where its artifact does not exist: a reader of the
results has to be told what is missing, and `why_missing` tells why.
"""

from dataclasses import dataclass

import polars as pl
from pydantic import TypeAdapter

from assets.lake import Lake
from training.law_evidence import TargetEvidence
from training.law_gate import LawVerdict
from training.predictions import PredictionReport
from training.proposal import Proposal
from training.scale_transfer import ScaleTransfer
from training.shard_format import read_manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class RawCounts:
    """Counts of a raw corpus: some fields of its summary.json."""

    num_documents: int
    """Documents read."""
    num_bytes: int
    """UTF-8 bytes read."""
    num_unreadable: int
    """Things put aside while reading."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """Documents that one rule rejected."""

    reason: str
    """What is wrong with them."""
    num_documents: int
    """How many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleaningCounts:
    """Counts of a cleaned corpus: some fields of its summary.json."""

    raw: int
    """Documents before."""
    kept: int
    """Documents after."""
    rejected: list[Dropped]
    """One entry per rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusFinding:
    """One corpus: what it is and what was kept."""

    corpus: str
    """Name."""
    domains: str
    """Domain of its documents, or several with commas."""
    licence: str
    """Licence of its documents, or several with commas."""
    raw: RawCounts
    """What was read."""
    cleaning: CleaningCounts | None
    """What cleaning kept and dropped; None: it was not cleaned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainFinding:
    """Tokens of one domain."""

    domain: str
    """Name."""
    train_tokens: int
    """To train on."""
    heldout_tokens: int
    """Held out."""
    num_documents: int
    """Documents to train on."""
    bytes_per_token: float
    """Of the training text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """A proxy run that stayed out of the fit."""

    run_id: str
    """Which."""
    reason: str
    """Why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceRecord:
    """Held-out scores of a law beside trivial predictors."""

    method: str
    """Key of the law family."""
    num_runs: int
    """Admitted proxy runs."""
    num_folds: int
    """Folds that left runs out."""
    level: float
    """Of the intervals."""
    average: TargetEvidence
    """On the mean over evaluation domains."""
    per_domain: dict[str, TargetEvidence]
    """By evaluation domain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LawFinding:
    """The mixing law, its evidence and its verdict: content of evidence.json."""

    evidence: EvidenceRecord
    """Scores by evaluation domain and on their average."""
    gate: LawVerdict
    """The criteria."""
    excluded: list[Exclusion]
    """Runs that stayed out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferFinding:
    """What the study of a larger scale found: content of transfer.json."""

    study: ScaleTransfer
    """Ranks and level at the larger scale."""
    gate: LawVerdict
    """Whether the ranking held."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFinding:
    """The training plan: content of plan.json. Dicts are keyed by domain."""

    proposal: Proposal
    """Weights, gain and their intervals."""
    natural: dict[str, float]
    """Share of each domain's tokens."""
    available_tokens: dict[str, float]
    """Unique training tokens."""
    budget_tokens: float
    """Tokens of the run that the plan is for."""
    epochs: dict[str, float]
    """Passes over each domain under the plan."""
    gate: LawVerdict | None = None
    """The criteria with the proposal; None: not judged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodPrediction:
    """Predicted against actual of one method, means over its runs and all domains."""

    method: str
    """Label."""
    num_runs: int
    """Runs behind it."""
    predicted: float
    """Nats per token."""
    actual: float
    """Nats per token."""
    inside: float | None
    """Share of its losses inside the predicted interval; None: no interval is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionFinding:
    """Predicted against actual."""

    comparison: pl.DataFrame
    """run_id, method, seed, domain, predicted, predicted_low, predicted_high, actual, actual_se."""
    scores: PredictionReport
    """Rank and errors by domain and on their mean."""

    def by_method(self) -> tuple[MethodPrediction, ...]:
        """One entry per method, in the order of the comparison."""
        means = self.comparison.group_by("method", maintain_order=True).agg(
            pl.col("run_id").n_unique().alias("num_runs"),
            pl.col("predicted", "actual").mean(),
            pl.col("actual").is_between("predicted_low", "predicted_high").mean().alias("inside"),
        )
        return tuple(MethodPrediction(**row) for row in means.to_dicts())


def read_corpora(lake: Lake) -> tuple[CorpusFinding, ...]:
    """Every raw corpus, sorted by name."""
    found = []
    for name in lake.partitions("raw_corpora"):
        raw = lake.artifact("raw_corpora", name)
        documents = pl.scan_parquet(raw.folder / "documents.parquet")
        said = documents.select(pl.col("domain", "licence").unique().sort().implode()).collect()
        cleaned = lake.find("cleaned_shards", name)
        found.append(
            CorpusFinding(
                corpus=name,
                domains=", ".join(said["domain"].item()),
                licence=", ".join(said["licence"].item()),
                raw=TypeAdapter(RawCounts).validate_python(raw.json("summary.json")),
                cleaning=None
                if cleaned is None
                else TypeAdapter(CleaningCounts).validate_python(cleaned.json("summary.json")),
            )
        )
    return tuple(found)


def read_domains(lake: Lake) -> tuple[DomainFinding, ...]:
    """Every domain with token shards, sorted by name."""
    found = []
    for domain in lake.partitions("token_shards"):
        folder = lake.artifact("token_shards", domain).folder
        train, heldout = read_manifest(folder / "train"), read_manifest(folder / "heldout")
        found.append(
            DomainFinding(
                domain=domain,
                train_tokens=train.num_tokens,
                heldout_tokens=heldout.num_tokens,
                num_documents=train.num_documents,
                bytes_per_token=train.num_bytes / max(train.num_tokens, 1),
            )
        )
    return tuple(found)


def read_law(lake: Lake) -> LawFinding | None:
    """The current mixing law's evidence and verdict."""
    law = lake.find("mixing_law")
    if law is None:
        return None
    return TypeAdapter(LawFinding).validate_python(law.json("evidence.json"))


def read_law_predictions(lake: Lake) -> pl.DataFrame | None:
    """Held-out predictions of the proxies: run_id, eval_domain, observed_nats, predicted_nats."""
    law = lake.find("mixing_law")
    return None if law is None else pl.read_parquet(law.folder / "predictions.parquet")


def read_transfer(lake: Lake) -> TransferFinding | None:
    """The current study of a larger scale."""
    found = lake.find("law_transfer")
    if found is None:
        return None
    content = found.json("transfer.json")
    return TransferFinding(
        study=TypeAdapter(ScaleTransfer).validate_python(content),
        gate=TypeAdapter(LawVerdict).validate_python(content["gate"]),
    )


def read_plan(lake: Lake) -> PlanFinding | None:
    """The current training plan."""
    plan = lake.find("training_plan")
    if plan is None:
        return None
    return TypeAdapter(PlanFinding).validate_python(plan.json("plan.json"))


def read_predictions(lake: Lake) -> PredictionFinding | None:
    """Predicted against actual losses of the training runs."""
    found = lake.find("predicted_vs_actual")
    if found is None:
        return None
    return PredictionFinding(
        comparison=pl.read_parquet(found.folder / "comparison.parquet"),
        scores=TypeAdapter(PredictionReport).validate_python(found.json("scores.json")),
    )


def read_costs(lake: Lake) -> pl.DataFrame | None:
    """Columns asset, partitions, wall_seconds, cpu_seconds, gpu_seconds; the dearest first."""
    found = lake.find("cost_report")
    if found is None:
        return None
    costs = pl.read_parquet(found.folder / "costs.parquet")
    return costs.sort(pl.col("cpu_seconds") + pl.col("gpu_seconds"), descending=True)


def why_missing(lake: Lake, asset: str) -> str:
    """Say in one sentence why an asset without partitions has no artifact."""
    if asset == "training_plan":
        law = read_law(lake)
        if law is not None and not law.gate.passed:
            failed = [row.name for row in law.gate.rows if not row.passed]
            return (
                "There is no training plan: the mixing law did not pass its gate "
                f"({'; '.join(failed)}), so it may not choose a mixture."
            )
    if asset == "mixing_law":
        num_runs = len(lake.partitions("proxy_runs"))
        return f"Mixing law: never materialised; finished proxy runs: {num_runs}."
    return f"{asset.replace('_', ' ').capitalize()}: never materialised."
