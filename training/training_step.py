"""One optimiser step, and what was measured in it.

    loss = sum over rows of w * nats / (B * T);  the same forward pass gives the sums per domain

The weights w of the rows (training.row_weighing) are 1 unless a mixer or a weighter says otherwise.
A weighter that reads losses or embeddings gets those of this very forward pass if the batch is one
part; a batch in several parts is run once more, without gradients, before the first.

Shapes: D domains, B rows of a batch, T context tokens.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, optim
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from training.arrays import Floats, Ints
from training.model import row_losses, split_rows, token_losses
from training.optimisation import set_learning_rate
from training.policies import GradientAlignments
from training.row_features import embed_rows, pool_hidden
from training.row_weighing import RowWeighing
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
    """Mean training loss, nats per token; rows are not weighted."""
    row_losses: Floats
    """Of each row, shape (B,), nats per token, not weighted."""
    row_weights: Floats | None
    """Weight of each row in the objective, shape (B,), of mean 1; None: all alike."""
    excess_sums: Floats | None
    """Sum over the tokens of each domain of max(loss - reference loss, 0), shape (D,), nats; None
    without a reference."""
    alignments: GradientAlignments | None
    """Of the batch before the step; None unless asked for."""
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
    weighing: RowWeighing,
    reference: PreTrainedModel | None = None,
    alignments: GradientAlignments | None = None,
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
        weighing: What each row counts.
        reference: Model whose losses the excess is measured against, in evaluation mode; None: no
            excess.
        alignments: Measured before the step; passed on.

    Raises:
        ValueError: The weights of the rows are no weights.
    """
    num_tokens = rows.shape[1] - 1
    optimiser.zero_grad(set_to_none=True)
    parts = split_rows(to_device(rows, device), model.config.vocab_size)
    weights = None
    if not weighing.reads or len(parts) > 1:
        weights = weighing.weights(plan, **_measured_before(model, parts, weighing))
    losses, excesses = [], []
    for start, part in zip(_starts(parts), parts, strict=True):
        whole = weighing.reads if len(parts) == 1 else frozenset()
        of_tokens, hidden = token_losses(model, part, with_hidden="embeddings" in whole)
        part_losses = of_tokens.sum(dim=1)
        if whole:
            weights = weighing.weights(
                plan,
                losses=part_losses.detach().double().cpu().numpy() / num_tokens,
                embeddings=None if hidden is None else _embeddings(hidden),
            )
        torch.autograd.backward(_objective(part_losses, weights, start, len(rows) * num_tokens))
        losses.append(part_losses.detach())
        if reference is not None:
            excesses.append(_excess(of_tokens.detach(), reference, part))
    norm = clip_grad_norm_(model.parameters(), math.inf if clip_norm is None else clip_norm)
    # The only wait for the device in a step: losses and norm come over together.
    host = torch.cat([*losses, *excesses, norm.detach().reshape(1)]).double().cpu().numpy()
    nats = host[: len(rows)]
    measures = StepMeasures(
        plan=plan,
        loss=float(nats.sum() / (len(rows) * num_tokens)),
        row_losses=nats / num_tokens,
        row_weights=weights,
        excess_sums=None if reference is None else _by_domain(host[len(rows) : -1], plan),
        alignments=alignments,
        loss_sums=_by_domain(nats, plan),
        token_counts=plan.counts * num_tokens,
        grad_norm=float(host[-1]),
        rate=rate,
    )
    if measures.finite:
        set_learning_rate(optimiser, rate)
        optimiser.step()
    return measures


def _starts(parts: tuple[Tensor, ...]) -> list[int]:
    """First row of each part."""
    return [0, *np.cumsum([len(part) for part in parts[:-1]]).tolist()]


def _objective(losses: Tensor, weights: Floats | None, start: int, num_labels: int) -> Tensor:
    """Share of a part of the batch in the loss that is minimised."""
    if weights is None:
        return losses.sum() / num_labels
    part = torch.from_numpy(weights[start : start + len(losses)])
    return (part.to(losses.device, losses.dtype) * losses).sum() / num_labels


def _measured_before(
    model: PreTrainedModel, parts: tuple[Tensor, ...], weighing: RowWeighing
) -> dict[str, Floats]:
    """What the weighter reads, from passes of their own."""
    measured: dict[str, Floats] = {}
    if "losses" in weighing.reads:
        with torch.no_grad():
            nats = torch.cat([row_losses(model, part) for part in parts])
        measured["losses"] = nats.double().cpu().numpy() / (parts[0].shape[1] - 1)
    if "embeddings" in weighing.reads:
        measured["embeddings"] = np.concatenate([embed_rows(model, part) for part in parts])
    return measured


def _embeddings(hidden: Tensor) -> Floats:
    return np.asarray(pool_hidden(hidden.detach()).double().cpu().numpy())


def _excess(of_tokens: Tensor, reference: PreTrainedModel, rows: Tensor) -> Tensor:
    """Loss beyond the reference's, clipped at 0 token by token, shape (B,), nats."""
    with torch.no_grad():
        known, _ = token_losses(reference, rows)
    return (of_tokens - known).clamp(min=0).sum(dim=1)


def _by_domain(of_rows: Floats, plan: BatchPlan) -> Floats:
    """Sum values of rows, shape (B,), over each domain, shape (D,)."""
    sums: Floats = np.zeros(len(plan.counts))
    np.add.at(sums, plan.domain_index, of_rows)
    return sums


def describe_batch(domains: tuple[str, ...], plan: BatchPlan) -> str:
    """Name the rows of a batch by domain, for a message."""
    parts = []
    for index in np.unique(plan.domain_index).tolist():
        rows = plan.rows[plan.domain_index == index].tolist()
        more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
        shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
        parts.append(f"{domains[index]} rows {shown}{more}")
    return "; ".join(parts)
