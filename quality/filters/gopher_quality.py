"""Gopher's rules for the look of a document: length, word length, symbols, bullets, stop words.

Source and all thresholds: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights
from Training Gopher", arXiv:2112.11446, section A1.1. Counted as FineWeb counts it (Penedo et al.
2024, arXiv:2406.17557), in the order in which it tries them; words are those of
`quality.kernel_text`, so punctuation marks are words unless said otherwise.

    gopher_num_words              words that are not punctuation throughout
    gopher_mean_word_chars        their mean length
    gopher_hash_word_ratio        number signs / words
    gopher_ellipsis_word_ratio    ellipses / words
    gopher_dash_line_share        lines that begin with - or U+2022 / lines
    gopher_ellipsis_line_share    lines that end with an ellipsis / lines
    gopher_letter_word_share      words with a letter / words
    gopher_num_stop_words         different words of: the be to of and that have with

Deviation: what is punctuation comes from the Unicode categories instead of a list of characters.
"""

from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_least, at_most, count, ratio
from quality.text_counts import Count


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class GopherQualitySettings:
    """Thresholds; None switches a rule off."""

    min_words: NonNegativeInt | None = 50
    """Fewest words."""
    max_words: NonNegativeInt | None = 100_000
    """Most words."""
    min_mean_word_chars: NonNegativeFloat | None = 3.0
    """Least mean word length in characters."""
    max_mean_word_chars: NonNegativeFloat | None = 10.0
    """Greatest mean word length in characters."""
    max_hash_word_ratio: NonNegativeFloat | None = 0.1
    """Most number signs per word."""
    max_ellipsis_word_ratio: NonNegativeFloat | None = 0.1
    """Most ellipses per word."""
    max_dash_line_share: NonNegativeFloat | None = 0.9
    """Greatest share of lines that begin with a dash or bullet."""
    max_ellipsis_line_share: NonNegativeFloat | None = 0.3
    """Greatest share of lines that end with an ellipsis."""
    min_letter_word_share: NonNegativeFloat | None = 0.8
    """Least share of words with a letter."""
    min_stop_words: NonNegativeInt | None = 2
    """Fewest different stop words."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        return (
            *at_least("gopher_num_words", self.min_words, "too few words"),
            *at_most("gopher_num_words", self.max_words, "too many words"),
            *at_least("gopher_mean_word_chars", self.min_mean_word_chars, "words too short"),
            *at_most("gopher_mean_word_chars", self.max_mean_word_chars, "words too long"),
            *at_most("gopher_hash_word_ratio", self.max_hash_word_ratio, "too many number signs"),
            *at_most(
                "gopher_ellipsis_word_ratio", self.max_ellipsis_word_ratio, "too many ellipses"
            ),
            *at_most("gopher_dash_line_share", self.max_dash_line_share, "almost only bullets"),
            *at_most(
                "gopher_ellipsis_line_share", self.max_ellipsis_line_share, "many lines cut short"
            ),
            *at_least(
                "gopher_letter_word_share",
                self.min_letter_word_share,
                "too few words with a letter",
            ),
            *at_least("gopher_num_stop_words", self.min_stop_words, "too few stop words"),
        )


GOPHER_QUALITY = Filter(
    metrics={
        "gopher_num_words": count(Count.DARK_TOKENS),
        "gopher_mean_word_chars": ratio(Count.DARK_TOKEN_CHARS, Count.DARK_TOKENS),
        "gopher_hash_word_ratio": ratio(Count.HASHES, Count.TOKENS),
        "gopher_ellipsis_word_ratio": ratio(Count.ELLIPSES, Count.TOKENS),
        "gopher_dash_line_share": ratio(Count.DASH_LINES, Count.LINES),
        "gopher_ellipsis_line_share": ratio(Count.ELLIPSIS_LINES, Count.LINES),
        "gopher_letter_word_share": ratio(Count.LETTER_TOKENS, Count.TOKENS),
        "gopher_num_stop_words": count(Count.STOP_WORDS),
    },
    settings=GopherQualitySettings,
)
"""The filter."""
