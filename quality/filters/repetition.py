"""Repetition of lines inside a document.

Lines are compared without their outer blanks; empty ones do not count.

    duplicate_line_share       lines that repeat an earlier line / lines
    duplicate_line_char_share  characters in those lines / characters in all lines
    top_line_share             copies of the most frequent line / lines, 0 below four copies:
                               a heading that comes back in a document of five lines is no fault

Defaults of the first two, 0.30 and 0.20: Rae et al. 2021, arXiv:2112.11446, table A1. The third is
ours, without a published value: a table of contents or a form letter repeats many lines a little,
a broken scrape repeats one line throughout.
"""

from typing import Annotated

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_most, count, ratio
from quality.text_counts import Count

MIN_TOP_COPIES = 4
"""Fewest copies at which the most frequent line counts as one that fills the document."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class RepetitionSettings:
    """Thresholds, shares in [0, 1]; None switches a rule off."""

    max_duplicate_line_share: Share | None = 0.30
    """Greatest share of lines that repeat an earlier line."""
    max_duplicate_line_char_share: Share | None = 0.20
    """Greatest share of characters in lines that repeat an earlier line."""
    max_top_line_share: Share | None = 0.30
    """Greatest share of lines taken by the most frequent line, where it repeats."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        return (
            *at_most("top_line_share", self.max_top_line_share, "one line throughout"),
            *at_most("duplicate_line_share", self.max_duplicate_line_share, "repeated lines"),
            *at_most(
                "duplicate_line_char_share",
                self.max_duplicate_line_char_share,
                "repeated lines hold much of the text",
            ),
        )


REPETITION = Filter(
    metrics={
        "duplicate_line_share": ratio(Count.REPEATED_FILLED_LINES, Count.FILLED_LINES),
        "duplicate_line_char_share": ratio(
            Count.REPEATED_FILLED_LINE_CHARS, Count.FILLED_LINE_CHARS
        ),
        "top_line_share": pl.when(count(Count.TOP_LINE_COPIES) >= MIN_TOP_COPIES)
        .then(ratio(Count.TOP_LINE_COPIES, Count.FILLED_LINES))
        .otherwise(0.0),
    },
    settings=RepetitionSettings,
)
"""The filter."""
