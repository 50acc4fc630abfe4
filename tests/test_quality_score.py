"""Quality score: what it separates, what is made of it, and what it refuses."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.hashed_ngrams import MAX_CHARS, hash_ngrams, sample_text
from quality.quality_score import (
    QualityModel,
    fit_quality_model,
    keep_above,
    keep_by_chance,
    score_strata,
    score_weights,
)

RNG = np.random.default_rng(0)
CAREFUL = [
    "therefore",
    "observed",
    "measured",
    "evidence",
    "argument",
    "conclusion",
    "history",
    "river",
    "theory",
]
CARELESS = ["buy", "cheap", "click", "now", "free", "bonus", "winner", "deal", "casino", "offer"]
SHARED = ["the", "a", "of", "and", "in", "to", "is", "was", "with", "for"]


def texts(words, count, rng):
    pool = np.array(words + SHARED)
    return [f"{number} " + " ".join(rng.choice(pool, size=40)) for number in range(count)]


REFERENCE, BACKGROUND = texts(CAREFUL, 80, RNG), texts(CARELESS, 80, RNG)


@pytest.fixture(scope="module")
def model():
    return fit_quality_model(REFERENCE, BACKGROUND)


def test_unseen_documents_are_told_apart(model):
    good, bad = (texts(words, 20, np.random.default_rng(9)) for words in (CAREFUL, CARELESS))
    assert model.score(good).min() > 0.5 > model.score(bad).max()
    assert model.separation.auc > 0.99
    assert model.separation.num_reference + model.separation.num_background < 80
    assert model.score([]).shape == (0,)


def test_a_score_is_the_logistic_function_of_the_features(model):
    (row,) = hash_ngrams([REFERENCE[0]]).toarray()
    by_hand = 1 / (1 + np.exp(-(row @ model.weights + model.intercept)))
    assert model.score([REFERENCE[0]])[0] == pytest.approx(by_hand)


def test_order_and_copies_change_nothing(model):
    again = fit_quality_model([*REFERENCE[::-1], REFERENCE[3]], BACKGROUND[::-1])
    np.testing.assert_array_equal(again.weights, model.weights)


def test_sides_that_cannot_be_told_apart_separate_by_chance():
    one, other = (texts(CAREFUL, 200, np.random.default_rng(seed)) for seed in (1, 2))
    assert 0.2 < fit_quality_model(one, other).separation.auc < 0.8


def test_a_model_comes_back_from_disk(model, tmp_path):
    model.save(tmp_path)
    again = QualityModel.load(tmp_path)
    np.testing.assert_allclose(again.score(REFERENCE), model.score(REFERENCE), atol=1e-6)
    assert again.separation == model.separation
    np.savez(tmp_path / "quality_model.npz", weights=np.zeros(3))
    with pytest.raises(ValueError, match=r"\(3,\) weights"):
        QualityModel.load(tmp_path)
    (tmp_path / "quality_model.json").unlink()
    with pytest.raises(ValueError, match="no quality model"):
        QualityModel.load(tmp_path)


@pytest.mark.parametrize(
    ("reference", "background", "message"),
    [
        (REFERENCE[:19], BACKGROUND, "reference: 19 different texts"),
        (REFERENCE, BACKGROUND[:1] * 50, "background: 1 different texts"),
        (REFERENCE, [*BACKGROUND, REFERENCE[0]], "1 texts are both"),
    ],
)
def test_fit_refuses(reference, background, message):
    with pytest.raises(ValueError, match=message):
        fit_quality_model(reference, background)


def test_features_are_of_length_one_and_long_texts_are_sampled():
    lengths = np.sqrt(hash_ngrams(["a word", "", "and two words"]).power(2).sum(axis=1))
    np.testing.assert_allclose(np.asarray(lengths).ravel(), [1, 0, 1])
    text = "a" * MAX_CHARS + "b" * MAX_CHARS + "c" * MAX_CHARS
    part = MAX_CHARS // 3
    assert sample_text(text) == " ".join(letter * part for letter in "abc")
    assert sample_text("short") == "short"


def test_filter_by_threshold():
    frame = pl.DataFrame({"quality_score": [0.2, 0.5, 0.9]})
    assert frame.filter(keep_above(0.5))["quality_score"].to_list() == [0.5, 0.9]
    with pytest.raises(ValueError, match="threshold"):
        keep_above(1.5)


def test_filter_by_chance_keeps_the_share_that_the_formula_gives():
    scores = np.repeat([0.0, 0.5, 1.0], 20_000)
    kept = keep_by_chance(scores, np.random.default_rng(4)).reshape(3, -1).mean(axis=1)
    # P(Pareto(9) > x) = (1 + x)^-9
    np.testing.assert_allclose(kept, [2.0**-9, 1.5**-9, 1.0], atol=0.003)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.data())
def test_strata_are_ordered_and_of_equal_size(scores, data):
    count = data.draw(st.integers(1, len(scores)))
    strata = score_strata(np.array(scores), count)
    sizes = np.bincount(strata, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    by_score = strata[np.argsort(scores, kind="stable")]
    assert (np.diff(by_score) >= 0).all()


def test_weights_are_clipped_odds_of_mean_one():
    weights = score_weights(np.array([0.5, 0.75, 1.0, 0.0]), max_ratio=10)
    odds = np.array([1.0, 3.0, 10.0, 0.1])
    np.testing.assert_allclose(weights, odds / odds.mean())


def test_uses_of_a_score_refuse_nonsense():
    for bad in (np.array([]), np.array([1.5]), np.array([np.nan])):
        with pytest.raises(ValueError, match="scores must be"):
            score_weights(bad)
    with pytest.raises(ValueError, match="max_ratio"):
        score_weights(np.array([0.5]), max_ratio=0.5)
    for count in (0, 3):
        with pytest.raises(ValueError, match="num_strata"):
            score_strata(np.array([0.1, 0.2]), count)
