import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.segments import split_text


def test_cuts_at_the_last_blank_line_before_the_limit():
    assert list(split_text("aa\n\nbb\n\ncccc\n", 9)) == ["aa\n\nbb\n\n", "cccc\n"]


def test_a_long_paragraph_is_cut_at_a_line_end_and_a_long_line_stays_whole():
    assert list(split_text("aaaa\nbbbb\ncccc\n", 10)) == ["aaaa\nbbbb\n", "cccc\n"]
    assert list(split_text("a" * 20 + "\nb\n", 5)) == ["a" * 20 + "\n", "b\n"]
    assert list(split_text("h\n\naaaa\nbbbb\n", 9)) == ["h\n\n", "aaaa\n", "bbbb\n"]


@pytest.mark.parametrize("text", ["", "short", "short\n\n"])
def test_a_short_text_is_one_segment(text):
    assert list(split_text(text, 100)) == ([text] if text else [])


@given(st.text(alphabet="ab \n\r\x0c\u2028", max_size=80), st.integers(1, 20))
def test_nothing_is_lost_and_only_a_single_line_exceeds_the_limit(text, limit):
    segments = list(split_text(text, limit))
    assert "".join(segments) == text
    assert all(len(s) <= limit or len(s.splitlines()) == 1 for s in segments)
    assert all(segments)
