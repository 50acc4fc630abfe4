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

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_most, count, ratio
from quality.text_counts import Count

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


LINE_SHAPE = Filter(
    metrics={
        "mean_line_chars": ratio(
            count(Count.CHARS) - count(Count.NEWLINES), count(Count.NEWLINES) + 1
        ),
        "max_line_chars": count(Count.MAX_LINE_CHARS),
        "bullet_line_share": ratio(Count.BULLET_LINES, Count.FILLED_LINES),
        "ellipsis_line_share": ratio(Count.ELLIPSIS_LINES, Count.FILLED_LINES),
    },
    settings=LineShapeSettings,
)
"""The filter."""
