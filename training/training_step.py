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
from transformers import PreTrainedModel

from training.arrays import Floats, Ints
from training.engine import Engine
from training.model import row_losses, token_losses
from training.optimisation import set_learning_rate
from training.policies import GradientAlignments
from training.row_features import embed_rows, pool_hidden
from training.row_weighing import RowWeighing
from training.sampler import BatchPlan
from training.shards import StoredTokens
from training.weighters.weighter import RowSignal

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
    weighing: RowWeighing | None = None,
    reference: PreTrainedModel | None = None,
    alignments: GradientAlignments | None = None,
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
        weighing: What each row counts; None: all alike.
        reference: Model whose losses the excess is measured against, in evaluation mode; None: no
            excess.
        alignments: Measured before the step; passed on.

    Raises:
        ValueError: The weights of the rows are no weights.
    """
    optimiser.zero_grad(set_to_none=True)
    losses, excesses, weights = _accumulate(engine, rows, plan, weighing, reference)
    norm = engine.clip_gradients(clip_norm)
    # The only wait for the device in a step: losses and norm come over together.
    host = torch.cat([*losses, *excesses, norm.reshape(1)]).double().cpu().numpy()
    batch_rows, num_labels = len(plan.rows), len(plan.rows) * (rows.shape[1] - 1)
    nats, *excess = engine.gather(host[:-1].reshape(-1, len(rows)).T, batch_rows).T
    loss, grad_norm = float(nats.sum() / num_labels), float(host[-1])
    limit = math.inf if max_grad_norm is None else max_grad_norm
    measures = StepMeasures(
        plan=plan,
        loss=loss,
        row_losses=nats / (rows.shape[1] - 1),
        row_weights=weights,
        excess_sums=_by_domain(excess[0], plan) if excess else None,
        alignments=alignments,
        loss_sums=_by_domain(nats, plan),
        token_counts=plan.counts * (rows.shape[1] - 1),
        grad_norm=grad_norm,
        rate=rate,
        taken=math.isfinite(loss) and math.isfinite(grad_norm) and grad_norm <= limit,
    )
    if measures.taken:
        set_learning_rate(optimiser, rate)
        optimiser.step()
    return measures


def _accumulate(
    engine: Engine,
    rows: StoredTokens,
    plan: BatchPlan,
    weighing: RowWeighing | None,
    reference: PreTrainedModel | None,
) -> tuple[list[Tensor], list[Tensor], Floats | None]:
    """Add up the gradient; return losses and excesses of this rank's rows, and the weights."""
    batch_rows, num_tokens = len(plan.rows), rows.shape[1] - 1
    num_labels = batch_rows * num_tokens / engine.ranks.size
    parts = engine.parts(rows)
    # What the weighter reads of the one pass there is; else it gets passes of its own.
    reads: frozenset[RowSignal] = frozenset()
    if weighing is not None and engine.one_part(batch_rows):
        reads = weighing.reads
    weights = None
    if weighing is not None and not reads:
        weights = weighing.weights(plan, **_measured_before(engine, parts, batch_rows, weighing))
    losses, excesses = [], []
    start = engine.ranks.share(batch_rows).start
    for part in parts:
        with engine.exchange(last=part is parts[-1]):
            of_tokens, hidden = engine.token_losses(part, with_hidden="embeddings" in reads)
            part_losses = of_tokens.sum(dim=1)
            if weighing is not None and reads:
                measured = part_losses.detach().double().cpu().numpy() / num_tokens
                weights = weighing.weights(
                    plan,
                    losses=engine.gather(measured, batch_rows),
                    embeddings=(
                        None if hidden is None else engine.gather(_embeddings(hidden), batch_rows)
                    ),
                )
            torch.autograd.backward(_objective(part_losses, weights, start, num_labels))
        start += len(part)
        losses.append(part_losses.detach())
        if reference is not None:
            excesses.append(_excess(of_tokens.detach(), reference, part))
    return losses, excesses, weights


def _objective(losses: Tensor, weights: Floats | None, start: int, num_labels: float) -> Tensor:
    """Share of a part of the batch in the loss that is minimised."""
    if weights is None:
        return losses.sum() / num_labels
    part = torch.from_numpy(weights[start : start + len(losses)])
    # Without waiting for the pass: the weights are copied aside before the call returns.
    own = part.to(losses.device, losses.dtype, non_blocking=True)
    return (own * losses).sum() / num_labels


def _measured_before(
    engine: Engine, parts: tuple[Tensor, ...], batch_rows: int, weighing: RowWeighing
) -> dict[str, Floats]:
    """What the weighter reads, from passes of their own."""
    measured: dict[str, Floats] = {}
    if "losses" in weighing.reads:
        with torch.no_grad():
            nats = torch.cat([row_losses(engine.model, part) for part in parts])
        losses = nats.double().cpu().numpy() / (parts[0].shape[1] - 1)
        measured["losses"] = engine.gather(losses, batch_rows)
    if "embeddings" in weighing.reads:
        vectors = np.concatenate([embed_rows(engine.model, part) for part in parts])
        measured["embeddings"] = engine.gather(vectors, batch_rows)
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
