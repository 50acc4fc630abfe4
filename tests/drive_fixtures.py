"""Runs a mixer without a model."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from training.apportionment import apportion
from training.mixers.interface import Observation, pack_state, unpack_state


@dataclass(frozen=True)
class Drive:
    """What a mixer did in a run without a model."""

    trail: np.ndarray
    """Weights of each step, shape (steps, D)."""
    state: object
    """After the last step."""
    evaluations: list
    """Steps at which the mixer asked for held-out losses."""


def _drive(mixer, steps, *, num_domains=3, heldout=None, train=None, batch_rows=8, repack=False):
    """Run a mixer over steps; heldout and train: step -> losses of all domains, nats per token.

    Rows are apportioned as a run does it, 10 tokens each. With repack the state goes through JSON
    after every step.
    """
    state, carry = mixer.initial(), np.zeros(num_domains)
    trail, evaluations = [], []
    for step in range(-1, steps):
        counts = np.zeros(num_domains, dtype=np.int64)
        if step >= 0:
            trail.append(mixer.weights(state, step))
            counts, carry = apportion(trail[-1], batch_rows, carry)
        asked = mixer.wants_evaluation(state, step)
        evaluations += [step] if asked else []
        losses = np.ones(num_domains) if train is None else train(step)
        observation = Observation(
            step=step,
            heldout_losses=heldout(step) if asked else None,
            train_loss_sums=losses * counts * 10,
            train_token_counts=counts * 10,
            realised_counts=counts,
        )
        state = mixer.observe(state, observation)
        if repack:
            state = unpack_state(json.loads(json.dumps(pack_state(state))), mixer.initial())
    return Drive(np.array(trail), state, evaluations)


@pytest.fixture
def drive():
    """Run a mixer over steps without a model."""
    return _drive
