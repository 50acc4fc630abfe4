import hashlib

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.dedup import exact
from quality.dedup.exact import ExactIndex, text_hash, text_hashes


def test_hash_is_blake2b_of_the_folded_text():
    expected = hashlib.blake2b(b"strasse und weg", digest_size=16).hexdigest()
    assert text_hash("  Straße\n\tUND  weg ") == expected
    assert len(expected) == 32


def test_different_words_have_different_hashes():
    assert text_hash("one two") != text_hash("onetwo")


def test_later_copies_name_the_first_across_calls():
    index = ExactIndex()
    a, b = text_hash("a"), text_hash("b")
    assert index.first_copies(["1", "2", "3"], [a, b, a]) == [None, None, "1"]
    assert index.first_copies(["4", "5"], [b, text_hash("c")]) == ["2", None]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="1 hashes for 2 documents"):
        ExactIndex().first_copies(["1", "2"], [text_hash("a")])


def test_memory_is_a_few_bytes_a_document():
    index = ExactIndex()
    for start in range(0, 5000, 100):
        ids = [f"id-{n:05d}" for n in range(start, start + 100)]
        index.first_copies(ids, [text_hash(name) for name in ids])
    assert index.num_bytes <= 5000 * (20 + len("id-00000") + 9)


def hexadecimal(texts):
    return [row.tobytes().hex() for row in text_hashes(pl.Series(texts, dtype=pl.String))]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("aZ \n\t\x1c\u2003İßΐŉ中😀\x00"), max_size=30)
        | st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
        max_size=4,
    )
)
def test_many_at_once_are_the_hashes_one_by_one(texts):
    assert hexadecimal(texts) == [text_hash(text) for text in texts]


def test_every_character_folds_as_in_python():
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    texts = ["".join(f"x{chr(c)}" for c in points[n : n + 500]) for n in range(0, 0x10F800, 500)]
    assert hexadecimal(texts) == [text_hash(text) for text in texts]


def test_texts_longer_than_a_chunk_are_hashed_in_pieces(monkeypatch):
    monkeypatch.setattr(exact, "CHUNK_BYTES", 16)
    texts = ["ΐ" * 40, " " * 50 + "A" + " " * 40 + "B" + " " * 33, "ab" * 7, "", "\u2003中" * 30]
    assert hexadecimal(texts) == [text_hash(text) for text in texts]


def test_a_slice_of_a_column_is_hashed_where_it_is():
    texts = pl.Series(["zero", "one", "two", "three"])[1:3]
    assert [row.tobytes().hex() for row in text_hashes(texts)] == hexadecimal(["one", "two"])


def test_nulls_are_refused():
    with pytest.raises(ValueError, match="1 of 2 texts are null"):
        text_hashes(pl.Series(["a", None]))
