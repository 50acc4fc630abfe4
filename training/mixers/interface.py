"""What a mixer is: a rule that yields the sampling weights of each step. Pure; no torch, no files.

A mixer holds constants. All that changes is in a state (training.policies). The training loop calls
it so:

    state = mixer.initial()
    for step in -1, 0, 1, ..., steps - 1:
        if step >= 0:
            draw a batch by mixer.weights(state, step)
            train one step; a row of domain d has the weight mixer.loss_weights(state, rows)[d]
        measure what mixer.wants...(state, step) names
        state = mixer.observe(state, Observation(step=step, ...))

The call with step -1, before the first step, has zero train counts. A checkpoint taken after
observe() needs nothing but the packed state. Vectors are in the order of `MixingTask.domains`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from training.arrays import Floats, Ints, require_simplex
from training.policies import (
    AlignmentTarget,
    GuardVerdict,
    Json,
    Observation,
    PolicyState,
    Signal,
    by_domain,
    pack_state,
    parse_settings,
    require_next_step,
    unpack_state,
)

__all__ = [
    "AlignmentTarget",
    "GuardVerdict",
    "Json",
    "Mixer",
    "MixerState",
    "MixingTask",
    "Observation",
    "SamplingMixer",
    "Signal",
    "StaticMixer",
    "by_domain",
    "pack_state",
    "parse_settings",
    "require_heldout_losses",
    "require_next_step",
    "softmax",
    "unpack_state",
    "weights_by_name",
]

MixerState = PolicyState


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MixingTask:
    """What a mixer may know of the run it serves."""

    domains: tuple[str, ...]
    """Names; all vectors are in this order."""
    available_tokens: Floats
    """Training tokens of each domain, shape (D,), > 0."""
    steps: int
    """Optimiser steps of the run."""
    batch_rows: int
    """Rows of a batch."""
    has_reference: bool = False
    """Whether the run names a reference model, and so can measure excess losses."""
    learned_weights: Mapping[str, float] | None = None
    """Shares by domain that another run learnt, if the run names one."""


class Mixer(Protocol):
    """Yields the weights of each step from what was observed before it."""

    def initial(self) -> MixerState:
        """Return the state before the first observation."""
        ...

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Whether observe() for this step (-1: before the first) needs held-out losses."""
        ...

    def wants(self, state: MixerState, step: int) -> frozenset[Signal]:
        """What else observe() for this step needs."""
        ...

    def wants_alignment(self, state: MixerState, step: int) -> AlignmentTarget | None:
        """What the gradients of this step (from 0) are to be compared with, if at all."""
        ...

    def observe(self, state: MixerState, observation: Observation) -> MixerState:
        """Return the state after an observation. Steps must come one after the other."""
        ...

    def weights(self, state: MixerState, step: int) -> Floats:
        """Sampling weights of the step that is about to run, shape (D,), on the simplex."""
        ...

    def loss_weights(self, state: MixerState, counts: Ints) -> Floats | None:
        """Weight of one row of each domain in the loss of the step that is about to run.

        The loop divides by the sum over the batch, so only ratios matter. None: all rows alike.

        Args:
            state: Before the step.
            counts: Rows of each domain in the batch, shape (D,).
        """
        ...

    def learned_weights(self, state: MixerState) -> Floats | None:
        """Weights that this run learnt for another run to sample from, shape (D,); None: none."""
        ...

    def verdicts(self, state: MixerState) -> tuple[GuardVerdict, ...]:
        """Return what the guards of the method found over the run; none: it has no guards."""
        ...

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return the last decision, for the metrics: weights by domain, and what they rest on."""
        ...


class SamplingMixer:
    """Base of the mixers that only sample and need no signal but held-out losses."""

    def wants(self, state: MixerState, step: int) -> frozenset[Signal]:
        """Nothing."""
        return frozenset()

    def wants_alignment(self, state: MixerState, step: int) -> AlignmentTarget | None:
        """Nothing."""
        return None

    def loss_weights(self, state: MixerState, counts: Ints) -> Floats | None:
        """All rows alike."""
        return None

    def learned_weights(self, state: MixerState) -> Floats | None:
        """None: the weights are for this run."""
        return None

    def verdicts(self, state: MixerState) -> tuple[GuardVerdict, ...]:
        """No guards."""
        return ()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StaticState(MixerState):
    """A mixer that learns nothing."""


class StaticMixer(SamplingMixer):
    """The same weights at every step."""

    def __init__(
        self,
        domains: tuple[str, ...],
        weights: Floats,
        *,
        notes: Mapping[str, Json] | None = None,
    ) -> None:
        """Fix the weights, shape (D,), on the simplex, and what the record says besides."""
        require_simplex(weights)
        self._domains = domains
        self._weights = weights
        self._notes = dict(notes or {})

    def initial(self) -> StaticState:
        """Return the only state."""
        return StaticState()

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Never."""
        return False

    def observe(self, state: MixerState, observation: Observation) -> MixerState:
        """Learn nothing."""
        return state

    def weights(self, state: MixerState, step: int) -> Floats:
        """Return the fixed weights."""
        return self._weights.copy()

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return the fixed weights by domain, and the notes."""
        return {"weights": by_domain(self._domains, self._weights), **self._notes}


def require_heldout_losses(observation: Observation, num_domains: int) -> Floats:
    """Return the held-out losses that a mixer asked for.

    Raises:
        ValueError: They are missing or not finite.
    """
    losses = observation.heldout_losses
    if losses is None or losses.shape != (num_domains,) or not np.isfinite(losses).all():
        raise ValueError(
            f"step {observation.step} needs one finite held-out loss of each of {num_domains} "
            f"domains, got {losses}; a loss that is not finite means that training diverged"
        )
    return losses


def softmax(scores: Floats) -> Floats:
    """Weights in proportion to exp(scores), shape (D,); large scores do not overflow."""
    shares = np.exp(scores - scores.max())
    return np.asarray(shares / shares.sum())


def weights_by_name(weights: Mapping[str, float], domains: tuple[str, ...], *, name: str) -> Floats:
    """Put shares keyed by domain into the order of the domains.

    Raises:
        ValueError: The names are not exactly the domains, or the shares are no mixture.
    """
    if set(weights) != set(domains):
        raise ValueError(
            f"{name} must name every domain once: missing {sorted(set(domains) - set(weights))}, "
            f"unknown {sorted(set(weights) - set(domains))}; give 0 to a domain that is left out"
        )
    shares = np.array([weights[domain] for domain in domains], dtype=np.float64)
    require_simplex(shares, name=name)
    return np.asarray(shares / shares.sum())
