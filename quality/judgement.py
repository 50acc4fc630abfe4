"""Applies rules to metric columns: which rule rejects a document, and what it has to say.

No text is read, so judging again with other thresholds costs next to nothing.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quality.filters.rules import Rule

OperatorRule = tuple[str, Rule]
VERDICT = ("operator", "reason", "metric", "value", "limit")
"""Columns of a verdict, all strings; null where a document passes."""


def judge(measured: pl.DataFrame, rules: Sequence[OperatorRule]) -> pl.DataFrame:
    """Add the columns `VERDICT`: those of the first rule that fails, or null where none does.

    Args:
        measured: Table with the metric columns that the rules name.
        rules: Pairs of operator and rule, in the order in which they are tried.
    """
    fails = [pl.repeat(False, pl.len(), dtype=pl.Boolean).alias("nothing")]
    fails += [rule.fails.fill_null(False).alias(str(n)) for n, (_, rule) in enumerate(rules)]
    first = measured.select(fails).to_numpy().argmax(axis=1) - 1
    failed = _with_nulls(first)
    texts = {
        "operator": [operator for operator, _ in rules],
        "reason": [rule.reason for _, rule in rules],
        "metric": [rule.metric for _, rule in rules],
        "limit": [rule.limit for _, rule in rules],
    }
    told = {
        name: pl.Series(name, told, dtype=pl.String).gather(failed) for name, told in texts.items()
    }
    value = _values(measured, texts["metric"], first)
    return measured.with_columns(**told, value=value).select(*measured.columns, *VERDICT)


def _values(measured: pl.DataFrame, metrics: Sequence[str], first: NDArray[np.int64]) -> pl.Series:
    """Metric that the first failing rule (-1: none) judges, of each row as a string."""
    parts = [pl.Series([], dtype=pl.String)]
    place = np.full(len(first), -1)
    num_values = 0
    for number in np.unique(first[first >= 0]).tolist():
        rows = np.flatnonzero(first == number)
        place[rows] = np.arange(num_values, num_values + len(rows))
        num_values += len(rows)
        parts.append(measured[metrics[number]].gather(rows).cast(pl.String))
    return pl.concat([part.alias("value") for part in parts]).gather(_with_nulls(place))


def _with_nulls(places: NDArray[np.int64]) -> pl.Series:
    """Places to gather from, null where -1 stands."""
    return pl.select(pl.when(pl.lit(places >= 0)).then(pl.lit(places))).to_series()


def rule_limits(rules: Sequence[OperatorRule]) -> list[dict[str, str]]:
    """State rules as JSON values: operator, reason, metric and limit of each."""
    return [
        {"operator": operator, "reason": rule.reason, "metric": rule.metric, "limit": rule.limit}
        for operator, rule in rules
    ]
