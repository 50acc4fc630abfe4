"""One optimiser step, and what was measured in it.

    loss = sum over rows of nats / (B * T);  the same forward pass gives the sums per domain

Shapes: D domains, B rows of a batch, T context tokens.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import optim
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from training.arrays import Floats, Ints
from training.model import row_losses, split_rows
from training.optimisation import set_learning_rate
from training.sampler import BatchPlan
from training.scoring import to_device
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

    @property
    def finite(self) -> bool:
        """Whether the step was taken: loss and gradient are finite."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def train_step(
    model: PreTrainedModel,
    optimiser: optim.Optimizer,
    rows: StoredTokens,
    plan: BatchPlan,
    *,
    rate: float,
    clip_norm: float | None,
    device: torch.device,
) -> StepMeasures:
    """Take one step, unless the loss or the gradient is not finite.

    Args:
        model: In training mode, on the device.
        optimiser: Over its parameters.
        rows: Tokens, shape (B, T + 1), in the order of the plan's slots.
        plan: Which domain each of them is from.
        rate: Learning rate.
        clip_norm: Largest gradient norm; None: only measured.
        device: Of the model.
    """
    num_tokens = rows.shape[1] - 1
    optimiser.zero_grad(set_to_none=True)
    losses = []
    for part in split_rows(to_device(rows, device), model.config.vocab_size):
        part_losses = row_losses(model, part)
        (part_losses.sum() / (len(rows) * num_tokens)).backward()
        losses.append(part_losses.detach())
    norm = clip_grad_norm_(model.parameters(), math.inf if clip_norm is None else clip_norm)
    # The only wait for the device in a step: losses and norm come over together.
    host = torch.cat([*losses, norm.detach().reshape(1)]).double().cpu().numpy()
    loss_sums: Floats = np.zeros(len(plan.counts))
    np.add.at(loss_sums, plan.domain_index, host[:-1])
    measures = StepMeasures(
        plan=plan,
        loss=float(host[:-1].sum() / (len(rows) * num_tokens)),
        loss_sums=loss_sums,
        token_counts=plan.counts * num_tokens,
        grad_norm=float(host[-1]),
        rate=rate,
    )
    if measures.finite:
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
