"""Applies rules to metric columns: which rule rejects a document, and what it has to say.

No text is read, so judging again with other thresholds costs next to nothing.
"""

from collections.abc import Sequence

import polars as pl

from quality.filters.rules import Rule

OperatorRule = tuple[str, Rule]
VERDICT = ("operator", "reason", "metric", "value", "limit")
"""Columns of a verdict, all strings; null where a document passes."""
_RULE = "failed_rule"


def judge(measured: pl.DataFrame, rules: Sequence[OperatorRule]) -> pl.DataFrame:
    """Add the columns `VERDICT`: those of the first rule that fails, or null where none does.

    Args:
        measured: Table with the metric columns that the rules name.
        rules: Pairs of operator and rule, in the order in which they are tried.
    """
    numbered = measured.with_columns(
        pl.coalesce(
            *(pl.when(rule.fails).then(number) for number, (_, rule) in enumerate(rules)),
            pl.lit(None, dtype=pl.Int32),
        )
        .cast(pl.Int32)
        .alias(_RULE)
    )
    failed = numbered[_RULE]
    texts = {
        "operator": [operator for operator, _ in rules],
        "reason": [rule.reason for _, rule in rules],
        "metric": [rule.metric for _, rule in rules],
        "limit": [rule.limit for _, rule in rules],
    }
    told = {
        name: pl.Series(name, told, dtype=pl.String).gather(failed) for name, told in texts.items()
    }
    occurring = failed.drop_nulls().unique().to_list()
    value = pl.coalesce(
        *(
            pl.when(pl.col(_RULE) == number).then(pl.col(rules[number][1].metric).cast(pl.String))
            for number in occurring
        ),
        pl.lit(None, dtype=pl.String),
    )
    return numbered.with_columns(**told, value=value).select(*measured.columns, *VERDICT)


def rule_limits(rules: Sequence[OperatorRule]) -> list[dict[str, str]]:
    """State rules as JSON values: operator, reason, metric and limit of each."""
    return [
        {"operator": operator, "reason": rule.reason, "metric": rule.metric, "limit": rule.limit}
        for operator, rule in rules
    ]
