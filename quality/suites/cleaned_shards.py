"""Gate `cleaned_documents`: is every document accounted for, and is the rest clean?

The account is raw = kept + sum of the rejected, exactly, both in the summary and in the tables.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.expectations import run_suite
from quality.filters.declared_language import UNDECLARED
from quality.gate_tables import read_counts, read_object, read_table, unreadable, verdict
from quality.gates import Criterion, equality_check
from quality.pii.redaction import COUNT_COLUMNS, count_pii

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

COLUMNS = dict.fromkeys(("id", "text", "language", "text_hash", "detected_language"), pl.String)
"""Columns of the kept documents that this gate needs."""
REJECTED_COLUMNS = dict.fromkeys(("id", "operator", "reason"), pl.String)
"""Columns of the rejected documents that this gate needs."""
PII_COUNTS = pl.Struct(dict.fromkeys(COUNT_COLUMNS.values(), pl.UInt32))
"""Findings in one text."""
CONTROL_CHARACTERS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u{feff}]"
"""All of Unicode's category Cc but tab and line feed, and the byte order mark."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class CleanedLimits:
    """What cleaned shards are allowed."""

    min_documents: Annotated[int, Field(ge=1)] = 1
    """Fewest kept documents."""
    min_median_chars: Annotated[int, Field(ge=1)] = 20
    """Smallest median length, characters."""
    max_p99_chars: Annotated[int, Field(ge=1)] = 1_000_000
    """Largest 99th percentile of the length, characters."""
    max_pii_document_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Greatest share of documents with a kind of personal or secret data that the profile does not
    replace; above it is a warning, for the profile may be the wrong one."""
    min_language_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Least share of documents detected as the declared language, 0 to 1."""


def expectations(
    limits: CleanedLimits, *, language: str | None, redacted: Collection[str]
) -> list["Expectation"]:
    """Return the suite.

    Args:
        limits: Thresholds.
        language: First subtag of the declared language; None if the corpus promises none.
        redacted: Kinds of personal and secret data of which nothing may be left.
    """
    import great_expectations.expectations as gxe

    lengths = {
        "quantiles": [0.5, 0.99],
        "value_ranges": [[limits.min_median_chars, None], [None, limits.max_p99_chars]],
    }
    suite = [
        gxe.ExpectTableRowCountToBeBetween(min_value=limits.min_documents),
        gxe.ExpectColumnValuesToNotBeNull(column="id"),
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectColumnValuesToNotBeNull(column="text_hash"),
        gxe.ExpectColumnValuesToBeUnique(column="text_hash"),
        gxe.ExpectColumnValuesToMatchRegex(column="text_hash", regex="^[0-9a-f]{32}$"),
        gxe.ExpectColumnValuesToNotBeNull(column="text_chars"),
        gxe.ExpectColumnValuesToBeBetween(column="text_chars", min_value=1),
        gxe.ExpectColumnQuantileValuesToBeBetween(column="text_chars", quantile_ranges=lengths),
        # The id of a document that still has control characters, else null: examples name it.
        gxe.ExpectColumnValuesToBeNull(column="control_characters_in"),
        gxe.ExpectColumnUniqueValueCountToBeBetween(column="language", min_value=1, max_value=1),
    ]
    suite += [
        gxe.ExpectColumnValuesToBeBetween(
            column=column,
            max_value=0,
            mostly=1.0 if kind in redacted else 1.0 - limits.max_pii_document_share,
            severity="critical" if kind in redacted else "warning",
        )
        for kind, column in COUNT_COLUMNS.items()
    ]
    if language is not None:
        suite += [
            gxe.ExpectColumnValuesToNotBeNull(column="detected_language"),
            gxe.ExpectColumnValuesToBeInSet(
                column="detected_language", value_set=[language], mostly=limits.min_language_share
            ),
        ]
    return suite


def judge(folder: Path, limits: CleanedLimits | None = None) -> tuple[Criterion, ...]:
    """Judge the cleaned shards of one corpus.

    Args:
        folder: The artifact.
        limits: None for the defaults.

    Raises:
        GateCrashed: An expectation could not be evaluated.
    """
    return verdict(lambda: _criteria(folder, limits or CleanedLimits()))


def _criteria(folder: Path, limits: CleanedLimits) -> tuple[Criterion, ...]:
    text = pl.col("text")
    has_control_characters = text.str.contains(CONTROL_CHARACTERS)
    documents = read_table(
        folder / "documents.parquet",
        [
            *("id", "language", "text_hash", "detected_language"),
            text.str.len_chars().alias("text_chars"),
            pl.when(has_control_characters).then("id").alias("control_characters_in"),
            text.map_batches(_count_pii, return_dtype=PII_COUNTS, is_elementwise=True).alias("pii"),
        ],
        columns=COLUMNS,
    )
    rejected = read_table(
        folder / "rejected.parquet", list(REJECTED_COLUMNS), columns=REJECTED_COLUMNS
    )
    summary = read_object(folder / "summary.json")
    redacted = _redacted_kinds(summary)
    frame = documents.unnest("pii").to_pandas(use_pyarrow_extension_array=True)
    suite = expectations(limits, language=_declared(documents), redacted=redacted)
    return (
        *run_suite(frame, suite, name="cleaned_documents"),
        *_account(summary, kept=documents, rejected=rejected),
    )


def _count_pii(texts: pl.Series) -> pl.Series:
    return count_pii(texts.fill_null("")).to_struct()


def _redacted_kinds(summary: Mapping[str, object]) -> tuple[str, ...]:
    kinds = summary.get("redacted_kinds")
    if not isinstance(kinds, list) or not set(kinds) <= set(COUNT_COLUMNS):
        raise unreadable("summary.json", f"redacted_kinds must be known kinds, found {kinds!r}")
    return tuple(kinds)


def _declared(documents: pl.DataFrame) -> str | None:
    """Return the first subtag of the declared language, None if none is promised."""
    declared = documents["language"].drop_nulls()
    code = str(declared[0]).lower().split("-")[0] if len(declared) else ""
    return None if code in UNDECLARED else code


def _account(
    summary: Mapping[str, object], *, kept: pl.DataFrame, rejected: pl.DataFrame
) -> tuple[Criterion, ...]:
    counted_raw, counted_kept = read_counts(summary, "raw", "kept", file="summary.json")
    counted = _rejected_counts(summary)
    found = {
        (operator, reason): count
        for operator, reason, count in rejected.group_by("operator", "reason").len().iter_rows()
    }
    differing = sorted(set(counted.items()) ^ set(found.items()), key=str)
    ids = pl.concat([kept["id"], rejected["id"]])
    twice = ids.filter(ids.is_duplicated()).unique().sort()
    return (
        equality_check(
            "raw_is_kept_plus_rejected", counted_kept + sum(counted.values()), counted_raw
        ),
        equality_check("summary_counts_kept", counted_kept, kept.height),
        equality_check(
            "summary_counts_rejected",
            len(differing),
            0,
            examples=[f"{operator}/{reason}: {count}" for (operator, reason), count in differing],
        ),
        equality_check(
            "ids_unique_over_kept_and_rejected",
            len(twice),
            0,
            examples=[str(value) for value in twice.head(5)],
        ),
        equality_check(
            "every_rejection_has_a_reason",
            rejected.filter(pl.any_horizontal(pl.all().is_null())).height,
            0,
        ),
    )


def _rejected_counts(summary: Mapping[str, object]) -> dict[tuple[str, str], int]:
    entries = summary.get("rejected")
    if not isinstance(entries, list):
        raise unreadable("summary.json", f"rejected must be a list, found {entries!r}")
    counts: dict[tuple[str, str], int] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            raise unreadable("summary.json", f"rejected holds {entry!r}, which is no object")
        (count,) = read_counts(entry, "num_documents", file="summary.json")
        key = (str(entry.get("operator")), str(entry.get("reason")))
        counts[key] = counts.get(key, 0) + count
    return counts
