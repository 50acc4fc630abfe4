"""All that changes while Aioli runs.

Shapes: D domains, R sweeps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Ints
from training.mixers.interface import MixerState


@dataclass(frozen=True, kw_only=True, slots=True)
class AioliState(MixerState):
    """All that changes."""

    step: int
    """Last step observed; -2 before the call for -1."""
    losses: Floats
    """Last held-out losses, shape (D,), nats per token; zeros before the first."""
    drops: Floats
    """Falls of the losses in the probes of this round so far, shape (R * D probes, D eval)."""
    counts: Ints
    """Rows of those probes, shape (R * D probes, D train)."""
    sampling_weights: Floats
    """Weights between the probes, shape (D,)."""
    scores: Floats
    """Moving average of the normalised scores, shape (D,); zeros before the first move."""
    num_decisions: int
    """Rounds decided."""
    num_moves: int
    """Of these, rounds that changed the weights."""
    determined: bool
    """Whether the last decision had a matrix; the five fields below are zeros if not."""
    matrix: Floats
    """A of the last decision, shape (D eval, D train), nats per token."""
    standard_errors: Floats
    """Of A; zeros with one sweep."""
    contrasts: Floats
    """Of the last decision, shape (D,), nats per token."""
    contrast_error: float
    """Their standard error; 0 with one sweep."""
    moved: NDArray[np.bool_]
    """Domains whose own contrast was above the noise in the last decision, shape (D,)."""
    rest_counts: Ints
    """Rows of each domain since the probes of the last decision, shape (D,)."""
    predicted_drops: Floats
    """Falls that A predicted for the last round that was compared, shape (D,), nats per token."""
    observed_drops: Floats
    """Falls that were seen, shape (D,), nats per token."""
    num_compared: int
    """Rounds compared."""
    fidelity: float
    """Cosine of the two; 0 before the first comparison."""
    num_unfaithful: int
    """Rounds whose fidelity was too low."""
