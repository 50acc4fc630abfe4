"""FineWeb's own rules, for lists and for pages that are mostly navigation.

Source and all thresholds: Penedo et al. 2024, "The FineWeb Datasets: Decanting the Web for the
Finest Text Data at Scale", arXiv:2406.17557, section 3.6. They judge the text that stays: where
the profile has C4's filter in force, what its rules for lines have left.

    fineweb_num_lines                  lines with text
    fineweb_terminal_line_share        lines that end a sentence / lines with text
    fineweb_short_line_share           lines of at most 30 characters / lines with text
    fineweb_duplicate_line_char_share  characters in lines equal to an earlier one / characters
                                       without line breaks
    fineweb_newline_word_ratio         line breaks / words of `quality.kernel_text`
"""

from typing import Annotated

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_least, at_most, count, ratio
from quality.text_counts import Count

Share = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class FineWebSettings:
    """Thresholds; None switches a rule off."""

    min_lines: NonNegativeInt | None = 1
    """Fewest lines with text."""
    min_terminal_line_share: Share | None = 0.12
    """Least share of lines that end a sentence."""
    max_short_line_share: Share | None = 0.67
    """Greatest share of lines of at most 30 characters."""
    max_duplicate_line_char_share: Share | None = 0.01
    """Greatest share of characters in lines that repeat an earlier one."""
    max_newline_word_ratio: NonNegativeFloat | None = 0.3
    """Most line breaks per word."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        return (
            *at_least("fineweb_num_lines", self.min_lines, "no line left"),
            *at_least(
                "fineweb_terminal_line_share",
                self.min_terminal_line_share,
                "too few lines that end a sentence",
            ),
            *at_most("fineweb_short_line_share", self.max_short_line_share, "too many short lines"),
            *at_most(
                "fineweb_duplicate_line_char_share",
                self.max_duplicate_line_char_share,
                "repeated lines",
            ),
            *at_most("fineweb_newline_word_ratio", self.max_newline_word_ratio, "a list"),
        )


FINEWEB = Filter(
    metrics={
        "fineweb_num_lines": count(Count.STAYING_LINES),
        "fineweb_terminal_line_share": ratio(Count.TERMINAL_LINES, Count.STAYING_LINES),
        "fineweb_short_line_share": ratio(Count.SHORT_LINES, Count.STAYING_LINES),
        "fineweb_duplicate_line_char_share": ratio(
            Count.REPEATED_STAYING_CHARS, Count.STAYING_CHARS
        ),
        "fineweb_newline_word_ratio": ratio(Count.STAYING_NEWLINES, Count.STAYING_TOKENS),
    },
    settings=FineWebSettings,
)
"""The filter."""
