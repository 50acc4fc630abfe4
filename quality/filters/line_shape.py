"""Shape of the lines: very long lines are data or minified code, bullets are navigation.

    mean_line_chars      characters per line, the line break not counted
    max_line_chars       characters of the longest line
    bullet_line_share    lines that start with a bullet / lines that are not empty
    ellipsis_line_share  lines that end with an ellipsis / lines that are not empty

Defaults for lines that start with a bullet (0.9) and end with an ellipsis (0.3): Rae et al. 2021,
arXiv:2112.11446, table A1. The line lengths of Li et al. 2023, arXiv:2305.06161 (mean at most 100,
longest at most 1000) are for code: off by default, since prose is often one line per paragraph.
"""

from typing import Annotated

import polars as pl
from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_most, ratio

Share = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class LineShapeSettings:
    """Thresholds; None switches a rule off."""

    max_mean_line_chars: NonNegativeFloat | None = None
    """Greatest mean line length in characters."""
    max_line_chars: NonNegativeInt | None = None
    """Greatest line length in characters."""
    max_bullet_line_share: Share | None = 0.9
    """Greatest share of lines that start with a bullet."""
    max_ellipsis_line_share: Share | None = 0.3
    """Greatest share of lines that end with an ellipsis."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        return (
            *at_most("mean_line_chars", self.max_mean_line_chars, "lines too long on average"),
            *at_most("max_line_chars", self.max_line_chars, "a line too long"),
            *at_most("bullet_line_share", self.max_bullet_line_share, "almost only bullets"),
            *at_most("ellipsis_line_share", self.max_ellipsis_line_share, "many lines cut short"),
        )


def _count(pattern: str) -> pl.Expr:
    return pl.col("text").str.count_matches(pattern)


_NUM_BREAKS = _count("\n")
_FILLED_LINES = _count(r"(?m)^[^\n]*\S")

LINE_SHAPE = Filter(
    metrics={
        "mean_line_chars": ratio(pl.col("num_chars") - _NUM_BREAKS, _NUM_BREAKS + 1),
        "max_line_chars": pl.col("text")
        .str.split("\n")
        .list.eval(pl.element().str.len_chars())
        .list.max()
        .fill_null(0)
        .cast(pl.Int64),
        "bullet_line_share": ratio(_count(r"(?m)^[^\S\n]*[-*•‣◦▪●]"), _FILLED_LINES),
        "ellipsis_line_share": ratio(_count(r"(?m)(?:…|\.\.\.)$"), _FILLED_LINES),
    },
    settings=LineShapeSettings,
)
"""The filter."""
