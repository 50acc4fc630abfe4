"""C4's rules for documents; its rules for lines take lines out of the text before they apply.

Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer", arXiv:1910.10683, section 2.2: no document with `lorem ipsum` or an opening brace, and
at least five sentences in the lines that stay. A profile with this filter in force keeps the text
that stays; which lines go, and what is left out of the paper's rules, is told in
`quality.kernel_staying`.

    c4_lorem_ipsum_lines  lines with that phrase, of those not taken out before
    c4_brace_lines        lines with an opening brace, of those not taken out before
    c4_num_sentences      sentences in the lines that stay
    c4_dropped_lines      lines with text that go
"""

from pydantic import ConfigDict, NonNegativeInt
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule, at_least, at_most, count
from quality.text_counts import Count


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class C4Settings:
    """Thresholds; None switches a rule off."""

    max_lorem_ipsum_lines: NonNegativeInt | None = 0
    """Most lines with `lorem ipsum`."""
    max_brace_lines: NonNegativeInt | None = 0
    """Most lines with an opening brace."""
    min_sentences: NonNegativeInt | None = 5
    """Fewest sentences in the lines that stay."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        return (
            *at_most("c4_lorem_ipsum_lines", self.max_lorem_ipsum_lines, "placeholder text"),
            *at_most("c4_brace_lines", self.max_brace_lines, "an opening brace"),
            *at_least("c4_num_sentences", self.min_sentences, "too few sentences"),
        )


C4 = Filter(
    metrics={
        "c4_lorem_ipsum_lines": count(Count.LOREM_IPSUM_LINES),
        "c4_brace_lines": count(Count.BRACE_LINES),
        "c4_num_sentences": count(Count.SENTENCES),
        "c4_dropped_lines": count(Count.DROPPED_LINES),
    },
    settings=C4Settings,
    edits_lines=True,
)
"""The filter."""
