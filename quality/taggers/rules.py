"""Tags from patterns: the tag whose patterns occur most densely in a text.

    density of a tag = matches of its patterns per 1000 characters / its `min_density`
    confidence       = (first - second) / first        over the densities of all tags

A text in which no tag reaches density one is not labelled. Patterns are Rust regular expressions,
which need time in proportion to the text. The default rules are ours, for four kinds of text that
differ in punctuation and layout rather than in topic.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

import polars as pl
from polars.exceptions import ComputeError
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.taggers.interface import Arrays, require_columns, tag_table


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class TagRule:
    """When a text has one tag."""

    pattern: Annotated[str, Field(min_length=1)]
    """Rust regular expression that is counted."""
    min_density: Annotated[float, Field(gt=0)]
    """Fewest matches per 1000 characters."""

    def __post_init__(self) -> None:
        """Refuse a pattern that cannot be compiled."""
        try:
            pl.Series([""]).str.count_matches(self.pattern)
        except ComputeError as error:
            raise ValueError(
                f"pattern {self.pattern!r} is no regular expression: {error}"
            ) from error


DEFAULT_RULES: Mapping[str, TagRule] = {
    "code": TagRule(
        pattern=r"(?m)^\s*(?:def |class |import |from \w+ import |return\b|if .*[:{]$|for .*[:{]$"
        r"|#include|public |private |func |const |let |var )|[;{}]\s*$|\w\(\w*\)|==|!=|->|=>",
        min_density=8.0,
    ),
    "mathematics": TagRule(
        pattern=r"\\(?:frac|sum|int|begin|mathbb?|left|right|alpha|beta|lambda)|[∀∃∈∉⊂⊆≤≥≠∑∫√∞→⇒⟹λ¬]"
        r"|\b(?:theorem|lemma|proof|corollary|qed)\b",
        min_density=4.0,
    ),
    "dialogue": TagRule(
        pattern=r"(?m)^(?:[A-Z][\w .'-]{0,20}|user|assistant):\s|^\s*[-\x{2013}\x{2014}]\s+\p{Lu}",
        min_density=4.0,
    ),
    "legal": TagRule(
        pattern=r"§|\b(?:Abs|Art|Nr)\.\s?[0-9]|\b(?:pursuant|hereby|thereof|herein|plaintiff|defendant"
        r"|statute|licensee|licensor|liability|court)\b|\([a-z0-9]\)\s",
        min_density=2.5,
    ),
}
"""Tag -> rule."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class RulesTagger:
    """Tagger and its settings in one: there is nothing to learn."""

    rules: Annotated[Mapping[str, TagRule], Field(min_length=1)] = field(
        default_factory=lambda: DEFAULT_RULES
    )
    """Tag -> rule."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All tags that have a rule."""
        return tuple(sorted(self.rules))

    def fit(self, documents: pl.DataFrame) -> "RulesTagger":
        """Check that there is a text."""
        require_columns(documents, "id", "text")
        return self

    def tag(self, documents: pl.DataFrame) -> pl.DataFrame:
        """Count the patterns of all tags; of equal densities the first tag by name wins."""
        require_columns(documents, "id", "text")
        text = pl.col("text")
        thousands = pl.max_horizontal(text.str.len_chars(), 1) / 1000
        densities = documents.select(
            (text.str.count_matches(rule.pattern) / thousands / rule.min_density).alias(tag)
            for tag, rule in sorted(self.rules.items())
        )
        names = list(densities.columns)
        best = densities.select(
            first=pl.max_horizontal(pl.all()),
            second=pl.concat_list(pl.all())
            .list.sort(descending=True)
            .list.get(1, null_on_oob=True),
            tag=pl.coalesce(
                pl.when(pl.col(name) == pl.max_horizontal(names)).then(pl.lit(name))
                for name in names
            ),
        )
        tags = best.select(pl.when(pl.col("first") >= 1).then("tag")).to_series()
        margin = (pl.col("first") - pl.col("second").fill_null(0.0)) / pl.col("first")
        return tag_table(documents["id"], tags, best.select(margin.fill_nan(0.0)).to_series())

    def learnt(self) -> Arrays:
        """Return nothing: the settings say all."""
        return {}

    def restore(self, learnt: Arrays) -> "RulesTagger":
        """Return itself."""
        return self
