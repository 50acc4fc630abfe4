import pandas as pd
import pytest

from quality.expectations import run_suite
from quality.gates import GateCrashed

FRAME = pd.DataFrame(
    {
        "id": pd.array(["a", "a", "b", None], dtype="string[pyarrow]"),
        "size": pd.array([1, 2, 3, 4], dtype="int64[pyarrow]"),
    }
)


@pytest.fixture(scope="module")
def gxe():
    import great_expectations.expectations as gxe

    return gxe


@pytest.fixture(scope="module")
def criteria(gxe):
    suite = [
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectColumnValuesToNotBeNull(column="id", severity="warning"),
        gxe.ExpectColumnValuesToBeBetween(column="absent", min_value=1),
        gxe.ExpectColumnPairValuesToBeEqual(column_A="id", column_B="gone"),
        gxe.ExpectColumnMeanToBeBetween(column="size", min_value=2.5, max_value=2.5),
        gxe.ExpectColumnValuesToBeInSet(column="id", value_set=["a"], mostly=0.6),
        gxe.ExpectTableRowCountToBeBetween(min_value=5),
    ]
    return run_suite(FRAME, suite, name="toy")


def test_criteria_come_in_the_order_of_the_suite(criteria):
    assert [(row.name, row.column, row.passed) for row in criteria] == [
        ("expect_column_values_to_be_unique", "id", False),
        ("expect_column_values_to_not_be_null", "id", False),
        ("expect_column_values_to_be_between", "absent", False),
        ("expect_column_pair_values_to_be_equal", "id, gone", False),
        ("expect_column_mean_to_be_between", "size", True),
        ("expect_column_values_to_be_in_set", "id", True),
        ("expect_table_row_count_to_be_between", None, False),
    ]


def test_figures_limits_and_examples_are_kept(criteria):
    unique, null, _, _, mean, _, count = criteria
    assert (unique.observed, unique.examples) == ("2 of 4 rows", ("a", "a"))
    assert (null.severity, unique.severity) == ("warning", "error")
    assert (mean.observed, mean.limit) == (2.5, "max_value=2.5, min_value=2.5")
    assert (count.observed, count.limit) == (4, "min_value=5")


def test_a_missing_column_fails_and_does_not_crash(criteria):
    assert criteria[2].observed == "no column absent"
    assert criteria[3].observed == "no column gone"


def test_an_empty_table_fails(gxe):
    rows = run_suite(FRAME.head(0), [gxe.ExpectColumnValuesToBeUnique(column="id")], name="toy")
    assert [(row.name, row.passed, row.observed) for row in rows] == [("not_empty", False, 0)]


def test_a_crashed_expectation_is_no_verdict(gxe):
    suite = [
        gxe.ExpectColumnValuesToBeUnique(column="size"),
        gxe.ExpectColumnMeanToBeBetween(column="id", min_value=0),
    ]
    with pytest.raises(GateCrashed, match=r"toy: 1 .*expect_column_mean_to_be_between"):
        run_suite(FRAME, suite, name="toy")


def test_an_empty_suite_is_no_verdict():
    with pytest.raises(GateCrashed, match="would pass anything"):
        run_suite(FRAME, [], name="toy")


def test_an_expectation_listed_twice_is_refused(gxe):
    suite = [gxe.ExpectColumnValuesToBeUnique(column="id")] * 2
    with pytest.raises(GateCrashed, match="2 expectations gave 1 results"):
        run_suite(FRAME, suite, name="toy")
