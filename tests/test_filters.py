import polars as pl
import pytest

from quality.cleaning_profiles import CleaningProfile
from quality.filters import FILTERS
from quality.measurement import MEASURES, METRICS, UNCHANGED, measure

SENTENCE = "The quick brown fox jumps over the lazy dog near the old stone bridge at noon. "
GOOD = "\n".join(
    f"{SENTENCE}Paragraph {word} ends here." for word in ("one", "two", "three", "four")
)


def measured(text, language="en"):
    schema = {"text": pl.String, "language": pl.String}
    return measure(pl.DataFrame({"text": [text], "language": [language]}, schema=schema))[0]


def metric(name, text):
    return measured(text)[name].item()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("num_chars", "größe 日本", 8),
        ("num_words", " one\ttwo\n\nthree ", 3),
        ("mean_word_chars", "ab abcd", 3.0),
        ("alphabetic_share", "ab12 日é..", 4 / 9),
        ("digit_share", "ab 12 ٣", 3 / 5),
        ("symbol_share", "a+b = 1 ♥", 3 / 6),
        ("alphabetic_word_share", "a1 22 +b ++", 2 / 4),
        ("symbol_word_ratio", "# wait... no… yes", 3 / 4),
        ("replacement_share", "a\ufffdbc", 1 / 4),
        ("duplicate_line_share", "a\n b\n\nb \na\nc", 2 / 5),
        ("duplicate_line_char_share", "aaaa\nbb\naaaa", 4 / 10),
        ("top_line_share", "a\na\na\nb\n\na", 4 / 5),
        ("top_line_share", "a\na\na\nb", 0.0),
        ("mean_line_chars", "abc\n\nabcdef", 3.0),
        ("max_line_chars", "abc\nabcdef\na", 6),
        ("bullet_line_share", "- a\n\n  * b\nc\n• d", 3 / 4),
        ("ellipsis_line_share", "a...\nb…\n\nc... d\ne", 2 / 4),
    ],
)
def test_metric_worked_by_hand(name, text, expected):
    assert metric(name, text) == pytest.approx(expected, abs=1e-12)


def test_empty_text_has_finite_metrics():
    frame = measured("").select(METRICS.keys())
    assert frame.row(0) == (0.0,) * len(METRICS)


def test_measures_are_complete_and_count_what_changed():
    documents = pl.DataFrame({"text": ["sound", "loose  \nend ", "e\u0301 "], "language": [""] * 3})
    frame, changes = measure(documents)
    assert frame.columns == ["text", "language", *MEASURES]
    assert frame["text"].to_list() == ["sound", "loose\nend", "é"]
    assert changes == {UNCHANGED: 1, "trailing_whitespace": 2, "nfc": 1}


def failing(name, text, *, language="en", **thresholds):
    profile = CleaningProfile(name="trial", filters={name: thresholds})
    frame = measured(text, language)
    # Judged on the stored columns alone: the text is gone.
    stored = frame.drop("text")
    return [rule.reason for _, rule in profile.rules() if stored.select(rule.fails).item()]


@pytest.mark.parametrize("name", FILTERS)
def test_sound_prose_passes_every_filter(name):
    assert failing(name, GOOD) == []


@pytest.mark.parametrize(
    ("name", "text", "thresholds", "reason"),
    [
        ("length", GOOD, {"min_chars": 10_000}, "too few characters"),
        ("length", GOOD, {"max_chars": 10}, "too many characters"),
        ("length", SENTENCE, {}, "too few words"),
        ("length", GOOD, {"max_words": 60}, "too many words"),
        ("length", "a bc " * 50, {}, "words too short"),
        ("length", "incomprehensibilities " * 60, {}, "words too long"),
        ("characters", GOOD + "\ufffd" * 9, {}, "undecodable characters"),
        ("characters", GOOD, {"min_alphabetic_share": 0.9}, "too few letters"),
        ("characters", "year 1984 and " * 20 + "1234567890 " * 20, {}, "too many digits"),
        ("characters", "(a) [b] {c} " * 30, {}, "too many symbols"),
        ("characters", "word & " * 40, {}, "too few words with a letter"),
        ("characters", "so... " * 40, {}, "too many number signs and ellipses"),
        ("lines", GOOD, {"max_mean_line_chars": 50}, "lines too long on average"),
        ("lines", GOOD, {"max_line_chars": 50}, "a line too long"),
        ("lines", "- one\n- two\n", {}, "almost only bullets"),
        ("lines", "one...\ntwo\n", {}, "many lines cut short"),
        ("repetition", "same\n" * 4 + "other\n", {}, "one line throughout"),
        ("repetition", "a\nb\nc\na\nb\nlong line", {}, "repeated lines"),
        ("repetition", "long line\nb\nlong line\nc\nd", {}, "repeated lines hold much of the text"),
        ("language", GOOD, {"language": "de"}, "another language than declared"),
        ("language", GOOD, {"min_confidence": 1.0}, "language uncertain"),
    ],
)
def test_one_document_per_reason(name, text, thresholds, reason):
    assert reason in failing(name, text, **thresholds)


def test_none_switches_a_rule_off():
    assert failing("length", SENTENCE) == ["too few words"]
    assert failing("length", SENTENCE, min_words=None) == []


@pytest.mark.parametrize("declared", ["", "und", "mul", "zxx", None])
def test_a_corpus_that_declares_no_language_is_not_judged(declared):
    assert failing("language", "日本語 text français", language=declared) == []


def test_regional_codes_agree_with_their_language():
    assert failing("language", GOOD, language="en-GB") == []
