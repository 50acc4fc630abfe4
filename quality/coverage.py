"""Coverage: does cleaning spare the groups of documents that must not be lost?

    loss of a group = rejected / (kept + rejected)          documents, later copies left out

A copy that was dropped is no loss, its text is still there. The groups are declared, with what each
may lose, where the corpus is described; a rule that nobody declared would only be a guess.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from quality.coverage_limits import BAND, CoverageLimit, GroupKind
from quality.gate_tables import Columns, read_table, verdict
from quality.gates import Criterion, limit_check
from quality.path_selection import compile_pattern

COPIES = re.compile("deduplication|duplicates?$")
"""Operators that drop copies of documents that are kept."""
_COLUMNS: dict[GroupKind, Columns] = {
    "all": {},
    "language": {"detected_language": pl.String},
    "source": {"source": pl.String},
    "length": {"num_chars": pl.Int64},
}
"""What a kind of group is decided on; columns of kept and rejected documents."""
DEFAULT_LIMITS = (CoverageLimit(max_loss=0.95),)
"""Where nothing is declared: a profile that drops nineteen of twenty documents is the wrong one."""


def judge_coverage(folder: Path, limits: Sequence[CoverageLimit] = ()) -> tuple[Criterion, ...]:
    """Judge what cleaning left of each declared group.

    A group of which not one document came in fails, too: its share of nothing proves nothing.

    Args:
        folder: Cleaned shards of one corpus.
        limits: Declared groups; empty for `DEFAULT_LIMITS`.
    """
    return verdict(lambda: _criteria(folder, limits or DEFAULT_LIMITS))


def _criteria(folder: Path, limits: Sequence[CoverageLimit]) -> tuple[Criterion, ...]:
    columns: dict[str, pl.DataType | type[pl.DataType]] = {"id": pl.String}
    for limit in limits:
        columns.update(_COLUMNS[limit.by])
    kept = read_table(folder / "documents.parquet", list(columns), columns=columns)
    dropped = {**columns, "operator": pl.String}
    rejected = read_table(folder / "rejected.parquet", list(dropped), columns=dropped)
    lost = rejected.filter(~pl.col("operator").str.contains(COPIES.pattern).fill_null(False))
    return tuple(_loss(limit, kept, lost) for limit in limits)


def _loss(limit: CoverageLimit, kept: pl.DataFrame, lost: pl.DataFrame) -> Criterion:
    num_kept = int(_members(limit, kept).sum())
    of_group = lost.filter(_members(limit, lost))
    num_raw = num_kept + of_group.height
    if not num_raw:
        return Criterion(
            name=limit.name,
            passed=False,
            observed="no document of this group came in",
            limit=f"<= {limit.max_loss:g}",
        )
    operators = (
        of_group["operator"]
        .value_counts(sort=True)
        .sort("count", "operator", descending=[True, False])
    )
    examples = [f"{operator}: {count} of {num_raw}" for operator, count in operators.iter_rows()]
    loss = round(of_group.height / num_raw, 4)
    return limit_check(limit.name, loss, at_most=limit.max_loss, examples=examples)


def _members(limit: CoverageLimit, documents: pl.DataFrame) -> pl.Series:
    """Whether each document belongs to the group; needs the columns of its kind."""
    if limit.by == "language":
        return (documents["detected_language"] == limit.group).fill_null(False)
    if limit.by == "source":
        pattern = compile_pattern(limit.group)
        values = [
            source is not None and bool(pattern.fullmatch(source)) for source in documents["source"]
        ]
        return pl.Series(values, dtype=pl.Boolean)
    if limit.by == "length":
        band = BAND.fullmatch(limit.group)
        assert band is not None
        within = documents["num_chars"] >= int(band["low"])
        return within & (documents["num_chars"] < int(band["high"])) if band["high"] else within
    return pl.Series([True] * documents.height, dtype=pl.Boolean)
