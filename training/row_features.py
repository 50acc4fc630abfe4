"""What a model makes of a row besides its loss: an embedding, or a projected gradient.

    embedding  = sum_t (t + 1) h_t / sum_t (t + 1)           h_t: what the output layer reads, t < T
    projection = R g    R[m, p] = +-1 if parameter p has the bucket m, else 0    shape (M, P)

Later positions have seen more of the row, so they count more. The projection is a count sketch
(Charikar et al. 2002; Weinberger et al. 2009, "Feature Hashing", arXiv:0902.2206): its inner
products are those of the gradients on average, and it costs one addition per parameter where a
dense random matrix costs M.

    adam(g) = m' / (sqrt(v') + eps)    m' = b1 m + (1 - b1) g    v' = b2 v + (1 - b2) g^2

is the direction in which Adam would move for g, after its moments m, v so far, as in LESS (Xia et
al. 2024, arXiv:2402.04333), without the bias correction, as there. Before the first step m = v = 0.

Shapes: B rows, T context tokens, H width, P parameters, M projected size.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn, optim
from transformers import PreTrainedModel

from training.arrays import Floats
from training.divided_gradients import ParameterSlices
from training.model import row_losses, split_rows, token_losses
from training.ranks import ALONE, Ranks


def pool_hidden(hidden: Tensor) -> Tensor:
    """Average hidden states, shape (B, T, H), into embeddings, shape (B, H), float32."""
    positions = torch.arange(1, hidden.shape[1] + 1, device=hidden.device, dtype=torch.float32)
    return torch.einsum("bth,t->bh", hidden.float(), positions / positions.sum())


def embed_rows(model: PreTrainedModel, rows: Tensor) -> Floats:
    """Return the embeddings of rows, shape (B, H), without a trace of it in the model.

    Args:
        model: Its mode (train or eval) is restored.
        rows: Tokens, int64, shape (B, T + 1), on the device of the model.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            parts = []
            for part in split_rows(rows, model.config.vocab_size):
                _, hidden = token_losses(model, part, with_hidden=True)
                assert hidden is not None
                parts.append(pool_hidden(hidden).double().cpu().numpy())
    finally:
        model.train(training)
    return np.concatenate(parts)


class GradientSketch:
    """Projects gradients of one model to M numbers."""

    def __init__(self, model: nn.Module, size: int, *, seed: int, ranks: Ranks = ALONE) -> None:
        """Draw bucket and sign of each parameter; the same seed draws the same.

        Args:
            model: Whose trainable parameters, in their order.
            size: M.
            seed: Of the draw.
            ranks: The processes; each projects every gradient.
        """
        self._slices = ParameterSlices(model, ranks=ranks)
        self._parameters = self._slices.parameters
        self._size = size
        count = sum(entry.numel() for entry in self._parameters)
        rng = np.random.default_rng([seed, size])
        device = self._parameters[0].device
        buckets = torch.from_numpy(rng.integers(size, size=count))
        signs = rng.integers(2, size=count, dtype=np.int8) * np.int8(2) - np.int8(1)
        self._buckets = self._slices.choose(buckets).to(device)
        self._signs = self._slices.choose(torch.from_numpy(signs)).to(device)

    def project(self, gradient: Tensor) -> Floats:
        """Project a gradient as gradient() returns it to shape (M,); all processes must call."""
        sketch = torch.zeros(self._size, device=gradient.device)
        sketch.index_add_(0, self._buckets, gradient * self._signs)
        return self._slices.total(sketch.double().cpu().numpy())

    def gradient(self, loss: Tensor) -> Tensor:
        """Return the gradient of a loss, shape (parameters here,); .grad fields stay as they are.

        Where the parameters are divided among processes, each gets its part.
        """
        gradients = self._slices.gradient(loss)
        return torch.cat([entry.detach().float().flatten() for entry in gradients])

    def adam_direction(self, gradient: Tensor, optimiser: optim.Optimizer) -> Tensor:
        """Return what Adam would make of a gradient, shape (parameters,)."""
        group = optimiser.param_groups[0]
        beta1, beta2 = group["betas"]
        first = self._moments(optimiser, "exp_avg", gradient)
        second = self._moments(optimiser, "exp_avg_sq", gradient)
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient.square()
        return torch.div(first, second.sqrt() + group["eps"])

    def _moments(self, optimiser: optim.Optimizer, name: str, like: Tensor) -> Tensor:
        found = [optimiser.state.get(entry, {}).get(name) for entry in self._parameters]
        if all(entry is None for entry in found):
            return torch.zeros_like(like)
        return torch.cat([self._slices.local(entry).float().flatten() for entry in found])


def sketch_rows(
    model: PreTrainedModel, sketch: GradientSketch, rows: Tensor, optimiser: optim.Optimizer
) -> Floats:
    """Project the preconditioned gradient of the mean loss of each row, shape (B, M)."""
    tokens = rows.shape[1] - 1
    return np.stack(
        [
            sketch.project(
                sketch.adam_direction(
                    sketch.gradient(row_losses(model, row[None]).sum() / tokens), optimiser
                )
            )
            for row in rows
        ]
    )


def sketch_means(
    model: PreTrainedModel, sketch: GradientSketch, groups: Iterable[Tensor]
) -> Floats:
    """Project the plain gradient of the mean loss of each group of rows, shape (groups, M)."""
    sketches = []
    for rows in groups:
        labels = rows.shape[0] * (rows.shape[1] - 1)
        parts = split_rows(rows, model.config.vocab_size)
        gradients = [sketch.gradient(row_losses(model, part).sum() / labels) for part in parts]
        sketches.append(sketch.project(torch.stack(gradients).sum(dim=0)))
    return np.stack(sketches)
