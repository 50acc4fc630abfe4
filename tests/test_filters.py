import polars as pl
import pytest

from quality.cleaning_profiles import CleaningProfile
from quality.filters import FILTERS
from quality.measurement import MEASURES, METRICS, STAYING_TEXT, UNCHANGED, measure

SENTENCE = "The quick brown fox jumps over the lazy dog near the old stone bridge at noon. "
GOOD = "\n".join(
    f"{SENTENCE}Paragraph {word} ends here." for word in ("one", "two", "three", "four")
)

PROSE = """The harbour lies at the end of a narrow valley, and the road that leads to it is old.
In winter the fishermen mend their nets by the fire; some of them have never seen a city.
My grandmother used to say that every boat has a name it keeps to itself.
Nobody believed her, but we would sit with her on the wall and listen until dark.
When the wind turned, she folded her hands, looked at the water and was silent.
Years later I came back with my own children, who asked about everything at once."""


def measured(text, language="en"):
    schema = {"text": pl.String, "language": pl.String}
    table = pl.DataFrame({"text": [text], "language": [language]}, schema=schema)
    return measure(table, edit_lines=False)[0]


def metric(name, text):
    return measured(text)[name].item()


def words(count, start=0):
    """So many different words."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    numbers = range(start, start + count)
    return [f"{letters[n // 26 % 26]}{letters[n % 26]}word" for n in numbers]


def around(repeated, times):
    """A sentence that comes back between words that do not."""
    return " ".join(f"{repeated} {' '.join(words(12, 12 * n))}." for n in range(times))


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
        # The words are "aa bb . aa bb": one pair comes twice; of the longer runs the first counts.
        ("gopher_top_2gram_char_share", "aa bb. aa bb", 10 / 12),
        ("gopher_top_3gram_char_share", "aa bb. aa bb", 7 / 12),
        ("gopher_top_4gram_char_share", "aa bb. aa bb", 10 / 12),
        ("gopher_repeated_5gram_char_share", "a b c d e f a b c d e f", 5 / 23),
        ("gopher_repeated_6gram_char_share", "a b c d e f a b c d e f", 6 / 23),
        ("gopher_repeated_7gram_char_share", "a b c d e f a b c d e f", 0.0),
        ("gopher_duplicate_paragraph_share", "aa\n\nb\n\naa", 1 / 3),
        ("gopher_duplicate_paragraph_char_share", "aa\n\nb\n\naa", 2 / 9),
        ("gopher_duplicate_line_share", "aa\nb\n\naa", 1 / 3),
        ("gopher_duplicate_line_char_share", "aa\nb\n\naa", 2 / 8),
        ("gopher_num_words", "It's (here).", 3),
        ("gopher_mean_word_chars", "It's (here).", 8 / 3),
        ("gopher_hash_word_ratio", "# one #two", 2 / 4),
        ("gopher_ellipsis_word_ratio", "so... yes…", 2 / 4),
        ("gopher_dash_line_share", "- a\n\n• b\n* c", 2 / 4),
        ("gopher_ellipsis_line_share", "a...\n\nb… \nc", 2 / 4),
        ("gopher_letter_word_share", "a1 22 & bb", 2 / 4),
        ("gopher_num_stop_words", "the the of With with", 3),
        ("c4_num_sentences", "One two three. Four!\nFive six seven", 3),
        ("c4_dropped_lines", "One two\nOne two three\n\nUse cookies here now", 2),
        ("c4_lorem_ipsum_lines", "Here is Lorem Ipsum text\nand no more", 1),
        ("c4_brace_lines", "if x then {\nelse {", 1),
        ("fineweb_num_lines", "a b c\n\nd e f", 2),
        ("fineweb_terminal_line_share", "a b c.\nd e f", 1 / 2),
        ("fineweb_short_line_share", f"a b c\n{'long ' * 7}", 1 / 2),
        ("fineweb_duplicate_line_char_share", "aa\nb\naa", 2 / 5),
        ("fineweb_newline_word_ratio", "aa bb\ncc.", 1 / 4),
    ],
)
def test_metric_worked_by_hand(name, text, expected):
    assert metric(name, text) == pytest.approx(expected, abs=1e-12)


def test_empty_text_has_finite_metrics():
    frame = measured("").select(METRICS.keys())
    assert frame.row(0) == (0.0,) * len(METRICS)
    assert failing("gopher_repetition", "") == ["no text left"]


def test_measures_are_complete_and_count_what_changed():
    documents = pl.DataFrame({"text": ["sound", "loose  \nend ", "e\u0301 "], "language": [""] * 3})
    frame, changes = measure(documents)
    assert set(frame.columns) == {"text", "language", STAYING_TEXT, *MEASURES}
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
    assert failing(name, PROSE) == []


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
        ("gopher_repetition", "aa\n\nb\n\naa", {}, "repeated paragraphs"),
        (
            "gopher_repetition",
            "a long paragraph\n\nb\n\nc\n\na long paragraph",
            {},
            "repeated paragraphs hold much of the text",
        ),
        ("gopher_repetition", "aa\nb\naa", {}, "repeated lines"),
        (
            "gopher_repetition",
            "a long line\nb\nc\na long line",
            {},
            "repeated lines hold much of the text",
        ),
        ("gopher_repetition", "ab cd " * 9, {}, "one pair of words throughout"),
        ("gopher_repetition", "ab cd ef " * 9, {}, "one run of 3 words throughout"),
        ("gopher_repetition", "ab cd ef gh " * 9, {}, "one run of 4 words throughout"),
        *(
            (
                "gopher_repetition",
                around(" ".join(words(n, 400)), 3),
                {},
                f"repeated runs of {n} words",
            )
            for n in range(5, 11)
        ),
        ("gopher_quality", SENTENCE, {}, "too few words"),
        ("gopher_quality", PROSE, {"max_words": 60}, "too many words"),
        ("gopher_quality", "a bc " * 50, {}, "words too short"),
        ("gopher_quality", "incomprehensibilities " * 60, {}, "words too long"),
        ("gopher_quality", "one # two three " * 9, {}, "too many number signs"),
        ("gopher_quality", "one ... two three " * 9, {}, "too many ellipses"),
        ("gopher_quality", "- one\n• two", {}, "almost only bullets"),
        ("gopher_quality", "one...\ntwo\n", {}, "many lines cut short"),
        ("gopher_quality", "word & " * 40, {}, "too few words with a letter"),
        ("gopher_quality", "alpha beta gamma", {}, "too few stop words"),
        ("c4", PROSE + "\nLorem ipsum dolor sit amet.", {}, "placeholder text"),
        ("c4", PROSE + "\nfunction of x {", {}, "an opening brace"),
        ("c4", "One two three. Four five six.", {}, "too few sentences"),
        ("fineweb", "\n", {}, "no line left"),
        ("fineweb", "one two three\n" * 9, {}, "too few lines that end a sentence"),
        ("fineweb", "One two.\nThree.", {}, "too many short lines"),
        ("fineweb", f"{PROSE}\n{PROSE}", {}, "repeated lines"),
        ("fineweb", "one\ntwo\nthree", {}, "a list"),
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


def test_each_metric_belongs_to_one_filter():
    assert len(METRICS) == sum(len(parts.metrics) for parts in FILTERS.values())


def test_lines_that_c4_takes_out_do_not_count_for_fineweb():
    documents = pl.DataFrame({"text": ["Menu\nOne two three.\nMore"], "language": ["en"]})
    whole = measure(documents, edit_lines=False)[0]
    edited = measure(documents, edit_lines=True)[0]
    assert whole["fineweb_terminal_line_share"].item() == pytest.approx(1 / 3)
    assert edited["fineweb_terminal_line_share"].item() == 1.0
    assert whole[STAYING_TEXT].item() == "Menu\nOne two three.\nMore"
    assert edited[STAYING_TEXT].item() == "One two three."
    assert whole["text_hash"].item() != edited["text_hash"].item()
