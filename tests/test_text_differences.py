import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.text_differences import CONTEXT_CHARS, first_difference


def told(before, after):
    return [(piece.kind, piece.text) for piece in first_difference(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [
        ("same", "same", []),
        ("a \x07b", "a b", [("same", "a "), ("removed", "\\x07"), ("same", "b")]),
        ("end  ", "end", [("same", "end"), ("removed", "··")]),
        ("cafe\u0301", "café", [("same", "caf"), ("removed", "e\u0301"), ("added", "é")]),
        ("", "new", [("added", "new")]),
    ],
)
def test_what_changed_is_marked(before, after, pieces):
    assert told(before, after) == pieces


def test_only_the_first_difference_is_shown_with_what_stands_before_it():
    long = "x" * 5000
    pieces = told(f"{long}A{long}B", f"{long}C{long}D")
    assert pieces[0] == ("same", "x" * CONTEXT_CHARS)
    assert pieces[1:3] == [("removed", "A"), ("added", "C")]
    assert {kind for kind, _ in pieces[3:]} == {"same"}


def test_a_cut_at_the_end_is_no_difference():
    pieces = told("Ab" + "y" * 5000, "b" + "y" * 5000)
    assert pieces[0] == ("removed", "A")
    assert {kind for kind, _ in pieces[1:]} == {"same"}


@given(st.text("ab ", max_size=40), st.text("ab ", max_size=40))
def test_the_pieces_spell_both_texts(before, after):
    pieces = first_difference(before, after)
    dotted = {"removed": before.replace(" ", "·"), "added": after.replace(" ", "·")}
    for side, text in dotted.items():
        spelt = "".join(piece.text for piece in pieces if piece.kind in ("same", side))
        assert not pieces or spelt.replace(" ", "·") == text
    assert bool(pieces) == (before != after)
