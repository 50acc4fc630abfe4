import hashlib

import pytest

from quality.dedup.exact import ExactIndex, text_hash


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
    with pytest.raises(ValueError, match="shorter"):
        ExactIndex().first_copies(["1", "2"], [text_hash("a")])
