"""Length of a document and of its words.

    num_chars        Unicode code points
    num_words        runs of characters between white space
    mean_word_chars  characters outside white space per word

Defaults: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training
Gopher", arXiv:2112.11446, table A1: 50 to 100,000 words, mean word length 3 to 10. A language
written without spaces has few and long words: its profile judges characters instead.
"""

import polars as pl
from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_least, at_most, count, ratio
from quality.text_counts import Count

NUM_CHARS = pl.col("text").str.len_chars().cast(pl.Int64)
NUM_WORDS = pl.col("text").str.count_matches(r"\S+").cast(pl.Int64)


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class LengthSettings:
    """Thresholds; None switches a rule off."""

    min_chars: NonNegativeInt | None = None
    """Fewest characters."""
    max_chars: NonNegativeInt | None = None
    """Most characters."""
    min_words: NonNegativeInt | None = 50
    """Fewest words."""
    max_words: NonNegativeInt | None = 100_000
    """Most words."""
    min_mean_word_chars: NonNegativeFloat | None = 3.0
    """Least mean word length in characters."""
    max_mean_word_chars: NonNegativeFloat | None = 10.0
    """Greatest mean word length in characters."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        return (
            *at_least("num_chars", self.min_chars, "too few characters"),
            *at_most("num_chars", self.max_chars, "too many characters"),
            *at_least("num_words", self.min_words, "too few words"),
            *at_most("num_words", self.max_words, "too many words"),
            *at_least("mean_word_chars", self.min_mean_word_chars, "words too short"),
            *at_most("mean_word_chars", self.max_mean_word_chars, "words too long"),
        )


LENGTH = Filter(
    metrics={
        "num_chars": count(Count.CHARS),
        "num_words": count(Count.WORDS),
        "mean_word_chars": ratio(Count.DARK_CHARS, Count.WORDS),
    },
    settings=LengthSettings,
)
"""The filter."""
