import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.policies import Observation

DOMAINS = ("code", "law", "prose")
UNIFORM = np.full(3, 1 / 3)


def make(settings=None, **changes):
    options = {
        "domains": DOMAINS,
        "available_tokens": np.ones(3),
        "steps": 100,
        "batch_rows": 6,
        "has_reference": True,
        **changes,
    }
    return make_mixer(MixerConfig(method="doremi", settings=settings or {}), **options)


def observation(step, excess, tokens=(10, 10, 10)):
    """Excess in nats per token of the domains that have tokens."""
    tokens = np.array(tokens)
    return Observation(
        step=step,
        heldout_losses=None,
        train_loss_sums=3.0 * tokens,
        train_token_counts=tokens,
        realised_counts=tokens // 5,
        excess_sums=None if excess is None else np.array(excess) * tokens,
    )


def after(mixer, *observations):
    state = mixer.observe(mixer.initial(), observation(-1, None, (0, 0, 0)))
    for seen in observations:
        state = mixer.observe(state, seen)
    return state


def test_one_update_matches_the_vector_worked_by_hand():
    mixer = make({"smoothing": 0.0})
    state = after(mixer, observation(0, [0.10, 0.40, 0.02]))
    np.testing.assert_allclose(state.domain_weights, [0.305532, 0.412426, 0.282042], atol=1e-6)
    mixer = make({"smoothing": 1e-3})
    state = after(mixer, observation(0, [0.10, 0.40, 0.02]))
    np.testing.assert_allclose(state.domain_weights, [0.305560, 0.412347, 0.282093], atol=1e-6)
    np.testing.assert_allclose(
        mixer.learned_weights(state), [0.319447, 0.372840, 0.307713], atol=1e-6
    )
    assert mixer.describe(state)["learned_weights"]["law"] == pytest.approx(0.372840, abs=1e-6)


def test_updates_accumulate():
    mixer = make({"smoothing": 0.0, "eta": 0.5})
    state = after(mixer, *(observation(step, [0.2, 0.0, 0.4]) for step in range(4)))
    expected = np.exp(4 * 0.5 * np.array([0.2, 0.0, 0.4]))
    np.testing.assert_allclose(state.domain_weights, expected / expected.sum())


def test_an_absent_domain_keeps_its_score_and_an_unseen_one_is_not_moved():
    mixer = make({"smoothing": 0.0})
    state = after(mixer, observation(0, [0.3, 0.1, 9.9], (10, 10, 0)))
    assert mixer.describe(state)["mean_excess"] == pytest.approx(0.2)
    expected = np.exp([0.3, 0.1, 0.2])
    np.testing.assert_allclose(state.domain_weights, expected / expected.sum())
    state = mixer.observe(state, observation(1, [9.9, 0.1, 0.5], (0, 10, 10)))
    expected *= np.exp([0.3, 0.1, 0.5])
    np.testing.assert_allclose(state.domain_weights, expected / expected.sum())


def test_permuting_the_domains_permutes_the_weights():
    excess = np.array([0.5, 0.1, 0.3])
    mixer = make()
    one = after(mixer, observation(0, excess)).domain_weights
    other = after(mixer, observation(0, excess[[2, 0, 1]])).domain_weights
    np.testing.assert_allclose(one[[2, 0, 1]], other)
    assert one.argmax() == 0  # the largest excess gains most


def test_sampling_stays_and_the_loss_counts_each_domain_by_alpha():
    mixer = make({"smoothing": 0.0})
    state = after(mixer, observation(0, [0.10, 0.40, 0.02]))
    np.testing.assert_array_equal(mixer.weights(state, 1), UNIFORM)
    counts = np.array([1, 2, 3])
    of_rows = mixer.loss_weights(state, counts)
    np.testing.assert_allclose(of_rows * counts, state.domain_weights)
    np.testing.assert_allclose(mixer.loss_weights(state, np.array([6, 0, 0]))[1:], 0)
    released = make({"smoothing": 0.0, "normalisation": "batch"})
    np.testing.assert_allclose(released.loss_weights(state, counts) / 3, state.domain_weights)


def test_a_domain_that_is_not_sampled_has_no_weight():
    mixer = make({"sampling_weights": {"code": 0.5, "law": 0.5, "prose": 0.0}})
    state = after(mixer, observation(0, [0.1, 0.2, 0.0], (10, 10, 0)))
    assert state.domain_weights[2] == 0
    assert state.domain_weights.sum() == pytest.approx(1)
    assert state.domain_weights[1] > state.domain_weights[0]


def test_asks_for_excess_losses_and_nothing_else():
    mixer = make()
    state = mixer.initial()
    assert mixer.wants(state, -1) == frozenset()
    assert mixer.wants(state, 0) == {"excess_losses"}
    assert mixer.wants_alignment(state, 0) is None
    assert not mixer.wants_evaluation(state, 0)


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        ({}, {"has_reference": False}, "set `reference` to the folder of a finished run"),
        ({"eta": 0.0}, {}, "eta"),
        ({"sampling_weights": {"code": 1.0}}, {}, r"missing \['law', 'prose'\]"),
        ({"normalization": "batch"}, {}, "normalization: unknown key"),
    ],
)
def test_refuses_settings(settings, changes, message):
    with pytest.raises(ValueError, match=message):
        make(settings, **changes)


def test_refuses_observations():
    mixer = make()
    with pytest.raises(ValueError, match="needs finite excess losses, got None"):
        after(mixer, observation(0, None))
    with pytest.raises(ValueError, match="needs finite excess losses"):
        after(mixer, observation(0, [np.nan, 0.0, 0.0]))
    with pytest.raises(ValueError, match="expected the observation of step 0"):
        after(mixer, observation(1, [0.0, 0.0, 0.0]))
