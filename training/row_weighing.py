"""The weights of the rows of a batch in the loss: what the mixer says times what the weighter says.

    w_b = mixer weight of b's domain * weighter's weight of b       normalised to mean 1
    loss = sum over rows of w_b * nats_b / (B * T)

Shapes: D domains, B rows of the global batch, T context tokens.
"""

from dataclasses import dataclass

import numpy as np

from training.arrays import Floats
from training.policies import PolicyState
from training.sampler import BatchPlan
from training.weighters.weighter import RowMeasures, RowSignal, Weighter


@dataclass(frozen=True, kw_only=True, slots=True)
class RowWeighing:
    """How the rows of one step are weighted."""

    loss_weights: Floats | None
    """Weight of a row of each domain, shape (D,), from the mixer; None: all alike."""
    weighter: Weighter
    """Weighs each row."""
    state: PolicyState
    """Of the weighter, before the step."""
    step: int
    """Step that is about to run, from 0."""

    @property
    def reads(self) -> frozenset[RowSignal]:
        """What weights() needs of the batch's own forward pass."""
        return self.weighter.reads

    def weights(
        self, plan: BatchPlan, *, losses: Floats | None = None, embeddings: Floats | None = None
    ) -> Floats | None:
        """Return the weight of each row, shape (B,), of mean 1; None: all alike.

        Args:
            plan: The global batch.
            losses: Mean loss of each row, shape (B,), nats per token, if reads says so.
            embeddings: Of each row, shape (B, H), if reads says so.

        Raises:
            ValueError: Weights that are negative, not finite or zero everywhere.
        """
        measured = RowMeasures(domain_index=plan.domain_index, losses=losses, embeddings=embeddings)
        of_rows = self.weighter.row_weights(self.state, self.step, measured)
        if of_rows is None and self.loss_weights is None:
            return None
        weights = np.ones(len(plan.rows)) if of_rows is None else of_rows
        if self.loss_weights is not None:
            weights = weights * self.loss_weights[plan.domain_index]
        total = weights.sum()
        if not (np.isfinite(weights).all() and (weights >= 0).all() and total > 0):
            raise ValueError(
                f"step {self.step}: the weights of the rows in the loss must be finite, not "
                f"negative and not all zero, got {weights.tolist()}"
            )
        return np.asarray(weights * (len(weights) / total))
