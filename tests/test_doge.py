from dataclasses import replace

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.policies import GradientAlignments, Observation

DOMAINS = ("code", "law", "prose")
GRAM = np.array([[1.0, 0.2, 0.0], [0.2, 0.5, 0.1], [0.0, 0.1, 0.8]])
RATE = 5e-4


def make(settings=None):
    return make_mixer(
        MixerConfig(method="doge", settings={"every_steps": 1, **(settings or {})}),
        domains=DOMAINS,
        available_tokens=np.ones(3),
        steps=100,
        batch_rows=6,
    )


def observation(step, *, gram=GRAM, counts=(2, 2, 2), measured=True):
    counts = np.array(counts)
    absent = counts == 0
    dots, squares = gram.sum(axis=1), np.diag(gram).copy()
    dots[absent], squares[absent] = np.nan, np.nan
    return Observation(
        step=step,
        heldout_losses=None,
        train_loss_sums=counts * 30.0,
        train_token_counts=counts * 10,
        realised_counts=counts,
        learning_rate=RATE,
        alignments=GradientAlignments(dots=dots, squared_norms=squares) if measured else None,
    )


def after(mixer, *observations):
    start = observation(-1, counts=(0, 0, 0), measured=False)
    state = mixer.observe(mixer.initial(), start)
    for seen in observations:
        state = mixer.observe(state, seen)
    return state


def test_released_form_matches_the_vector_worked_by_hand():
    mixer = make({"self_term": True})
    state = after(mixer, observation(0))
    np.testing.assert_allclose(RATE * state.scores, [0.000692, 0.000461, 0.000519], atol=1e-6)
    np.testing.assert_allclose(state.domain_weights, [0.337832, 0.330130, 0.332039], atol=1e-6)


def test_smoothing_mixes_in_equal_shares_of_what_is_sampled():
    plain = after(make(), observation(0)).domain_weights
    smooth = after(make({"smoothing": 0.25}), observation(0)).domain_weights
    np.testing.assert_allclose(smooth, 0.75 * plain + 0.25 / 3)
    shares = {"sampling_weights": {"code": 0.5, "law": 0.5, "prose": 0.0}}
    mixer = make({"smoothing": 0.25, **shares})
    np.testing.assert_allclose(mixer.initial().domain_weights, [0.5, 0.5, 0])
    seen = observation(0, counts=(3, 3, 0))
    plain = after(make(shares), seen).domain_weights
    np.testing.assert_allclose(
        after(mixer, seen).domain_weights, 0.75 * plain + np.array([0.125, 0.125, 0])
    )


def test_the_last_step_may_be_the_first_that_measures():
    mixer = make({"every_steps": 100})
    assert mixer.wants_alignment(mixer.initial(), 99) is not None
    np.testing.assert_allclose(mixer.weights(mixer.initial(), 0), 1 / 3)


def test_the_self_term_is_left_out():
    mixer = make()
    state = after(mixer, observation(0))
    norm = np.sqrt(np.diag(GRAM)).mean() + 1e-6
    np.testing.assert_allclose(state.scores, np.array([0.2, 0.3, 0.1]) / norm)
    # The domain with the largest gradient wins with the self term, the best connected without.
    assert state.domain_weights.argmax() == 1
    louder = GRAM + np.diag([5.0, 0.0, 0.0])
    ranks = after(mixer, observation(0, gram=louder)).scores.argsort()
    np.testing.assert_array_equal(ranks, state.scores.argsort())


def test_no_old_gradient_is_used_for_an_absent_domain():
    """The released code scores it with the gradient of the last batch that held it."""
    mixer = make()
    first = after(mixer, observation(0))
    second = mixer.observe(first, observation(1, counts=(3, 3, 0)))
    assert np.isnan(second.scores[2])
    moves = np.log(second.domain_weights / first.domain_weights)
    assert moves[2] == pytest.approx(moves[:2].mean())


def test_negative_alignments_count_as_none_and_large_ones_are_clipped():
    gram = np.array([[1.0, -0.9, 0.0], [-0.9, 1.0, 90.0], [0.0, 90.0, 1.0]])
    state = after(make(), observation(0, gram=gram))
    np.testing.assert_allclose(state.scores, [0, 5, 5])
    wide = after(make({"clip_low": -0.5, "clip_high": 100.0}), observation(0, gram=gram))
    np.testing.assert_allclose(wide.scores, [-0.5, 89.1 / (1 + 1e-6), 90 / (1 + 1e-6)])


def test_measures_every_few_steps_and_moves_as_much_as_if_it_had_at_each():
    mixer = make({"every_steps": 4})
    state = after(mixer)
    for step in range(4):
        due = mixer.wants_alignment(state, step) is not None
        assert due == (step == 3)
        state = mixer.observe(state, observation(step, measured=due))
    each = make()
    straight = after(each, *(observation(step) for step in range(4)))
    np.testing.assert_allclose(state.domain_weights, straight.domain_weights)
    assert state.num_updates == 1


def test_learned_weights_are_the_mean_over_the_steps_that_were_trained():
    mixer = make()
    states = [after(mixer, *(observation(step) for step in range(n))) for n in range(4)]
    trained_on = [state.domain_weights for state in states[:3]]
    np.testing.assert_allclose(mixer.learned_weights(states[3]), np.mean(trained_on, axis=0))
    np.testing.assert_allclose(mixer.learned_weights(states[0]), 1 / 3)


def test_target_and_shares():
    settings = {
        "targets": {"code": 0.0, "law": 0.0, "prose": 1.0},
        "sampling_weights": {"code": 0.5, "law": 0.5, "prose": 0.0},
    }
    mixer = make(settings)
    state = mixer.initial()
    np.testing.assert_array_equal(mixer.wants_alignment(state, 0).heldout_weights, [0, 0, 1])
    assert mixer.wants_alignment(state, -1) is None
    np.testing.assert_array_equal(mixer.weights(state, 0), [0.5, 0.5, 0])
    seen = observation(0, counts=(3, 3, 0))
    state = after(mixer, seen)
    np.testing.assert_allclose(  # with a target nothing is subtracted
        state.scores[:2] / np.array([1.2, 0.8]), 1 / (np.mean([1.0, 0.5**0.5]) + 1e-6)
    )
    assert state.domain_weights[2] == 0
    assert state.domain_weights[0] > 0.5
    np.testing.assert_allclose(
        mixer.loss_weights(state, seen.realised_counts) * 3, state.domain_weights
    )


def test_nothing_moves_while_the_learning_rate_is_zero():
    mixer = make()
    state = after(mixer, replace(observation(0), learning_rate=0.0))
    np.testing.assert_allclose(state.domain_weights, 1 / 3)
    assert mixer.describe(state)["measurements"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mu": 0.0}, "mu"),
        ({"clip_low": 5.0}, r"clip_low 5\.0 must be below clip_high"),
        (
            {"every_steps": 1000},
            "ends before the first comparison of .* every_steps 1000",
        ),
        ({"targets": {"code": 1.0}}, "mixer.settings.targets must name every domain"),
        ({"every": 1}, "every: unknown key"),
    ],
)
def test_refuses_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        make(settings)


def test_refuses_observations():
    with pytest.raises(ValueError, match="needs finite gradient alignments"):
        after(make(), observation(0, measured=False))
    with pytest.raises(ValueError, match="needs finite gradient alignments"):
        after(make(), observation(0, gram=GRAM * np.nan))
    with pytest.raises(ValueError, match="expected the observation of step 0"):
        after(make(), observation(2))
