"""One optimiser step, and what was measured in it.

    loss = sum over rows of nats / (B * T);  the same forward pass gives the sums per domain

Shapes: D domains, B rows of a batch, T context tokens.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import optim

from training.arrays import Floats, Ints
from training.engine import Engine
from training.optimisation import set_learning_rate
from training.sampler import BatchPlan
from training.shards import StoredTokens

_SHOWN_ROWS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class StepMeasures:
    """What one step measured."""

    plan: BatchPlan
    """The batch."""
    loss: float
    """Mean training loss, nats per token."""
    loss_sums: Floats
    """Sum of the loss of each domain, shape (D,), nats; 0 where absent."""
    token_counts: Ints
    """Tokens behind those sums, shape (D,)."""
    grad_norm: float
    """Norm of the gradient before clipping."""
    rate: float
    """Learning rate."""

    taken: bool
    """Whether the step was taken: loss and gradient norm are finite, the norm within its limit."""


def train_step(
    engine: Engine,
    optimiser: optim.Optimizer,
    rows: StoredTokens,
    plan: BatchPlan,
    *,
    rate: float,
    clip_norm: float | None,
    max_grad_norm: float | None = None,
) -> StepMeasures:
    """Take one step, unless the loss or the gradient is not finite or the gradient is too long.

    The measures are those of the whole batch, the same on every rank.

    Args:
        engine: The model.
        optimiser: Over its parameters.
        rows: Tokens of this rank's share of the slots, shape (share of B, T + 1), in their order.
        plan: The whole batch.
        rate: Learning rate.
        clip_norm: Largest gradient norm; None: only measured.
        max_grad_norm: Norm before clipping beyond which no step is taken; None: any finite one.
    """
    batch_rows, num_tokens = len(plan.rows), rows.shape[1] - 1
    optimiser.zero_grad(set_to_none=True)
    losses = engine.accumulate(rows, batch_rows=batch_rows)
    norm = engine.clip_gradients(clip_norm)
    # The only wait for the device in a step: losses and norm come over together.
    host = torch.cat([losses, norm.reshape(1)]).double().cpu().numpy()
    all_losses: Floats = np.zeros(batch_rows)
    all_losses[engine.ranks.share(batch_rows)] = host[:-1]
    all_losses = engine.ranks.total(all_losses)
    loss_sums: Floats = np.zeros(len(plan.counts))
    np.add.at(loss_sums, plan.domain_index, all_losses)
    loss, grad_norm = float(all_losses.sum() / (batch_rows * num_tokens)), float(host[-1])
    limit = math.inf if max_grad_norm is None else max_grad_norm
    measures = StepMeasures(
        plan=plan,
        loss=loss,
        loss_sums=loss_sums,
        token_counts=plan.counts * num_tokens,
        grad_norm=grad_norm,
        rate=rate,
        taken=math.isfinite(loss) and math.isfinite(grad_norm) and grad_norm <= limit,
    )
    if measures.taken:
        set_learning_rate(optimiser, rate)
        optimiser.step()
    return measures


def describe_batch(domains: tuple[str, ...], plan: BatchPlan) -> str:
    """Name the rows of a batch by domain, for a message."""
    parts = []
    for index in np.unique(plan.domain_index).tolist():
        rows = plan.rows[plan.domain_index == index].tolist()
        more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
        shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
        parts.append(f"{domains[index]} rows {shown}{more}")
    return "; ".join(parts)
