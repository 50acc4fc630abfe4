"""Gopher's rules against repetition: lines, paragraphs and n-grams of words.

Source and all thresholds: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights
from Training Gopher", arXiv:2112.11446, table A1. Counted as FineWeb counts it (Penedo et al. 2024,
arXiv:2406.17557), in the order in which it tries them: shares of characters are of all characters
of the document, white space included; words are those of `quality.kernel_text`.

    gopher_duplicate_paragraph_share       paragraphs equal to an earlier one / paragraphs
    gopher_duplicate_paragraph_char_share  their characters / characters
    gopher_duplicate_line_share            lines equal to an earlier one / lines
    gopher_duplicate_line_char_share       their characters / characters
    gopher_top_Ngram_char_share            characters in all copies of the most frequent run of N
                                           words / characters; N is 2, 3 or 4
    gopher_repeated_Ngram_char_share       characters in runs of N words that occurred before, runs
                                           not overlapping / characters; N from 5 to 10
"""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_most, ratio
from quality.text_counts import Count

Share = Annotated[float, Field(ge=0.0)]


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class GopherRepetitionSettings:
    """Greatest shares; None switches a rule off. Overlapping copies can make a share exceed 1."""

    max_duplicate_paragraph_share: Share | None = 0.30
    """Of paragraphs that repeat an earlier one."""
    max_duplicate_paragraph_char_share: Share | None = 0.20
    """Of characters in them."""
    max_duplicate_line_share: Share | None = 0.30
    """Of lines that repeat an earlier one."""
    max_duplicate_line_char_share: Share | None = 0.20
    """Of characters in them."""
    max_top_2gram_char_share: Share | None = 0.20
    """Of characters in the most frequent pair of words."""
    max_top_3gram_char_share: Share | None = 0.18
    """The same of three words."""
    max_top_4gram_char_share: Share | None = 0.16
    """The same of four words."""
    max_repeated_5gram_char_share: Share | None = 0.15
    """Of characters in runs of five words that occurred before."""
    max_repeated_6gram_char_share: Share | None = 0.14
    """The same of six."""
    max_repeated_7gram_char_share: Share | None = 0.13
    """The same of seven."""
    max_repeated_8gram_char_share: Share | None = 0.12
    """The same of eight."""
    max_repeated_9gram_char_share: Share | None = 0.11
    """The same of nine."""
    max_repeated_10gram_char_share: Share | None = 0.10
    """The same of ten."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        limits = (
            ("duplicate_paragraph_share", self.max_duplicate_paragraph_share),
            ("duplicate_paragraph_char_share", self.max_duplicate_paragraph_char_share),
            ("duplicate_line_share", self.max_duplicate_line_share),
            ("duplicate_line_char_share", self.max_duplicate_line_char_share),
            ("top_2gram_char_share", self.max_top_2gram_char_share),
            ("top_3gram_char_share", self.max_top_3gram_char_share),
            ("top_4gram_char_share", self.max_top_4gram_char_share),
            ("repeated_5gram_char_share", self.max_repeated_5gram_char_share),
            ("repeated_6gram_char_share", self.max_repeated_6gram_char_share),
            ("repeated_7gram_char_share", self.max_repeated_7gram_char_share),
            ("repeated_8gram_char_share", self.max_repeated_8gram_char_share),
            ("repeated_9gram_char_share", self.max_repeated_9gram_char_share),
            ("repeated_10gram_char_share", self.max_repeated_10gram_char_share),
        )
        return tuple(
            rule
            for metric, limit in limits
            for rule in at_most(f"gopher_{metric}", limit, _REASONS[metric])
        )


_REASONS = {
    "duplicate_paragraph_share": "repeated paragraphs",
    "duplicate_paragraph_char_share": "repeated paragraphs hold much of the text",
    "duplicate_line_share": "repeated lines",
    "duplicate_line_char_share": "repeated lines hold much of the text",
    "top_2gram_char_share": "one pair of words throughout",
    "top_3gram_char_share": "one run of 3 words throughout",
    "top_4gram_char_share": "one run of 4 words throughout",
    **{f"repeated_{n}gram_char_share": f"repeated runs of {n} words" for n in range(5, 11)},
}
_NGRAMS = [f"top_{n}gram" for n in range(2, 5)] + [f"repeated_{n}gram" for n in range(5, 11)]

GOPHER_REPETITION = Filter(
    metrics={
        "gopher_duplicate_paragraph_share": ratio(Count.REPEATED_PARAGRAPHS, Count.PARAGRAPHS),
        "gopher_duplicate_paragraph_char_share": ratio(Count.REPEATED_PARAGRAPH_CHARS, Count.CHARS),
        "gopher_duplicate_line_share": ratio(Count.REPEATED_LINES, Count.UNBROKEN_LINES),
        "gopher_duplicate_line_char_share": ratio(Count.REPEATED_LINE_CHARS, Count.CHARS),
        **{
            f"gopher_{ngram}_char_share": ratio(Count[f"{ngram.upper()}_CHARS"], Count.CHARS)
            for ngram in _NGRAMS
        },
    },
    settings=GopherRepetitionSettings,
)
"""The filter."""
