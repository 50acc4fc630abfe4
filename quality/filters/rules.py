"""What a filter is made of: metrics made of counts, and rules on the metric columns.

The two are apart so that thresholds can be tried again on stored metrics without reading a text:
a rule's `fails` names metric columns only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from quality.text_counts import Count


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One reason to reject a document."""

    reason: str
    """What is wrong with a rejected document, as a person would say it."""
    metric: str
    """Column that the rule judges."""
    limit: str
    """What the metric should have been, for example `>= 50`."""
    fails: pl.Expr
    """True where a document is rejected; reads metric columns only."""


class FilterSettings(Protocol):
    """Thresholds of one filter: a frozen dataclass that refuses unknown keys."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules that these thresholds put into force, in the order in which they are tried."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """A family of metrics with the rules that can be put on them."""

    metrics: Mapping[str, pl.Expr]
    """Metric column -> expression on the columns of `quality.text_counts`."""
    settings: Callable[..., FilterSettings]
    """Class of the thresholds: published values as defaults, None switches a rule off."""
    edits_lines: bool = False
    """Whether C4's rules for lines edit the text where this filter is in force."""


def at_least(metric: str, limit: float | None, reason: str) -> tuple[Rule, ...]:
    """Reject where the metric is below the limit; no rule if the limit is None."""
    if limit is None:
        return ()
    fails = pl.col(metric) < limit
    return (Rule(reason=reason, metric=metric, limit=f">= {limit:g}", fails=fails),)


def at_most(metric: str, limit: float | None, reason: str) -> tuple[Rule, ...]:
    """Reject where the metric is above the limit; no rule if the limit is None."""
    if limit is None:
        return ()
    fails = pl.col(metric) > limit
    return (Rule(reason=reason, metric=metric, limit=f"<= {limit:g}", fails=fails),)


def count(number: Count) -> pl.Expr:
    """One of the counts as a metric."""
    return pl.col(number.name.lower())


def ratio(numerator: Count | pl.Expr, denominator: Count | pl.Expr) -> pl.Expr:
    """Quotient as float64, 0 where the denominator is 0."""
    top, bottom = (
        count(part) if isinstance(part, Count) else part for part in (numerator, denominator)
    )
    return pl.when(bottom > 0).then(top / bottom).otherwise(0.0)
