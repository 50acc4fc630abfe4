"""Alignment-based weighting: rows count by how near they are to the held-out rows.

    s_b = mean over held-out rows a of cos(e_b, e_a)         e: embeddings (training.row_features)
    w_b = 1 / (1 + exp(-s_b / tau))

The embeddings of the batch come from its own forward pass, so they cost nothing (a forward pass
where the batch is run in several parts); those of the held-out rows are taken anew every
refresh_steps. Their normalised mean direction is all the state
there is, because the mean cosine is the inner product with it. Early in training, and in models
whose embeddings all point one way, the weights hardly differ: look at effective_rows.

Source: the adaptive weighter of DataFlex (its README cites arXiv:2603.26164). Deviation: weights
have mean 1; there the loss is the plain sum of w * loss, so that the learning rate grows with the
batch and the mean weight.
Shapes: D domains, B rows of the batch, R held-out rows, H width.
"""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from training.arrays import Floats
from training.config import STRICT, Count, Setting
from training.policies import (
    HeldoutEmbeddings,
    Json,
    Observation,
    PolicyState,
    Signal,
    parse_settings,
    require_next_step,
)
from training.weighters.weighter import RowMeasures, RowSignal, WeightingTask


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class HeldoutAlignmentSettings:
    """What the run file says."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """tau; small: the sign of the cosine decides."""
    refresh_steps: Count = 50
    """Steps after which the held-out rows are embedded anew."""
    targets: dict[str, float] | None = None
    """Weight of the held-out rows of each domain, >= 0; None: every row counts the same."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class HeldoutAlignmentState(PolicyState):
    """All that changes."""

    step: int
    """Last step observed; -2 before the first."""
    direction: Floats
    """Mean of the normalised held-out embeddings, shape (H,); empty before the first."""


class HeldoutAlignment:
    """Weights from embeddings."""

    def __init__(self, settings: HeldoutAlignmentSettings, task: WeightingTask) -> None:
        """Check the settings against the run.

        Raises:
            ValueError: Targets that are no domains, negative, or all zero.
        """
        self._settings = settings
        weights = settings.targets
        if weights is not None and (
            set(weights) - set(task.domains)
            or min(weights.values(), default=0) < 0
            or sum(weights.values()) == 0
        ):
            raise ValueError(
                f"weighter 'alignment': targets {weights} must be weights >= 0, not all zero, of "
                f"some of the domains {', '.join(task.domains)}"
            )
        self._targets = (
            np.ones(len(task.domains))
            if weights is None
            else np.array([weights.get(name, 0.0) for name in task.domains])
        )

    @property
    def reads(self) -> frozenset[RowSignal]:
        """The embeddings."""
        return frozenset({"embeddings"})

    def initial(self) -> HeldoutAlignmentState:
        """Return the state before the first observation."""
        return HeldoutAlignmentState(step=-2, direction=np.zeros(0))

    def wants(self, state: PolicyState, step: int) -> frozenset[Signal]:
        """Held-out embeddings before the first step and every refresh_steps."""
        due = (step + 1) % self._settings.refresh_steps == 0
        return frozenset({"heldout_embeddings"}) if due else frozenset()

    def row_weights(self, state: PolicyState, step: int, rows: RowMeasures) -> Floats:
        """Weight of each row over the largest of the batch, shape (B,), in [0, 1].

        Raises:
            ValueError: Embeddings are missing or not finite.
        """
        vectors = rows.embeddings
        if vectors is None or not np.isfinite(vectors).all():
            raise ValueError("weighter 'alignment' needs finite embeddings of all rows")
        scaled = _unit(vectors) @ _own(state).direction / self._settings.temperature
        logarithms = -np.logaddexp(0.0, -scaled)  # a small tau would make all weights zero
        return np.asarray(np.exp(logarithms - logarithms.max()))

    def observe(self, state: PolicyState, observation: Observation) -> HeldoutAlignmentState:
        """Book a step; take over new held-out embeddings.

        Raises:
            ValueError: A step out of order, or embeddings that are missing or not finite.
        """
        state = _own(state)
        require_next_step(state.step, observation)
        state = replace(state, step=observation.step)
        if not self.wants(state, observation.step):
            return state
        found = observation.heldout_embeddings
        if found is None or not np.isfinite(found.vectors).all():
            raise ValueError(f"step {observation.step} needs finite held-out embeddings")
        return replace(state, direction=self._direction(found))

    def describe(self, state: PolicyState) -> dict[str, Json]:
        """Return how much the held-out rows agree: 1 if all point one way."""
        return {"heldout_agreement": float(np.linalg.norm(_own(state).direction))}

    def _direction(self, heldout: HeldoutEmbeddings) -> Floats:
        weights = self._targets[heldout.domain_index]
        return np.asarray(weights @ _unit(heldout.vectors) / weights.sum())


def _unit(vectors: Floats) -> Floats:
    """Divide each row by its norm; zero stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1.0))


def make_heldout_alignment(
    settings: Mapping[str, Setting], task: WeightingTask
) -> HeldoutAlignment:
    """Return the alignment-based weighter.

    Raises:
        ValueError: A wrong setting, or targets that are no domains.
    """
    parsed = parse_settings(HeldoutAlignmentSettings, "alignment", settings, role="weighter")
    return HeldoutAlignment(parsed, task)


def _own(state: PolicyState) -> HeldoutAlignmentState:
    if not isinstance(state, HeldoutAlignmentState):
        raise TypeError(f"expected a HeldoutAlignmentState, got {type(state).__name__}")
    return state
