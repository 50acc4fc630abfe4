import json

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.mixers.interface import Observation, StaticState, pack_state
from training.mixers.odm import OdmState, exploration_share

LOSSES = np.array([2.0, 3.0, 2.5])
TOKENS = np.array([600.0, 300.0, 100.0])


def make(steps=20_000, tokens=TOKENS, **settings):
    return make_mixer(
        MixerConfig(method="odm", settings=settings),
        domains=tuple(f"d{k}" for k in range(len(tokens))),
        available_tokens=np.asarray(tokens),
        steps=steps,
        batch_rows=8,
    )


def observed(step, losses, counts=(10, 10, 10)):
    counts = np.array(counts, dtype=np.int64)
    return Observation(
        step=step,
        heldout_losses=None,
        train_loss_sums=np.asarray(losses) * counts,
        train_token_counts=counts,
        realised_counts=counts // 10,
    )


def state(step, rewards=(0.0, 0.0, 0.0), weights=(1 / 3, 1 / 3, 1 / 3)):
    return OdmState(step=step, rewards=np.array(rewards), sampling_weights=np.array(weights))


def test_published_values_of_the_released_form():
    mixer = make()
    after = mixer.observe(state(9_998), observed(9_999, LOSSES))
    np.testing.assert_allclose(after.sampling_weights, [0.188993, 0.503337, 0.307670], atol=1e-6)
    np.testing.assert_allclose(after.rewards, 0.5 * np.exp(LOSSES))
    assert exploration_share(3, 10_000) == pytest.approx(0.00605148, abs=1e-8)
    assert mixer.describe(after)["exploration"] == exploration_share(3, 10_000)


def test_published_values_of_the_paper_form():
    mixer = make(form="paper")
    after = mixer.observe(state(9_998, 3 * LOSSES), observed(9_999, LOSSES))
    np.testing.assert_allclose(after.rewards, 3 * LOSSES)  # L / pi with pi = 1 / 3: a steady state
    np.testing.assert_allclose(after.sampling_weights, [0.330367, 0.336309, 0.333324], atol=1e-6)


def test_the_paper_form_takes_the_softmax_at_the_exploration_of_the_step_before():
    mixer = make(form="paper", smoothing=0.0)
    after = mixer.observe(state(298), observed(299, LOSSES))
    before, now = np.sqrt(np.log(3) / (3 * np.array([299, 300])))
    scores = np.exp(before * 3 * LOSSES)
    expected = (1 - 3 * now) * scores / scores.sum() + now
    np.testing.assert_allclose(after.sampling_weights, expected, rtol=1e-12)


def test_released_shares_go_to_perplexity_and_those_of_the_paper_to_equal(drive):
    losses = np.linspace(2.0, 3.6, 7)
    settle = {
        form: drive(
            make(form=form, steps=3000, tokens=np.ones(7)),
            3000,
            num_domains=7,
            train=lambda step: losses,
            batch_rows=64,
        ).trail[-1]
        for form in ("released", "paper")
    }
    least = exploration_share(7, 3000)
    perplexity = np.exp(losses) / np.exp(losses).sum()
    np.testing.assert_allclose(settle["released"], (1 - 7 * least) * perplexity + least, atol=1e-5)
    assert np.abs(settle["paper"] - 1 / 7).max() < 0.02
    assert (np.diff(settle["released"]) > 0).all()


def test_each_domain_is_credited_with_its_own_loss_and_absent_ones_keep_theirs():
    mixer = make(smoothing=0.25)
    before = state(9_998, (5.0, 6.0, 7.0))
    after = mixer.observe(before, observed(9_999, LOSSES, counts=(70, 0, 10)))
    expected = [0.25 * 5 + 0.75 * np.exp(2.0), 6.0, 0.25 * 7 + 0.75 * np.exp(2.5)]
    np.testing.assert_allclose(after.rewards, expected)


def test_warms_up_on_proportional_shares_and_counts_it_in_the_exploration(drive):
    run = drive(make(steps=40, warmup_steps=10), 40, train=lambda step: LOSSES)
    np.testing.assert_array_equal(run.trail[:11], np.tile(TOKENS / 1000, (11, 1)))
    least = exploration_share(3, 11)
    # in the batch of step 10 d2 has no row of 8, so it has the share of exploration only
    drawn = np.where(run.trail[11] > least + 1e-9, np.exp(LOSSES), 0)
    np.testing.assert_allclose(run.trail[11], (1 - 3 * least) * drawn / drawn.sum() + least)
    assert make(steps=5000).initial().sampling_weights[0] == 0.6
    first = drive(make(steps=300), 5, train=lambda step: LOSSES).trail
    assert (first[:4] == TOKENS / 1000).all()  # a hundredth of 300 steps, and the one after
    assert (first[4] != TOKENS / 1000).any()


def test_on_the_simplex_and_above_the_exploration_at_every_step(drive):
    noisy = lambda step: 2 + np.random.default_rng(step + 1).random(3)  # noqa: E731
    for form in ("released", "paper"):
        trail = drive(make(form=form, steps=200), 200, train=noisy).trail
        np.testing.assert_allclose(trail.sum(axis=1), 1, rtol=1e-12)
        for step in range(10, 200):
            assert trail[step].min() >= exploration_share(3, step) - 1e-15


def test_follows_the_domains(drive):
    order = [2, 0, 1]
    options = {"num_domains": 3, "batch_rows": 64}
    one = drive(make(steps=60), 60, train=lambda step: LOSSES, **options).trail
    other = make(steps=60, tokens=TOKENS[order])
    turned = drive(other, 60, train=lambda step: LOSSES[order], **options).trail
    np.testing.assert_allclose(one[:, order], turned, rtol=1e-12)


def test_unchanged_by_resume(drive):
    noisy = lambda step: 2 + np.random.default_rng(step + 1).random(3)  # noqa: E731
    for form in ("released", "paper"):
        one = drive(make(form=form, steps=50), 50, train=noisy)
        other = drive(make(form=form, steps=50), 50, train=noisy, repack=True)
        np.testing.assert_array_equal(one.trail, other.trail)
        assert pack_state(one.state) == pack_state(other.state)
        record = make(form=form).describe(one.state)
        assert json.loads(json.dumps(record, allow_nan=False)) == record


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "exp3"}, "form: .*'released' or 'paper'"),
        ({"smoothing": 1.0}, "smoothing: .*less than 1"),
        ({"warmup_steps": 50, "steps": 50}, "warmup_steps 50 must be below the 50 steps"),
        ({"reward_scale": 9.0}, "reward_scale: unknown key"),
    ],
)
def test_refuses_settings(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_refuses_observations_and_foreign_states():
    mixer = make()
    with pytest.raises(ValueError, match="expected the observation of step -1, got 5"):
        mixer.observe(mixer.initial(), observed(5, LOSSES))
    with (
        pytest.raises(ValueError, match="give no finite reward; training diverged"),
        np.errstate(over="ignore"),
    ):
        mixer.observe(state(9_998), observed(9_999, [1e4, 2.0, 2.0]))
    with pytest.raises(TypeError, match="expected an OdmState, got StaticState"):
        mixer.weights(StaticState(), 0)
