import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.mixers.unimax import unimax_tokens

TOKENS = np.array([100.0, 20.0, 1000.0, 5.0])


def make(tokens=TOKENS, **settings):
    config = MixerConfig(method="unimax", settings=settings)
    domains = tuple(f"d{k}" for k in range(len(tokens)))
    return make_mixer(config, domains=domains, available_tokens=tokens, steps=10, batch_rows=4)


def weights(mixer):
    return mixer.weights(mixer.initial(), 0)


def test_published_values():
    tokens = unimax_tokens(TOKENS, budget_tokens=400, max_epochs=2)
    np.testing.assert_allclose(tokens, [175, 40, 175, 10])
    mixer = make(budget_tokens=400, max_epochs=2.0)
    np.testing.assert_allclose(weights(mixer), [0.4375, 0.1, 0.4375, 0.025])
    assert mixer.describe(mixer.initial())["shortfall_tokens"] == 0


def test_reads_no_domain_twice_unless_told_to():
    np.testing.assert_allclose(weights(make(budget_tokens=400)), [100 / 400, 0.05, 0.6875, 0.0125])


def test_a_budget_beyond_the_data_is_proportional_and_says_what_is_missing():
    mixer = make(np.array([1.0, 2.0]), budget_tokens=400, max_epochs=2.0)
    np.testing.assert_allclose(weights(mixer), [1 / 3, 2 / 3])
    assert mixer.describe(mixer.initial())["shortfall_tokens"] == 394


@pytest.mark.parametrize("seed", range(5))
def test_no_domain_beyond_its_epochs_and_the_others_equal(seed):
    rng = np.random.default_rng(seed)
    available = rng.lognormal(3, 2, size=6)
    budget, epochs = rng.uniform(0.1, 1) * available.sum(), rng.uniform(1, 4)
    tokens = unimax_tokens(available, budget_tokens=budget, max_epochs=epochs)
    np.testing.assert_allclose(tokens.sum(), budget)
    full = np.isclose(tokens, epochs * available)
    assert (tokens <= epochs * available * (1 + 1e-12)).all()
    assert np.ptp(tokens[~full]) < 1e-9 * budget
    order = rng.permutation(6)
    turned = unimax_tokens(available[order], budget_tokens=budget, max_epochs=epochs)
    np.testing.assert_allclose(turned, tokens[order])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "budget_tokens: missing"),
        ({"budget_tokens": 0}, "budget_tokens: .*greater than or equal to 1"),
        ({"budget_tokens": 10, "max_epochs": 0.0}, "max_epochs: .*greater than 0"),
        ({"budget_tokens": 10, "epochs": 2.0}, "epochs: unknown key"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)
