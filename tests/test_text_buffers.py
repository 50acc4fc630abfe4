import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quality.normalise import normalise
from quality.text_buffers import may_need_normalising

ODD = st.sampled_from("aé Â Ã\xa0\n\r\t\x00\x85\u2028\ufeffe\u0301ä日\u1112\u1161\u212b\U0001f600 ")


@pytest.mark.parametrize(
    ("text", "suspect"),
    [
        ("", False),
        ("plain text,\n\tindented\n\n  x = y", False),
        ("Grüße, naïve façade: ½ “quoted” end", False),
        ("ends in a blank ", True),
        ("ends in a line feed\n", True),
        ("a blank \nbefore it", True),
        ("a\rb", True),
        ("a\x00b", True),
        ("a\u2028b", True),
        ("\ufefftitle", True),
        ("cafe\u0301", True),
        ("angstrom \u212b", True),
        ("schÃ¶n", True),
        ("voilÃ  so", True),
        ("Привет", True),
    ],
)
def test_suspects_by_hand(text, suspect):
    assert may_need_normalising(pl.Series([text])).tolist() == [suspect]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.text(ODD, max_size=12), st.text(max_size=12)), max_size=5))
@example(["\n", " ", "\xa0", "Â "])
def test_what_is_not_suspect_is_in_normal_form(texts):
    suspects = may_need_normalising(pl.Series(texts, dtype=pl.String))
    for text, suspect in zip(texts, suspects, strict=True):
        assert suspect or normalise(text).text == text
