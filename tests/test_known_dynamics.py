"""Mixers on runs whose law is known: what they choose is the closed-form answer of that law.

The held-out losses obey the linear mixing law, L(t + 1) = L(t) - A p, with p the rows that were
really drawn; gradients and excess losses are those that belong to it.
"""

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.mixers.interface import softmax
from training.policies import GradientAlignments, Observation
from training.sampler import Sampler

DOMAINS = ("code", "law", "prose")
# A[eval, train]: nats per token that one step wholly on the train domain saves
MATRIX = np.array([[0.030, 0.002, 0.004], [0.001, 0.012, 0.001], [0.005, 0.003, 0.020]]) / 20
START = np.array([4.0, 2.5, 3.2])
GRAM = (MATRIX + MATRIX.T) * 200
EXCESS = np.array([0.05, 0.0, 0.12])


def run(method, settings, steps, *, noise=0.0, seed=0, batch_rows=24):
    """Drive a mixer through the known run; return mixer, state and the weights of all steps."""
    mixer = make_mixer(
        MixerConfig(method=method, settings=settings),
        domains=DOMAINS,
        available_tokens=np.ones(3),
        steps=steps,
        batch_rows=batch_rows,
        has_reference=method == "doremi",
    )
    sampler = Sampler(DOMAINS, np.full(3, 10**6), seed=0, batch_rows=batch_rows)
    planned, state, losses, trail = sampler.initial(), mixer.initial(), START.copy(), []
    rng = np.random.default_rng(seed)
    for step in range(-1, steps):
        counts = np.zeros(3, dtype=np.int64)
        if step >= 0:
            trail.append(mixer.weights(state, step))
            plan, planned = sampler.plan(planned, trail[-1])
            counts = plan.counts
        seen = losses + noise * rng.normal(size=3)
        aligned = mixer.wants_alignment(state, step) is not None
        losses = losses - MATRIX @ (counts / batch_rows)
        evaluated = losses + noise * rng.normal(size=3)
        observation = Observation(
            step=step,
            heldout_losses=evaluated if mixer.wants_evaluation(state, step) else None,
            train_loss_sums=seen * counts * 10,
            train_token_counts=counts * 10,
            realised_counts=counts,
            learning_rate=1e-3,
            excess_sums=EXCESS * counts * 10,
            alignments=GradientAlignments(dots=GRAM.sum(axis=1), squared_norms=np.diag(GRAM))
            if aligned
            else None,
        )
        state = mixer.observe(state, observation)
    return mixer, state, np.array(trail)


AIOLI = {"sweeps": 4, "probe_steps": 2, "round_steps": 60, "main_share": 0.75, "eta": 0.7}


def test_aioli_recovers_the_matrix_and_its_weights_are_mirror_descent_on_it():
    settings = {**AIOLI, "update": "cumulative"}
    mixer, state, trail = run("aioli", settings, 180)
    np.testing.assert_allclose(state.matrix, 2 * MATRIX, atol=1e-12)
    gains = MATRIX.sum(axis=0) / MATRIX.sum()
    for rounds in (1, 2, 3):
        np.testing.assert_allclose(trail[60 * rounds - 1], softmax(0.7 * rounds * gains))
    assert mixer.describe(state)["fidelity"] == pytest.approx(1)


def test_aioli_recovers_the_matrix_within_its_stated_errors():
    distances = []
    for seed in range(25):
        _, state, _ = run("aioli", AIOLI, 61, noise=5e-4, seed=seed)
        distances.append((state.matrix - 2 * MATRIX) / state.standard_errors)
    inside = np.abs(distances) < 3.18  # Student's t with 3 degrees of freedom: 95 %
    assert 0.87 < inside.mean() < 0.995


def test_fidelity_of_a_run_that_obeys_its_law_survives_noise():
    for seed in range(5):
        mixer, state, _ = run("aioli", AIOLI, 180, noise=5e-4, seed=seed)
        assert mixer.describe(state)["faithful"]
        assert mixer.describe(state)["fidelity"] > 0.8


def test_skill_it_weighs_by_graph_times_losses():
    graph = {
        train: {name: float(20 * MATRIX[row, column]) for row, name in enumerate(DOMAINS)}
        for column, train in enumerate(DOMAINS)
    }
    settings = {
        "graph": graph,
        "eta": 3.0,
        "round_steps": 20,
        "window": 2,
        "evaluation_steps": 5,
        "obey_diagnosis": False,
    }
    _, _, trail = run("skill_it", settings, 60)
    losses, history = START.copy(), {}
    sampler = Sampler(DOMAINS, np.full(3, 10**6), seed=0, batch_rows=24)
    planned = sampler.initial()
    for step, weights in enumerate(trail):
        plan, planned = sampler.plan(planned, weights)
        losses = losses - MATRIX @ (plan.counts / 24)
        history[step + 1] = losses
    np.testing.assert_allclose(trail[0], softmax(3.0 * 20 * MATRIX.sum(axis=0)))
    for end in (20, 40):
        window = history[end - 5] + history[end]
        np.testing.assert_allclose(trail[end], softmax(3.0 * 20 * MATRIX.T @ window))


def test_odm_samples_in_proportion_to_perplexity():
    settings = {"smoothing": 0.0, "warmup_steps": 1}
    _, _, trail = run("odm", settings, 400)
    # Losses at the last step but one, with no noise and no smoothing.
    _, state, _ = run("odm", settings, 399)
    shares = state.rewards / state.rewards.sum()
    eps = np.sqrt(np.log(3) / (3 * 399))
    np.testing.assert_allclose(trail[-1], (1 - 3 * eps) * shares + eps)
    assert trail[-1].argmax() == 0  # the highest loss, though law gains as much from a step


def test_doremi_is_mirror_descent_on_the_excess():
    mixer, state, trail = run("doremi", {"smoothing": 0.0, "eta": 0.5}, 40)
    np.testing.assert_allclose(state.domain_weights, softmax(0.5 * 40 * EXCESS))
    steps = [softmax(0.5 * number * EXCESS) for number in range(41)]
    np.testing.assert_allclose(mixer.learned_weights(state), np.mean(steps, axis=0))
    np.testing.assert_array_equal(trail, np.full((40, 3), 1 / 3))


def test_doge_is_mirror_descent_on_the_gradients_of_the_others():
    settings = {"every_steps": 10, "mu": 0.05}
    mixer, state, _ = run("doge", settings, 40)
    others = GRAM.sum(axis=1) - np.diag(GRAM)
    scores = others / (np.sqrt(np.diag(GRAM)).mean() + 1e-6)
    np.testing.assert_allclose(state.domain_weights, softmax(40 * 1e-3 * scores / 0.05))
    blocks = [softmax(10 * number * 1e-3 * scores / 0.05) for number in range(4)]
    # A block is trained on the weights before its measurement; its last step measures.
    np.testing.assert_allclose(mixer.learned_weights(state), np.mean(blocks, axis=0))
