"""Drift: how far a table of documents has moved from the version that was last accepted.

    document ratio, character ratio   now / accepted
    length shift                      population stability index of the lengths,
                                      PSI = sum_b (p_b - q_b) ln(p_b / q_b)
                                      over bins b of powers of two, p now, q accepted
    language shift                    greatest change of one language's share of the documents

Source of the index: Siddiqi 2006, "Credit Risk Scorecards", with the usual reading: below 0.1 no
change, above 0.25 another population. Deviations: bins are fixed powers of two instead of deciles
of the accepted version, so that each snapshot is a small table that needs no text afterwards; half
a document is added to each bin that either version has, so an empty bin does not give infinity.

Small corpora fluctuate. Without any drift PSI is distributed as chi-squared with B - 1 degrees of
freedom times (1/N + 1/M) (Yurdakul and Naranjo 2020, "Statistical properties of the population
stability index", Journal of Risk Model Validation 14(4)), a share as a binomial; what chance
exceeds once in a thousand times is added to the limits of these two.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Self

import polars as pl
from pydantic import ConfigDict, Field, NonNegativeInt, TypeAdapter
from pydantic.dataclasses import dataclass

from quality.document_batches import DOCUMENTS
from quality.gate_tables import read_table
from quality.gates import Criterion, Severity, limit_check
from quality.languages import identify_languages

NUM_BINS = 32
"""Bin b holds documents of 2^(b-1) to 2^b - 1 characters, bin 0 empty ones, the last all others."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LANGUAGE_SAMPLE = 1000
"""Most documents, evenly spread, whose language is identified where no column tells it."""
LANGUAGE_CHARS = 500
"""Of their first characters: a shift of shares needs no more, and four windows cost four times."""
_CHANCE = 0.999
_CHANCE_SIGMAS = 3.29
"""Two-sided: exceeded once in a thousand times."""
_PSEUDO_COUNT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class DriftLimits:
    """How far a version may move from the accepted one. Ours where no source is named."""

    min_document_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Fewest documents per accepted one: half of a corpus does not vanish by itself."""
    max_document_ratio: Annotated[float, Field(ge=1)] = 2.0
    """Most documents per accepted one: a corpus that doubled has been read twice, or is new."""
    min_char_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Fewest characters per accepted one, for the same reason."""
    max_char_ratio: Annotated[float, Field(ge=1)] = 2.0
    """Most characters per accepted one."""
    warn_length_shift: Annotated[float, Field(ge=0)] = 0.1
    """Stability index of the lengths above which a warning is given (Siddiqi 2006)."""
    max_length_shift: Annotated[float, Field(ge=0)] = 0.25
    """Greatest stability index of the lengths (Siddiqi 2006)."""
    max_language_shift: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Greatest change of one language's share of the documents."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid", strict=True))
class Snapshot:
    """What is remembered of a version of a table of documents."""

    num_documents: NonNegativeInt
    """Rows."""
    num_chars: NonNegativeInt
    """Characters of all texts."""
    length_histogram: Annotated[tuple[int, ...], Field(min_length=NUM_BINS, max_length=NUM_BINS)]
    """Documents per bin of length."""
    length_quantiles_chars: dict[str, float]
    """Quantile, such as `0.5`, -> characters; empty if there are no documents."""
    languages: dict[str, int]
    """Language -> documents, of all documents or of the sample."""

    def to_json(self) -> dict[str, object]:
        """Return a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Read a JSON object back.

        Raises:
            ValueError: It is no snapshot.
        """
        return TypeAdapter(cls).validate_python(content, strict=False)


def take_snapshot(folder: Path) -> Snapshot:
    """Measure `documents.parquet` of an artifact.

    Args:
        folder: The artifact; its table needs the column `text`. Languages come from the column
            `detected_language`; where there is none, those of up to `LANGUAGE_SAMPLE` documents
            are identified.

    Raises:
        TableRefused: The table is missing or damaged or lacks the column.
    """
    path = folder / DOCUMENTS
    chars = pl.col("text").str.len_chars().cast(pl.Int64).alias("chars")
    lengths = read_table(path, [chars], columns={"text": pl.String})["chars"].fill_null(0)
    # A length of 2^(b-1) to 2^b - 1 has b binary digits.
    bins = pl.Series([int(value).bit_length() for value in lengths], dtype=pl.Int64)
    counts = dict(bins.clip(upper_bound=NUM_BINS - 1).value_counts().iter_rows())
    quantiles = {str(share): lengths.quantile(share) for share in QUANTILES}
    return Snapshot(
        num_documents=len(lengths),
        num_chars=int(lengths.sum()),
        length_histogram=tuple(counts.get(index, 0) for index in range(NUM_BINS)),
        length_quantiles_chars={
            name: float(value) for name, value in quantiles.items() if value is not None
        },
        languages=_count_languages(path, num_documents=len(lengths)),
    )


def _count_languages(path: Path, *, num_documents: int) -> dict[str, int]:
    if "detected_language" in pl.read_parquet_schema(path):
        languages = read_table(path, ["detected_language"], columns={}).to_series().drop_nulls()
    else:
        step = max(1, -(-num_documents // LANGUAGE_SAMPLE))
        beginnings = pl.col("text").gather_every(step).str.slice(0, LANGUAGE_CHARS)
        sample = read_table(path, [beginnings], columns={})["text"]
        codes, _ = identify_languages(sample.drop_nulls().to_list())
        languages = pl.Series(codes, dtype=pl.String)
    return dict(sorted(languages.value_counts().iter_rows()))


def compare_snapshots(
    now: Snapshot, accepted: Snapshot, limits: DriftLimits, *, severity: Severity = "error"
) -> tuple[Criterion, ...]:
    """Judge a version against the accepted one.

    Args:
        now: The version.
        accepted: What it is compared with; has documents.
        limits: How far it may move.
        severity: Of a failure; "warning" for a change that was made on purpose.
    """
    ratios = (
        ("document_ratio", now.num_documents, accepted.num_documents),
        ("char_ratio", now.num_chars, accepted.num_chars),
    )
    bounds = {
        "document_ratio": (limits.min_document_ratio, limits.max_document_ratio),
        "char_ratio": (limits.min_char_ratio, limits.max_char_ratio),
    }
    if not now.num_documents:
        return (limit_check("document_ratio", 0.0, at_least=limits.min_document_ratio),)
    shift, chance = length_shift(now, accepted)
    examples = [f"median length {_median(accepted)} then, {_median(now)} now"]
    return (
        *(
            limit_check(
                name,
                round(new / max(old, 1), 4),
                at_least=bounds[name][0],
                at_most=bounds[name][1],
                severity=severity,
                examples=[f"{old} then, {new} now"],
            )
            for name, new, old in ratios
        ),
        limit_check(
            "length_shift",
            round(shift, 4),
            at_most=round(limits.max_length_shift + chance, 4),
            severity=severity,
            examples=examples,
        ),
        limit_check(
            "length_shift_noticed",
            round(shift, 4),
            at_most=round(limits.warn_length_shift + chance, 4),
            severity="warning",
            examples=examples,
        ),
        _language_check(now.languages, accepted.languages, limits, severity=severity),
    )


def length_shift(now: Snapshot, accepted: Snapshot) -> tuple[float, float]:
    """Stability index of the lengths, and what chance alone exceeds once in a thousand times.

    Args:
        now: The version; has documents.
        accepted: What it is compared with; has documents.
    """
    from scipy.special import chdtri

    pairs = [
        (new + _PSEUDO_COUNT, old + _PSEUDO_COUNT)
        for new, old in zip(now.length_histogram, accepted.length_histogram, strict=True)
        if new or old
    ]
    new_total, old_total = (sum(column) for column in zip(*pairs, strict=True))
    index = sum(
        (new / new_total - old / old_total) * math.log((new / new_total) / (old / old_total))
        for new, old in pairs
    )
    spread = 1 / now.num_documents + 1 / accepted.num_documents
    freedom = len(pairs) - 1
    return index, float(chdtri(freedom, 1 - _CHANCE)) * spread if freedom else 0.0


def _language_check(
    now: Mapping[str, int], accepted: Mapping[str, int], limits: DriftLimits, *, severity: Severity
) -> Criterion:
    """Judge the language whose share exceeds its limit most."""
    num_now, num_accepted = sum(now.values()), sum(accepted.values())
    if not num_now or not num_accepted:
        return Criterion(
            name="language_shift",
            severity=severity,
            passed=False,
            observed=None,
            limit="languages of both versions are known",
        )

    def change(language: str) -> tuple[float, float]:
        new, old = now.get(language, 0), accepted.get(language, 0)
        pooled = (new + old) / (num_now + num_accepted)
        sigma = math.sqrt(pooled * (1 - pooled) * (1 / num_now + 1 / num_accepted))
        return abs(new / num_now - old / num_accepted), _CHANCE_SIGMAS * sigma

    changes = {language: change(language) for language in sorted({*now, *accepted})}
    worst = max(changes, key=lambda language: changes[language][0] - changes[language][1])
    shift, chance = changes[worst]
    shares = (accepted.get(worst, 0) / num_accepted, now.get(worst, 0) / num_now)
    return limit_check(
        "language_shift",
        round(shift, 4),
        at_most=round(limits.max_language_shift + chance, 4),
        severity=severity,
        examples=[f"{worst}: {shares[0]:.1%} then, {shares[1]:.1%} now"],
    )


def _median(snapshot: Snapshot) -> str:
    median = snapshot.length_quantiles_chars.get("0.5")
    return "none" if median is None else f"{median:g}"
