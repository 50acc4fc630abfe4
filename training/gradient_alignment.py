"""How well the gradients of the domains of a batch agree with a target gradient.

    g_j = gradient of the mean loss of the batch's rows of domain j          nats per token
    v   = sum of the g_j, or the gradient of a weighted mean of held-out losses
    dots_j = <g_j, v> ~ (l_j(theta + e v) - l_j(theta - e v)) / (2 e)        e = STEP_NORM / |v|

A difference along v costs two forward passes and gives every domain at once, where the inner
products themselves would need each gradient again, or all of them kept. Together with the gradients
of the domains, each from its own rows, a measurement costs five thirds of a training step, so one
in fifty steps adds 3.3 %.

A small e drowns in rounding and a large one in curvature. On a model of 400 thousand parameters,
before and after 300 steps, steps of norm 0.003 to 0.01 gave errors of 0.4 % at most, 0.03 gave 3 %
and 0.1 gave 26 %; under bfloat16 none gave less than 7 %. So the passes of a measurement are in
float32 whatever those of the training are. The parameters are put back bit for bit.

On CUDA the factors of products are rounded to 11 bits (TF32), without which a measurement would
take as long as some 15 steps in bfloat16. That rounding, imitated on a CPU for the linear layers of
a model of 270 thousand parameters, gave errors of 0.4 % at most with a step of norm 0.01.

Shapes: D domains, B rows, T context tokens, R held-out rows of a domain.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MethodType

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.arrays import Floats
from training.divided_gradients import ParameterSlices
from training.model import row_losses, split_rows
from training.policies import AlignmentTarget, GradientAlignments
from training.ranks import ALONE, Ranks
from training.sampler import BatchPlan
from training.scoring import to_device
from training.shards import StoredTokens

STEP_NORM = 0.01
"""Norm of the displacement of all parameters together."""

Gradient = list[Tensor]


def measure_alignment(
    model: PreTrainedModel,
    rows: StoredTokens,
    plan: BatchPlan,
    *,
    target: AlignmentTarget,
    heldout_rows: Sequence[StoredTokens],
    device: torch.device,
    ranks: Ranks = ALONE,
) -> GradientAlignments:
    """Compare the gradient of each domain of a batch with a target.

    Args:
        model: On the device; gradient fields and parameters are as before afterwards.
        rows: Tokens, shape (B, T + 1), in the order of the plan's slots.
        plan: Which domain each of them is from.
        target: With what.
        heldout_rows: Of each domain, shape (R, T + 1).
        device: Of the model.
        ranks: The processes; each measures the whole batch.
    """
    of_domain = {
        index: to_device(rows[plan.domain_index == index], device)
        for index in np.flatnonzero(plan.counts).tolist()
    }
    targets = None
    if target.heldout_weights is not None:
        targets = [
            (float(target.heldout_weights[index]), to_device(heldout_rows[index], device))
            for index in np.flatnonzero(target.heldout_weights).tolist()
        ]
    with _in_float32(model, device):
        slices = ParameterSlices(model, ranks=ranks)
        return _compare(model, slices, of_domain, targets, num_domains=len(plan.counts))


@contextmanager
def _in_float32(model: PreTrainedModel, device: torch.device) -> Iterator[None]:
    """Run the class's own forward pass, without the precision that the run set for this model."""
    forward, products = model.forward, torch.get_float32_matmul_precision()
    plain = MethodType(type(model).forward, model)
    model.forward = torch.autocast(device.type, enabled=False)(plain)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        model.forward = forward
        torch.set_float32_matmul_precision(products)


def _compare(
    model: PreTrainedModel,
    slices: ParameterSlices,
    of_domain: dict[int, Tensor],
    targets: list[tuple[float, Tensor]] | None,
    *,
    num_domains: int,
) -> GradientAlignments:
    """Compare the domains' gradients with the weighted targets', or with their own sum."""
    dots, squared_norms = np.full(num_domains, np.nan), np.full(num_domains, np.nan)
    direction: Gradient | None = None
    for index, rows in of_domain.items():
        gradient = _mean_gradient(model, slices, rows)
        squared_norms[index] = _squared_norm(slices, gradient)
        if targets is None:
            direction = _add(direction, gradient, 1.0)
    for weight, rows in targets or []:
        direction = _add(direction, _mean_gradient(model, slices, rows), weight)
    assert direction is not None
    dots[list(of_domain)] = _differences(model, slices, list(of_domain.values()), direction)
    return GradientAlignments(dots=dots, squared_norms=squared_norms)


def _mean_gradient(model: PreTrainedModel, slices: ParameterSlices, rows: Tensor) -> Gradient:
    """Gradient of the mean loss of rows, shape (n, T + 1), one tensor for each parameter."""
    labels = rows.shape[0] * (rows.shape[1] - 1)
    total: Gradient | None = None
    for part in split_rows(rows, model.config.vocab_size):
        loss = row_losses(model, part).sum() / labels
        total = _add(total, slices.gradient(loss), 1.0)
    assert total is not None
    return total


def _add(total: Gradient | None, gradient: Gradient, weight: float) -> Gradient:
    if total is None:
        return [weight * entry for entry in gradient]
    torch._foreach_add_(total, gradient, alpha=weight)
    return total


def _squared_norm(slices: ParameterSlices, gradient: Gradient) -> float:
    own = float(sum(entry.double().square().sum() for entry in gradient))
    return float(slices.total(np.array([own]))[0])


def _differences(
    model: PreTrainedModel, slices: ParameterSlices, groups: list[Tensor], direction: Gradient
) -> Floats:
    """Slope of the mean loss of each group of rows along a direction, shape (groups,)."""
    norm = _squared_norm(slices, direction) ** 0.5
    if norm == 0:
        return np.zeros(len(groups))
    with torch.no_grad():
        parameters = slices.slices()
        before = [entry.clone() for entry in parameters]
        losses = []
        for sign in (1.0, -1.0):
            torch._foreach_add_(parameters, direction, alpha=sign * STEP_NORM / norm)
            losses.append(np.array([_mean_loss(model, rows) for rows in groups]))
            slices.settle()
            torch._foreach_copy_(parameters, before)
    return np.asarray((losses[0] - losses[1]) * norm / (2 * STEP_NORM))


def _mean_loss(model: PreTrainedModel, rows: Tensor) -> float:
    parts = split_rows(rows, model.config.vocab_size)
    nats = torch.cat([row_losses(model, part) for part in parts]).double().sum()
    return float(nats) / (rows.shape[0] * (rows.shape[1] - 1))
