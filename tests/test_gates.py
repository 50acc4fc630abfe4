import json
import math

import pytest

from quality.gates import Criterion, GateReport, equality_check, limit_check

PASSED = Criterion(name="rows", passed=True, observed=12, limit=">= 1")
WARNED = Criterion(name="share", severity="warning", passed=False, observed=0.5, limit=">= 0.9")
FAILED = Criterion(
    name="unique",
    column="id",
    passed=False,
    observed="2 of 3 rows",
    limit="every row",
    examples=("a", "b"),
)


def report(*rows):
    return GateReport(gate="g", asset="raw", partition="wiki", data_version="v1", rows=rows)


@pytest.mark.parametrize(
    ("rows", "passed", "severity", "stops"),
    [
        ((PASSED,), True, "error", False),
        ((PASSED, WARNED), False, "warning", False),
        ((PASSED, WARNED, FAILED), False, "error", True),
    ],
)
def test_the_verdict_follows_from_the_criteria(rows, passed, severity, stops):
    made = report(*rows)
    assert (made.passed, made.severity, made.stops_consumers) == (passed, severity, stops)


def test_json_round_trip_keeps_everything_and_shows_the_verdict():
    made = report(PASSED, WARNED, FAILED)
    text = made.to_json()
    assert GateReport.from_json(text, file="g.json") == made
    assert json.loads(text)["passed"] is False
    assert report(PASSED).to_json() == report(PASSED).to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("passed"), "not a gate report"),
        (lambda content: content.pop("rows"), "not a gate report"),
        (lambda content: content.update(rows=[]), "not a gate report"),
        (lambda content: content.update(colour="red"), "colour"),
        (lambda content: content.update(passed=True), "contradicts its criteria"),
        (lambda content: content["rows"][0].update(passed="yes"), "not a gate report"),
    ],
)
def test_an_edited_report_is_refused(change, message):
    content = json.loads(report(FAILED).to_json())
    change(content)
    with pytest.raises(ValueError, match=message):
        GateReport.from_json(json.dumps(content), file="g.json")


@pytest.mark.parametrize("text", ["", "[1]", "null", '{"passed": '])
def test_text_that_is_no_report_is_refused_with_its_file(text):
    with pytest.raises(ValueError, match=r"folder/g\.json: not a gate report"):
        GateReport.from_json(text, file="folder/g.json")


def test_a_report_without_criteria_cannot_be_made():
    with pytest.raises(ValueError, match="rows"):
        report()


@pytest.mark.parametrize(
    ("observed", "bounds", "passed"),
    [
        (0.05, {"at_most": 0.05}, True),
        (0.051, {"at_most": 0.05}, False),
        (64, {"at_least": 64}, True),
        (63, {"at_least": 64}, False),
        (5, {"at_least": 1, "at_most": 4}, False),
        (math.nan, {"at_most": 1}, False),
        (math.nan, {}, False),
    ],
)
def test_limits_are_inclusive_and_nan_never_passes(observed, bounds, passed):
    assert limit_check("n", observed, **bounds).passed is passed


def test_examples_are_few_and_only_shown_on_failure():
    assert limit_check("n", 9, at_most=1, examples=map(str, range(9))).examples == tuple("01234")
    assert limit_check("n", 1, at_most=1, examples=["x"]).examples == ()
    failed = equality_check("n", 3, 2, examples=["x"])
    assert (failed.passed, failed.limit, failed.examples) == (False, "= 2", ("x",))
    assert equality_check("n", "a", "a", examples=["x"]).examples == ()


def test_description_names_column_finding_limit_and_examples():
    assert FAILED.describe() == (
        "unique of id: observed 2 of 3 rows, allowed every row, for example a, b"
    )
