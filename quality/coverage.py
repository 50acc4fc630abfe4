"""Coverage: does cleaning spare the groups of documents that must not be lost?

    loss of a group = rejected / (kept + rejected)          documents, later copies left out

A copy that was dropped is no loss, its text is still there. The groups are declared, with what each
may lose, where the corpus is described; a rule that nobody declared would only be a guess.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.gate_tables import Columns, read_table, verdict
from quality.gates import Criterion, limit_check
from quality.path_selection import compile_pattern

GroupKind = Literal["all", "language", "source", "length"]
COPIES = re.compile("deduplication|duplicates?$")
"""Operators that drop copies of documents that are kept."""
_COLUMNS: dict[GroupKind, Columns] = {
    "all": {},
    "language": {"detected_language": pl.String},
    "source": {"source": pl.String},
    "length": {"num_chars": pl.Int64},
}
"""What a kind of group is decided on; columns of kept and rejected documents."""
_BAND = re.compile(r"(?P<low>[0-9]+)-(?P<high>[0-9]*)")


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class CoverageLimit:
    """What one declared group may lose."""

    by: GroupKind = "all"
    """What the group has in common; `all` is the whole corpus."""
    group: str = ""
    """A detected language (`de`); a pattern of sources (`docs/**`); characters from-below
    (`200-2000`, `2000-`); empty for `all`."""
    max_loss: Annotated[float, Field(ge=0, lt=1)]
    """Greatest share of its documents that cleaning may reject."""

    def __post_init__(self) -> None:
        """Refuse a group that its kind cannot mean."""
        if (self.by == "all") != (not self.group):
            raise ValueError(f"by={self.by!r} does not go with group={self.group!r}")
        if self.by == "length" and _BAND.fullmatch(self.group) is None:
            raise ValueError(f"a band of length is written 200-2000 or 2000-, not {self.group!r}")
        if self.by == "source":
            compile_pattern(self.group)

    @property
    def name(self) -> str:
        """`loss` for the whole corpus, otherwise such as `loss_language_de`."""
        return "loss" if self.by == "all" else f"loss_{self.by}_{self.group}"

    def members(self, documents: pl.DataFrame) -> pl.Series:
        """Whether each document belongs to the group; needs the columns of its kind."""
        if self.by == "language":
            return (documents["detected_language"] == self.group).fill_null(False)
        if self.by == "source":
            pattern = compile_pattern(self.group)
            values = [
                source is not None and bool(pattern.fullmatch(source))
                for source in documents["source"]
            ]
            return pl.Series(values, dtype=pl.Boolean)
        if self.by == "length":
            band = _BAND.fullmatch(self.group)
            assert band is not None
            within = documents["num_chars"] >= int(band["low"])
            return within & (documents["num_chars"] < int(band["high"])) if band["high"] else within
        return pl.Series([True] * documents.height, dtype=pl.Boolean)


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
    num_kept = int(limit.members(kept).sum())
    of_group = lost.filter(limit.members(lost))
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
