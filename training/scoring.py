"""Scores a model on held-out rows: loss, perplexity and bits per byte of each domain.

    loss           = mean over rows of (nats of a row / T)                       nats per token
    standard error = standard deviation of the rows' losses / sqrt(rows)
    perplexity     = exp(loss)
    bits per byte  = loss * tokens / bytes / ln 2

tokens / bytes is the ratio of the whole held-out set, end-of-sequence tokens included; so bits per
byte compares models with different tokenizers, perplexity does not. The last tokens of a shard that
fill no row are not scored. The standard error treats rows as independent; rows of one long document
are not quite, so it is a lower bound.

Shapes: D domains, R rows, T context tokens.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.arrays import Floats, Ints
from training.model import row_losses, split_rows
from training.shards import StoredTokens, TokenShards


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanLoss:
    """Mean over rows."""

    loss_nats: float
    """Nats per token."""
    standard_error: float | None
    """Of loss_nats, nats per token; None with a single row."""
    rows: int
    """Rows behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainScore:
    """What a model reached on the held-out text of one domain."""

    loss_nats: float
    """Nats per token."""
    loss_standard_error: float | None
    """Of loss_nats; None with a single row."""
    perplexity: float
    """exp(loss_nats)."""
    bits_per_byte: float
    """Bits per UTF-8 byte of text."""
    bits_per_byte_standard_error: float | None
    """Of bits_per_byte; None with a single row."""
    num_tokens: int
    """Labels that were scored, R * T."""
    num_rows: int
    """R."""


def spread_rows(num_rows: int, wanted: int | None) -> Ints:
    """Choose `wanted` of `num_rows` rows, evenly spread; all of them if None or not enough.

    The choice depends on nothing else, so every run and every evaluation reads the same rows.
    """
    chosen = num_rows if wanted is None else min(wanted, num_rows)
    return np.arange(chosen, dtype=np.int64) * num_rows // chosen


def to_device(rows: StoredTokens, device: torch.device) -> Tensor:
    """Return tokens as int64 on a device; they travel as int32."""
    return torch.from_numpy(rows.astype(np.int32)).to(device, non_blocking=True).long()


def losses_of_rows(
    model: PreTrainedModel, batches: Iterable[StoredTokens], *, device: torch.device
) -> Floats:
    """Return the loss of each row, shape (R,), nats per token.

    Args:
        model: On the device; its mode (train or eval) is restored.
        batches: Tokens, each of shape (rows of the batch, T + 1).
        device: Of the model.
    """
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            losses = [
                row_losses(model, part).double().cpu().numpy() / (rows.shape[1] - 1)
                for rows in batches
                for part in split_rows(to_device(rows, device), model.config.vocab_size)
            ]
    finally:
        model.train(training)
    return np.concatenate(losses)


def mean_loss(losses: Floats) -> MeanLoss:
    """Average the losses of rows, shape (R,), R >= 1."""
    error = float(losses.std(ddof=1) / math.sqrt(len(losses))) if len(losses) > 1 else None
    return MeanLoss(loss_nats=float(losses.mean()), standard_error=error, rows=len(losses))


def evaluate_domains(
    losses_of: Callable[[StoredTokens], Floats], rows: Sequence[StoredTokens]
) -> list[MeanLoss]:
    """Average the loss on the cached rows of each domain.

    Args:
        losses_of: Rows, shape (R, T + 1), to their losses, shape (R,), nats per token.
        rows: For each domain its rows. They are scored together.
    """
    losses = losses_of(np.concatenate(list(rows)))
    ends = np.cumsum([len(entry) for entry in rows])[:-1]
    return [mean_loss(part) for part in np.split(losses, ends)]


def score_domains(
    model: PreTrainedModel,
    domains: Mapping[str, Path],
    *,
    context_tokens: int,
    rows: int | None = None,
    batch_rows: int = 32,
    device: torch.device | None = None,
) -> dict[str, DomainScore]:
    """Score a model on the held-out text of each domain.

    Args:
        model: A causal language model; it is moved to the device.
        domains: Domain -> its folder of held-out token shards.
        context_tokens: T, at most what the model can take.
        rows: Rows of each domain, evenly spread; None: all.
        batch_rows: Rows of one forward pass; bounds the memory.
        device: None: where the model is.

    Raises:
        ValueError: A folder is no token shards, or has not one row.
    """
    where = device if device is not None else next(model.parameters()).device
    model.to(where)
    scores = {}
    for domain, folder in domains.items():
        shards = TokenShards.open(folder)
        indices = spread_rows(shards.num_rows(context_tokens), rows)
        batches = (
            shards.rows(indices[start : start + batch_rows], context_tokens)
            for start in range(0, len(indices), batch_rows)
        )
        mean = mean_loss(losses_of_rows(model, batches, device=where))
        scores[domain] = _domain_score(mean, shards, context_tokens)
    return scores


def _domain_score(mean: MeanLoss, shards: TokenShards, context_tokens: int) -> DomainScore:
    bits_per_nat = shards.manifest.num_tokens / shards.manifest.num_bytes / math.log(2)
    error = mean.standard_error
    return DomainScore(
        loss_nats=mean.loss_nats,
        loss_standard_error=error,
        perplexity=math.exp(mean.loss_nats),
        bits_per_byte=mean.loss_nats * bits_per_nat,
        bits_per_byte_standard_error=None if error is None else error * bits_per_nat,
        num_tokens=mean.rows * context_tokens,
        num_rows=mean.rows,
    )
