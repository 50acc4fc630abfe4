import polars as pl

from quality.filters.rules import at_least, at_most
from quality.judgement import VERDICT, judge, rule_limits

RULES = (
    *(("length", rule) for rule in at_least("words", 3, "too short")),
    *(("shape", rule) for rule in at_most("share", 0.5, "too much")),
)


def test_the_first_rule_that_fails_decides():
    table = pl.DataFrame({"words": [5, 2, 5, 1], "share": [0.25, 0.75, 0.75, 0.0]})
    judged = judge(table, RULES)
    assert judged.columns == ["words", "share", *VERDICT]
    assert judged.select(VERDICT).rows() == [
        (None,) * 5,
        ("length", "too short", "words", "2", ">= 3"),
        ("shape", "too much", "share", "0.75", "<= 0.5"),
        ("length", "too short", "words", "1", ">= 3"),
    ]


def test_a_metric_that_is_missing_fails_no_rule():
    table = pl.DataFrame({"words": [None], "share": [0.1]}, schema_overrides={"words": pl.Int64})
    assert judge(table, RULES)["operator"].to_list() == [None]


def test_without_rules_or_rows_the_columns_are_there():
    table = pl.DataFrame({"words": [1], "share": [1.0]})
    assert judge(table, ()).select(VERDICT).rows() == [(None,) * 5]
    assert judge(table.clear(), RULES).select(VERDICT).dtypes == [pl.String] * 5


def test_limits_are_told():
    assert rule_limits(RULES)[0] == {
        "operator": "length",
        "reason": "too short",
        "metric": "words",
        "limit": ">= 3",
    }
