import pytest

from quality.cleaning_profiles import CLEANING_PROFILES, CleaningProfile, find_profile
from quality.filters import FILTERS


def limits(profile):
    return {(operator, rule.metric, rule.limit) for operator, rule in profile.rules()}


def test_prose_holds_the_published_thresholds():
    assert {
        ("length", "num_words", ">= 50"),
        ("length", "num_words", "<= 100000"),
        ("repetition", "duplicate_line_share", "<= 0.3"),
        ("repetition", "duplicate_line_char_share", "<= 0.2"),
        ("characters", "alphabetic_word_share", ">= 0.8"),
        ("language", "language_confidence", ">= 0.65"),
        ("lines", "bullet_line_share", "<= 0.9"),
    } <= limits(find_profile("prose"))


def test_code_holds_the_line_limits_of_code_and_asks_for_no_language():
    code = limits(find_profile("code"))
    assert ("lines", "mean_line_chars", "<= 100") in code
    assert ("lines", "max_line_chars", "<= 1000") in code
    assert not [limit for limit in code if limit[0] == "language"]


@pytest.mark.parametrize("name", CLEANING_PROFILES)
def test_every_profile_rejects_empty_text_first_and_keeps_the_order_of_filters(name):
    profile = find_profile(name)
    operators = [operator for operator, _ in profile.rules()]
    assert profile.name == name
    assert operators[0] == "normalise"
    order = ["normalise", *FILTERS]
    assert operators == sorted(operators, key=order.index)


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown cleaning profile 'poetry'; known are prose, "):
        find_profile("poetry")


def test_unknown_filter_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown filter 'lenght'; known are length, "):
        CleaningProfile(name="mine", filters={"lenght": {}})


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"min_word": 5}, "'mine', filter 'length': min_word: .*got 5"),
        ({"min_words": -5}, "min_words: .*greater than or equal to 0, got -5"),
    ],
)
def test_bad_threshold_is_an_error(thresholds, message):
    with pytest.raises(ValueError, match=message):
        CleaningProfile(name="mine", filters={"length": thresholds})


def test_unknown_field_is_an_error():
    with pytest.raises(ValueError, match="dedupe"):
        CleaningProfile(name="mine", filters={}, dedupe=True)


def test_web_is_the_chain_of_fineweb_as_published():
    web = find_profile("web")
    assert [name for name, _ in web.rules()][1:] == (
        ["gopher_repetition"] * 13 + ["gopher_quality"] * 10 + ["c4"] * 3 + ["fineweb"] * 5
    )
    assert web.edits_lines
    assert not find_profile("prose").edits_lines
    assert {
        ("gopher_repetition", "gopher_top_2gram_char_share", "<= 0.2"),
        ("gopher_repetition", "gopher_repeated_10gram_char_share", "<= 0.1"),
        ("gopher_quality", "gopher_num_words", ">= 50"),
        ("gopher_quality", "gopher_num_stop_words", ">= 2"),
        ("c4", "c4_num_sentences", ">= 5"),
        ("fineweb", "fineweb_terminal_line_share", ">= 0.12"),
        ("fineweb", "fineweb_duplicate_line_char_share", "<= 0.01"),
        ("fineweb", "fineweb_short_line_share", "<= 0.67"),
        ("fineweb", "fineweb_newline_word_ratio", "<= 0.3"),
    } <= limits(web)
