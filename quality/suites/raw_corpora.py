"""Gate `raw_documents`: is this a corpus that may be prepared at all?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.expectations import run_suite
from quality.gate_tables import read_counts, read_object, read_table, verdict
from quality.gates import Criterion, equality_check, limit_check
from quality.raw_corpus import EMPTY

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

COLUMNS = dict.fromkeys(
    ("id", "text", "source", "licence", "language", "domain", "metadata"), pl.String
)
"""Columns of the artifact."""
NOT_A_LICENCE = ["", "unknown", "none", "NOASSERTION"]
"""Values that declare nothing."""
COUNTS = ("num_documents", "num_unreadable", "num_texts", "num_left_out")
"""Counts of the summary that this gate needs."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class RawLimits:
    """What a raw corpus is allowed."""

    min_documents: Annotated[int, Field(ge=1)] = 1
    """Fewest documents."""
    max_unreadable_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest share of damaged among all source texts, 0 to 1. Empty ones are not damaged."""


def expectations(limits: RawLimits) -> list["Expectation"]:
    """Return the suite; `text_chars` is the length of the text, which itself stays out."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=limits.min_documents),
        gxe.ExpectColumnValuesToNotBeNull(column="id"),
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectColumnValueLengthsToBeBetween(column="id", min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="text_chars"),
        gxe.ExpectColumnValuesToBeBetween(column="text_chars", min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="source", severity="warning"),
        gxe.ExpectColumnValuesToNotBeNull(column="licence"),
        gxe.ExpectColumnValuesToNotBeInSet(column="licence", value_set=NOT_A_LICENCE),
        gxe.ExpectColumnUniqueValueCountToBeBetween(column="licence", min_value=1, max_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="language"),
        gxe.ExpectColumnValuesToNotBeNull(column="domain"),
        gxe.ExpectColumnUniqueValueCountToBeBetween(column="domain", min_value=1, max_value=1),
    ]


def judge(folder: Path, limits: RawLimits | None = None) -> tuple[Criterion, ...]:
    """Judge one raw corpus.

    Args:
        folder: The artifact.
        limits: None for the defaults.

    Raises:
        GateCrashed: An expectation could not be evaluated.
    """
    return verdict(lambda: _criteria(folder, limits or RawLimits()))


def _criteria(folder: Path, limits: RawLimits) -> tuple[Criterion, ...]:
    select = ["id", "source", "licence", "language", "domain"]
    documents = read_table(
        folder / "documents.parquet",
        [*select, pl.col("text").str.len_chars().alias("text_chars")],
        columns=COLUMNS,
    )
    unreadable = read_table(
        folder / "unreadable.parquet",
        ["source", "reason"],
        columns=dict.fromkeys(("source", "reason", "detail"), pl.String),
    )
    counted, counted_unreadable, num_texts, num_left_out = read_counts(
        read_object(folder / "summary.json"), *COUNTS, file="summary.json"
    )
    damaged = unreadable.filter(~pl.col("reason").is_in(EMPTY).fill_null(False))
    num_sources = num_texts + num_left_out + unreadable.height
    frame = documents.to_pandas(use_pyarrow_extension_array=True)
    return (
        *run_suite(frame, expectations(limits), name="raw_documents"),
        limit_check(
            "unreadable_share",
            damaged.height / max(num_sources, 1),
            at_most=limits.max_unreadable_share,
            examples=damaged.select(pl.format("{}: {}", "source", "reason")).to_series(),
        ),
        equality_check("summary_counts_documents", counted, documents.height),
        equality_check("summary_counts_unreadable", counted_unreadable, unreadable.height),
    )
