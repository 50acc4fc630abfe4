import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.dedup.paragraphs import ParagraphIndex, split_paragraphs, without

A, B, C = ("alpha " * 20).strip(), ("beta " * 20).strip(), ("gamma " * 20).strip()


@given(st.text(st.sampled_from("ab \n\t\r")))
def test_split_paragraphs_lose_nothing(text):
    paragraphs, gaps = split_paragraphs(text)
    assert "".join(p + gap for p, gap in zip(paragraphs, gaps, strict=True)) == text
    assert without(text, set()) == text.rstrip("\n")


def test_paragraphs_end_at_blank_lines():
    assert split_paragraphs("one\ntwo\n \t\nthree\n\n\nfour")[0] == ["one\ntwo", "three", "four"]


def repeated(texts, ranks=None, min_chars=50):
    index = ParagraphIndex(min_chars=min_chars)
    for part in (texts[:2], texts[2:]):
        index.add(part)
    ranks = np.arange(len(texts)) if ranks is None else np.array(ranks)
    return index.repeated(ranks).rows()


def test_the_best_document_keeps_a_paragraph():
    texts = [f"{A}\n\n{B}", f"{C}\n\n{A.upper()}\n\n{C}", f"short\n\n{B}\n\nshort"]
    assert repeated(texts) == [(1, 1, 0), (1, 2, 1), (2, 1, 0)]
    assert repeated(texts, ranks=[2, 0, 1]) == [(0, 0, 1), (0, 1, 2), (1, 2, 1)]


def test_short_paragraphs_may_repeat():
    assert repeated(["short\n\nx", "short", "short"]) == []
    assert repeated(["short", "x", "short"], min_chars=5) == [(2, 0, 0)]


def test_cut_paragraphs_take_their_blank_lines_along():
    text = f"{A}\n\n{B}\n \n{C}\n"
    assert without(text, {0}) == f"{B}\n \n{C}"
    assert without(text, {2}) == f"{A}\n\n{B}\n ".rstrip("\n")
    assert without(text, {0, 1, 2}) == ""


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="at least 0 characters"):
        ParagraphIndex(min_chars=0)
    index = ParagraphIndex()
    index.add(["x"])
    with pytest.raises(ValueError, match="2 ranks for 1 documents"):
        index.repeated(np.arange(2))
