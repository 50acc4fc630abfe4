import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quality import normalise as module
from quality.normalise import UNSETTLED, has_control_characters, has_mojibake, normalise


@pytest.mark.parametrize(
    ("text", "expected", "changes"),
    [
        ("plain text,\n\tindented x = y\n  z", None, set()),
        ("Grüße, naïve façade: ½ x² … “quoted” — 日本語", None, set()),
        ("a\r\nb\rc\x0cd\u2028e", "a\nb\nc\nd\ne", {"line_endings"}),
        ("a\x00b\x1b[0m\x7f", "ab[0m", {"control_characters"}),
        ("\ufefftitle", "title", {"control_characters"}),
        ("cafe\u0301", "café", {"nfc"}),
        ("a  \n\tb\t\n\n\n", "a\n\tb", {"trailing_whitespace"}),
        ("It wasnâ€™t schÃ¶n.", "It wasn\u2019t schön.", {"mojibake"}),
        ("   \n\t\n", "", {"trailing_whitespace"}),
        ("", None, set()),
        (
            "e\u0301 \r\n\x01",
            "é",
            {"nfc", "line_endings", "control_characters", "trailing_whitespace"},
        ),
    ],
)
def test_each_step_by_hand(text, expected, changes):
    result = normalise(text)
    assert result.text == (text if expected is None else expected)
    assert result.changes == changes


def test_mojibake_is_repaired_beside_lines_that_no_one_byte_encoding_holds():
    assert normalise("日本語のテキスト\nschÃ¶n").text == "日本語のテキスト\nschön"


def test_compatibility_characters_stay():
    assert normalise("x² ≤ ½ ﬁ").text == "x² ≤ ½ ﬁ"


def damaged(text, encoding, rounds):
    for _ in range(rounds):
        text = text.encode("utf-8").decode(encoding, errors="replace")
    return text


WILD = st.one_of(
    st.text(),
    st.builds(
        damaged,
        st.text(st.characters(codec="utf-8"), max_size=40),
        st.sampled_from(["latin-1", "cp1252", "cp1251", "mac_roman", "cp437"]),
        st.integers(1, 3),
    ),
    st.text(st.sampled_from("aéÃ¶Â\xa0â€™\x80\x9d\x85\r\n\t \u0301\ufeff\x00Ð°"), max_size=60),
)


@settings(deadline=None, max_examples=400)
@given(WILD)
@example("Ã\x80\x80¶ Â\x00Ã¶ â\x80\r\x99")
def test_normalising_twice_is_normalising_once(text):
    once = normalise(text)
    again = normalise(once.text)
    assert again.text == once.text
    assert again.changes == set()


@settings(deadline=None, max_examples=200)
@given(WILD)
def test_result_is_clean_and_changes_are_told(text):
    result = normalise(text)
    assert unicodedata.is_normalized("NFC", result.text)
    assert not has_control_characters(result.text)
    assert "\r" not in result.text
    assert all(line == line.rstrip() for line in result.text.split("\n"))
    assert (result.text == text) or result.changes


def test_text_that_does_not_settle_is_marked(monkeypatch):
    monkeypatch.setattr(module, "STEPS", {"grow": lambda text: text + "x"})
    result = normalise("a")
    assert result.changes == {"grow", UNSETTLED}


def test_signs_of_damage():
    assert has_mojibake("schön\nschÃ¶n wasnâ€™t")
    assert not has_mojibake("schön, naïve — “quoted” … Привет, мир")
    assert has_control_characters("a\x01")
    assert not has_control_characters("a\tb\r\n\x0cc")
