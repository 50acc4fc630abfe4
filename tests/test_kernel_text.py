import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quality.character_table import character_table
from quality.kernel_documents import make_scratch
from quality.kernel_lines import scan_line
from quality.kernel_text import abbreviations, decode, encode, hash_span

WILD = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from(
            "aZé ß日अ١ .,;:!?'’\"()[]{}-–—~/=<>+*^%$€°…#&@_0179\t\nöN\U0001f600\u0301\x00"
        ),
    ),
    max_size=60,
)
ODD_WORDS = (
    "don't we'll I'm Smith's e.g. Mr. U.S. 3km 5MB $5 50% C++ x=1 foo.py end.Next a,b well-known "
    "a--b (word) “q” ... x... :) ): http://x.org/y foo.com/bar 1-2 3.5 +7 +x"
)
WORDY = st.lists(st.sampled_from(ODD_WORDS.split()), max_size=8).map(" ".join)


def decoded(text):
    data = np.frombuffer(text.encode() or b" ", np.uint8)
    scratch = make_scratch(data.size)
    size = decode(data, 0, len(text.encode()), character_table(), scratch.points, scratch.flags)
    return scratch, size


def words(text):
    """Words of a text without white space at its ends."""
    scratch, size = decoded(text)
    scan = scan_line(scratch.points, scratch.flags, 0, size, abbreviations(), scratch.words, 0)
    found = zip(scratch.words.starts[: scan.tokens], scratch.words.ends[: scan.tokens], strict=True)
    return [text[start:end] for start, end in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's fine, isn't it?", "It 's fine , is n't it ?"),
        ("Mr. Smith (e.g. here) left.", "Mr. Smith ( e.g. here ) left ."),
        ("the U.S. and U.S.A. in 3km", "the U.S. and U.S.A. in 3 km"),
        ("$5.00 or 50% of +7 +x", "$ 5.00 or 50 % of +7 + x"),
        ("well-known a--b x…y z...", "well - known a -- b x … y z ..."),
        ("end.Next but foo.py a,b 1,000", "end . Next but foo.py a , b 1,000"),
        ("“quoted” ‘dogs’", "“ quoted ” ‘ dogs ’"),
        ("http://x.org/y,z foo.com/bar a/b", "http://x.org/y,z foo.com/bar a / b"),
        ("they've we'll I'd rock'n'roll", "they 've we 'll I 'd rock'n'roll"),
        ("fine :) and ):", "fine :) and ):"),
        ("日本語。 Привет, мир!", "日本語 。 Привет , мир !"),
        ("x=1 key=value a<b", "x=1 key = value a < b"),
    ],
)
def test_words_by_hand(text, expected):
    assert words(text) == expected.split()


@settings(deadline=None, max_examples=300)
@given(st.one_of(WILD, WORDY))
@example("(((a)))...'s")
@example("…")
def test_words_keep_every_character_outside_white_space_in_order(text):
    text = text.strip()
    found = words(text)
    assert "".join(found) == "".join(text.split())
    assert all(found)
    # White space always parts words.
    assert len(found) >= len(text.split())


@settings(deadline=None, max_examples=300)
@given(WILD)
def test_decoding_and_encoding_are_inverse(text):
    scratch, size = decoded(text)
    assert size == len(text)
    assert scratch.points[:size].tolist() == [ord(character) for character in text]
    out = np.zeros(4 * size + 1, np.uint8)
    end = encode(scratch.points, 0, size, out, 0)
    assert out[:end].tobytes() == text.encode()


def test_equal_words_have_equal_hashes_and_others_do_not():
    text = "one two one One"
    scratch, _ = decoded(text)
    hashes = [hash_span(scratch.points, start, start + 3) for start in (0, 4, 8, 12)]
    assert hashes[0] == hashes[2]
    assert len(set(hashes)) == 3


def test_words_carry_their_hash_whichever_way_they_were_split_off():
    scratch, size = decoded("word (word) word, word")
    scan = scan_line(scratch.points, scratch.flags, 0, size, abbreviations(), scratch.words, 0)
    hashes = scratch.words.hashes[: scan.tokens].tolist()
    expected = hash_span(scratch.points, 0, 4)
    assert [index for index, one in enumerate(hashes) if one == expected] == [0, 2, 4, 6]


def test_full_stops_are_one_word_however_many():
    assert all(words("so" + "." * n)[-1] == "." * n for n in range(2, 9))
    assert re.fullmatch(r"\.+", words("...")[0])
