import numpy as np
import pytest

from training.mixing_laws.dynamic_linear import DynamicLinearLaw, fit_dynamic_linear

DROPS = np.array([[0.6, 0.1, 0.2], [0.0, 0.5, 0.05]])
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), size=12)
BEFORE = np.array([3.0, 4.0])
AFTER = BEFORE - WEIGHTS @ DROPS.T
NAMES = {"domains": ["web", "code", "math"], "eval_domains": ["news", "software"]}


def test_predict_matches_a_value_worked_by_hand():
    law = DynamicLinearLaw(
        domains=("a", "b"), eval_domains=("x",), drops=np.array([[0.4, 0.2]]), explained=np.ones(1)
    )
    np.testing.assert_allclose(law.predict(np.array([3.0]), np.array([[0.5, 0.5]])), [[2.7]])


def test_noise_free_forks_give_the_drops_back():
    law = fit_dynamic_linear(WEIGHTS, BEFORE, AFTER, **NAMES)
    np.testing.assert_allclose(law.drops, DROPS, atol=1e-10)
    np.testing.assert_allclose(law.explained, 1.0)
    np.testing.assert_allclose(law.predict(BEFORE, WEIGHTS), AFTER, atol=1e-10)


def test_forks_of_several_checkpoints_bring_their_own_losses():
    before = BEFORE + np.random.default_rng(1).normal(0, 0.3, size=(12, 2))
    law = fit_dynamic_linear(WEIGHTS, before, before - WEIGHTS @ DROPS.T, **NAMES)
    np.testing.assert_allclose(law.drops, DROPS, atol=1e-10)


def test_one_spoiled_fork_hardly_moves_the_drops():
    spoiled = AFTER.copy()
    spoiled[4, 0] += 1.0
    law = fit_dynamic_linear(WEIGHTS, BEFORE, spoiled, **NAMES)
    plain = np.linalg.lstsq(WEIGHTS, BEFORE - spoiled, rcond=None)[0].T
    assert np.abs(law.drops - DROPS).max() < np.abs(plain - DROPS).max() / 5


def test_usefulness_sums_over_evaluation_domains_by_name():
    law = fit_dynamic_linear(WEIGHTS, BEFORE, AFTER, **NAMES)
    useful = law.usefulness({"software": 2.0, "news": 1.0})
    assert useful["web"] == pytest.approx(0.6)
    assert useful["code"] == pytest.approx(1.1)
    with pytest.raises(ValueError, match="wanted"):
        law.usefulness({"news": 1.0})


def test_json_and_description_are_keyed_by_name():
    law = fit_dynamic_linear(WEIGHTS, BEFORE, AFTER, **NAMES)
    drops = law.to_json()["drops"]
    assert drops["software"]["code"] == pytest.approx(0.5)
    assert drops["news"]["web"] == pytest.approx(0.6)
    assert law.describe().startswith("news: web +0.6, math +0.2, code +0.1")


@pytest.mark.parametrize(
    ("weights", "after", "message"),
    [
        (WEIGHTS * 0.9, AFTER, "sum to 1"),
        (WEIGHTS, AFTER[:, :1], "do not fit"),
        (WEIGHTS, np.where(np.arange(24).reshape(12, 2) == 3, np.nan, AFTER), "finite"),
        (WEIGHTS[:3], AFTER[:3], "got 3 forks"),
        (np.tile([0.5, 0.25, 0.25], (12, 1)), AFTER, "rank 1"),
    ],
)
def test_fit_rejects(weights, after, message):
    with pytest.raises(ValueError, match=message):
        fit_dynamic_linear(weights, BEFORE, after, **NAMES)
