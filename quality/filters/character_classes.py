"""Which characters a document is made of.

    alphabetic_share       letters of any script / characters
    digit_share            decimal digits of any script / characters outside white space
    symbol_share           neither letter, mark, number nor white space / characters outside
                           white space
    alphabetic_word_share  words with at least one letter / words
    symbol_word_ratio      number signs and ellipses / words
    replacement_share      U+FFFD, the mark of a byte that could not be decoded / characters

Defaults: alphabetic share at least 0.25, the file filter of Li et al. 2023, "StarCoder: may the
source be with you!", arXiv:2305.06161; words with a letter at least 0.8 and symbols per word at
most 0.1, Rae et al. 2021, arXiv:2112.11446, table A1 (an ellipsis is U+2026 or three full stops,
and a number sign counts wherever it stands). Digits at most 0.15 and symbols at most 0.25: the
ratios of numbers and of non-alphanumeric characters in NVIDIA NeMo Curator's heuristic filters;
here the share is of characters outside white space, so that indentation does not dilute it.
Replacement characters at most 0.001: no published value; one in a thousand is about two a page.
"""

from typing import Annotated

from pydantic import ConfigDict, Field, NonNegativeFloat
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_least, at_most, count, ratio
from quality.text_counts import Count

Share = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class CharacterClassSettings:
    """Thresholds, shares in [0, 1]; None switches a rule off."""

    max_replacement_share: Share | None = 0.001
    """Greatest share of undecodable characters."""
    min_alphabetic_share: Share | None = 0.25
    """Least share of letters in all characters."""
    max_digit_share: Share | None = 0.15
    """Greatest share of digits in the characters outside white space."""
    max_symbol_share: Share | None = 0.25
    """Greatest share of symbols and punctuation in the characters outside white space."""
    min_alphabetic_word_share: Share | None = 0.8
    """Least share of words that hold a letter."""
    max_symbol_word_ratio: NonNegativeFloat | None = 0.1
    """Most number signs and ellipses per word; may exceed 1."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        return (
            *at_most("replacement_share", self.max_replacement_share, "undecodable characters"),
            *at_least("alphabetic_share", self.min_alphabetic_share, "too few letters"),
            *at_most("digit_share", self.max_digit_share, "too many digits"),
            *at_most("symbol_share", self.max_symbol_share, "too many symbols"),
            *at_least(
                "alphabetic_word_share",
                self.min_alphabetic_word_share,
                "too few words with a letter",
            ),
            *at_most(
                "symbol_word_ratio",
                self.max_symbol_word_ratio,
                "too many number signs and ellipses",
            ),
        )


CHARACTER_CLASSES = Filter(
    metrics={
        "alphabetic_share": ratio(Count.ALPHABETIC_CHARS, Count.CHARS),
        "digit_share": ratio(Count.DECIMAL_CHARS, Count.DARK_CHARS),
        "symbol_share": ratio(Count.SYMBOL_CHARS, Count.DARK_CHARS),
        "alphabetic_word_share": ratio(Count.ALPHABETIC_WORDS, Count.WORDS),
        "symbol_word_ratio": ratio(count(Count.HASHES) + count(Count.ELLIPSES), Count.WORDS),
        "replacement_share": ratio(Count.REPLACEMENT_CHARS, Count.CHARS),
    },
    settings=CharacterClassSettings,
)
"""The filter."""
