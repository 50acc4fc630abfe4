"""Agreement of two taggers; values worked by hand."""

import json
import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.tagger_comparison import compare_taggers
from quality.taggers.interface import TAG_COLUMNS


def tags(*values):
    rows = [(str(index), value, 0.5) for index, value in enumerate(values)]
    return pl.DataFrame(rows, schema=TAG_COLUMNS, orient="row")


def test_a_comparison_worked_by_hand():
    found = compare_taggers(
        tags("a", "a", "a", "b", "b", None), tags("a", "a", "b", "b", None, None)
    )
    assert (found.num_documents, found.num_both) == (6, 4)
    assert found.coverage == (5 / 6, 4 / 6)
    assert found.agreement == pytest.approx(3 / 4)
    chance = 3 / 4 * 2 / 4 + 1 / 4 * 2 / 4
    assert found.kappa == pytest.approx((0.75 - chance) / (1 - chance))
    assert found.confusion.row(0) == ("a", "a", 2)
    assert sorted(found.confusion["num_documents"]) == [1, 1, 1, 1, 2]
    h = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), math.log(2)
    joint = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert found.mutual_information == pytest.approx((sum(h) - joint) / (sum(h) / 2))
    json.dumps(found.to_json())


def test_other_names_are_translated():
    found = compare_taggers(tags("a", "a", "b", "b", "b"), tags("1", "1", "2", "2", "1"))
    assert (found.agreement, found.kappa) == (0.0, 0.0)
    assert found.matched_agreement == pytest.approx(4 / 5)
    assert found.translation == {"1": "a", "2": "b"}


def test_where_nothing_is_labelled_by_both_nothing_is_claimed():
    found = compare_taggers(tags("a", None), tags(None, "a"))
    assert (found.num_both, found.coverage) == (0, (0.5, 0.5))
    assert found.agreement is found.kappa is found.matched_agreement is None
    assert found.mutual_information is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=30))
def test_a_tagger_agrees_with_itself_in_any_order(values):
    table = tags(*values)
    found = compare_taggers(table, table.reverse())
    if found.num_both:
        measures = (found.agreement, found.kappa, found.matched_agreement)
        assert (*measures, found.mutual_information) == pytest.approx((1, 1, 1, 1))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (tags("a"), tags("a").drop("confidence"), "has the columns"),
        (tags("a"), tags("a", "b"), "the same ids"),
        (tags(), tags(), "the same ids"),
        (pl.concat([tags("a"), tags("a")]), tags("a"), "id '0' twice"),
    ],
)
def test_tables_that_do_not_match_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        compare_taggers(first, second)
