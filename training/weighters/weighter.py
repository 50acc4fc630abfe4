"""What a weighter is: a rule that gives each row of a batch its weight in the loss. Pure; no torch.

The training loop calls it so:

    state = weighter.initial()
    for step in -1, 0, 1, ..., steps - 1:
        if step >= 0:
            forward pass; weights = weighter.row_weights(state, step, rows); backward pass of
            sum over rows of weight * loss / sum of weights
        state = weighter.observe(state, observation with what weighter.wants(state, step) names)

The weights are constants of the backward pass: no gradient flows through them. They multiply what a
mixer says about the domains (mixers.interface.Mixer.loss_weights).

Shapes: B rows of the global batch, H width of the model.
"""

import dataclasses
from typing import Literal, Protocol

import numpy as np

from training.arrays import Floats, Ints
from training.policies import Json, Observation, PolicyState, Signal

RowSignal = Literal["losses", "embeddings"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WeightingTask:
    """What a weighter may know of the run it serves."""

    domains: tuple[str, ...]
    """Names."""
    steps: int
    """Optimiser steps of the run."""
    batch_rows: int
    """B."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowMeasures:
    """The global batch as its forward pass sees it; what the weighter does not read is None."""

    domain_index: Ints
    """Domain of each row, shape (B,)."""
    losses: Floats | None
    """Mean loss of each row, shape (B,), nats per token."""
    embeddings: Floats | None
    """Embedding of each row (training.row_features), shape (B, H)."""


class Weighter(Protocol):
    """Weighs the rows of a batch."""

    @property
    def reads(self) -> frozenset[RowSignal]:
        """What row_weights() needs of the batch's own forward pass."""
        ...

    def initial(self) -> PolicyState:
        """Return the state before the first observation."""
        ...

    def wants(self, state: PolicyState, step: int) -> frozenset[Signal]:
        """What observe() for this step (-1: before the first) needs."""
        ...

    def row_weights(self, state: PolicyState, step: int, rows: RowMeasures) -> Floats | None:
        """Weight of each row, shape (B,), >= 0 with a positive sum; only ratios matter.

        None: all rows alike, computed as if there were no weighter.
        """
        ...

    def observe(self, state: PolicyState, observation: Observation) -> PolicyState:
        """Return the state after an observation. Steps must come one after the other."""
        ...

    def describe(self, state: PolicyState) -> dict[str, Json]:
        """Return what the metrics record of the state."""
        ...


def effective_rows(weights: Floats) -> float:
    """Rows of equal weight that would average as well: (sum w)^2 / sum w^2, from 1 to B."""
    return float(np.square(weights.sum()) / np.square(weights).sum())
