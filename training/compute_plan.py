"""What a budget buys: size, tokens and expected loss, and what it costs to be off the optimum.

    minimise L(N, D)   subject to   6 N D + 2 N T = C          T: tokens of later inference

With T = 0 that is Chinchilla's compute-optimal point; a model that will answer many tokens should
be smaller and trained longer (Sardana et al. 2024, "Beyond Chinchilla-Optimal", arXiv:2401.00448;
they fix the loss and minimise C, which is the same trade-off read from the other side). Where the
unique tokens are known the loss is the data-constrained one, and a plan whose tokens exceed them
times the most epochs is refused, with the largest budget that is not.

The interval of N and D comes from the optimum of each refit, that of the loss from what each refit
says of the planned point. Neither covers a law that stops to hold beyond its largest run: the plan
says how far that is. Shapes: P points of the curve, R refits.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from training.compute_budget import Spending
from training.law_evidence import Interval
from training.scaling_laws.chinchilla import FLOPS_PER_PARAMETER_TOKEN, ChinchillaLaw
from training.scaling_laws.data_constrained import data_constrained_loss
from training.scaling_laws.scaling_evidence import refit_interval
from training.scaling_laws.scaling_record import ScalingRecord

INFERENCE_FLOPS = 2.0
CURVE_POINTS = 41
CURVE_SPAN = 16.0
MAX_REFITS = 200
MIN_REFITS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class DataLimits:
    """Tokens there are."""

    available_tokens: Mapping[str, float]
    """Unique tokens of each domain, >= 0, not all 0."""
    max_epochs: float = 4.0
    """Most epochs over all of them, and over each under the weights."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range.

        Raises:
            ValueError: There are no tokens, or a number is negative or not finite.
        """
        numbers = list(self.available_tokens.values())
        if not all(math.isfinite(one) and one >= 0 for one in numbers) or not sum(numbers) > 0:
            raise ValueError(
                f"available tokens must be >= 0, not all 0, got {dict(self.available_tokens)}"
            )
        if not (math.isfinite(self.max_epochs) and self.max_epochs > 0):
            raise ValueError(f"max_epochs must be positive and finite, got {self.max_epochs}")

    @property
    def unique_tokens(self) -> float:
        """Of all domains."""
        return float(sum(self.available_tokens.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class IsoflopPoint:
    """One size at the budget of the plan."""

    params: float
    """N."""
    tokens: float
    """D that the budget leaves for it."""
    loss: Interval
    """Expected, nats per token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputePlan:
    """What is to be trained, and what is expected of it."""

    params: Interval
    """N; the bounds are those of the optimum, not of the chosen size."""
    tokens: Interval
    """D, likewise."""
    flops: float
    """6 N D of the training."""
    inference_flops: float
    """2 N T of later inference; 0: none was asked for."""
    loss: Interval
    """Expected at the planned point, nats per token, on the mixture of the scaling runs."""
    best_params: float
    """Size with the lowest loss at this budget."""
    penalty_nats: Interval
    """Loss of the planned point above that of the best."""
    wasted_share: float
    """Share of the budget that an optimal plan with the same loss would save, in [0, 1)."""
    curve: tuple[IsoflopPoint, ...]
    """IsoFLOP curve, from small to large."""
    beyond_runs: float | None
    """Training FLOPs over those of the largest run behind the law. None: unknown."""

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)


def plan_compute(
    record: ScalingRecord,
    spending: Spending,
    *,
    params: float | None = None,
    inference_tokens: float = 0.0,
    data: DataLimits | None = None,
) -> ComputePlan:
    """Choose N and D.

    Args:
        record: Scaling law with its refits.
        spending: FLOPs, or training tokens of the planned model.
        params: Size to plan for. None: the best.
        inference_tokens: T, >= 0; only with a budget in FLOPs.
        data: Tokens there are. None: as many as wanted, all fresh.

    Raises:
        ValueError: A number is out of range, inference eats the budget, or the tokens exceed what
            there is: the message names the largest feasible budget.
    """
    _require_request(spending, params, inference_tokens)
    if len(record.refits) < MIN_REFITS:
        raise ValueError(
            f"the scaling law holds {len(record.refits)} refits, intervals need {MIN_REFITS}: fit "
            "it with `mixwright fit-scaling`"
        )
    loss = _loss_function(data)
    if spending.tokens is None:
        assert spending.flops is not None
        flops, chosen = spending.flops, params
    else:
        chosen = record.law.params_optimal_for(spending.tokens) if params is None else params
        flops = FLOPS_PER_PARAMETER_TOKEN * chosen * spending.tokens
    tokens_of = _tokens_of(flops, inference_tokens)
    best = _best_size(record.law, loss, tokens_of, flops)
    chosen = best if chosen is None else chosen
    tokens = tokens_of(chosen)
    if tokens <= 0:
        raise ValueError(
            f"inference of {inference_tokens:g} tokens by {chosen:g} parameters takes the whole "
            f"budget of {flops:g} FLOPs: plan a smaller model"
        )
    if tokens < 1 or chosen < 1:
        raise ValueError(
            f"a budget of {flops:g} FLOPs is spent on {chosen:.3g} parameters and {tokens:.3g} "
            "tokens: that is no model; raise the budget"
        )
    if data is not None:
        _require_data(record.law, tokens, data)
    return _plan(
        record, loss, tokens_of, chosen=chosen, best=best, flops=flops, inference=inference_tokens
    )


Loss = Callable[[ChinchillaLaw, float, float], float]
"""(law, N, D) -> nats per token."""


def _require_request(spending: Spending, params: float | None, inference: float) -> None:
    if (spending.flops is None) == (spending.tokens is None):
        raise ValueError(f"a budget is either FLOPs or tokens, got {spending}")
    if params is not None and not (math.isfinite(params) and params > 0):
        raise ValueError(f"params must be positive and finite, got {params}")
    if not (math.isfinite(inference) and inference >= 0):
        raise ValueError(f"inference_tokens must be >= 0 and finite, got {inference}")
    if inference > 0 and spending.tokens is not None:
        raise ValueError(
            "inference needs a budget in FLOPs: give --flops, or the size of the model whose "
            "tokens per second were measured"
        )


def _loss_function(data: DataLimits | None) -> Loss:
    if data is None:
        return lambda law, params, tokens: float(law.predict(params, tokens))
    unique = data.unique_tokens
    return lambda law, params, tokens: data_constrained_loss(
        law, params=params, tokens=tokens, unique_tokens=unique
    )


def _tokens_of(flops: float, inference: float) -> Callable[[float], float]:
    """Training tokens that the budget leaves for a size."""
    return lambda params: (flops / params - INFERENCE_FLOPS * inference) / FLOPS_PER_PARAMETER_TOKEN


def _best_size(
    law: ChinchillaLaw, loss: Loss, tokens_of: Callable[[float], float], flops: float
) -> float:
    """Size with the lowest loss: a grid over nine decades, refined in the best cell."""
    centre = math.log(law.optimal_allocation(flops).params)

    def at(log_params: float) -> float:
        params = math.exp(log_params)
        tokens = tokens_of(params)
        return loss(law, params, tokens) if tokens > 1 else math.inf

    grid = centre + np.linspace(-math.log(1e6), math.log(1e3), 97)
    values = [at(float(one)) for one in grid]
    cell = int(np.argmin(values))
    low, high = grid[max(0, cell - 1)], grid[min(len(grid) - 1, cell + 1)]
    found = minimize_scalar(at, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    return math.exp(float(found.x))


def _require_data(law: ChinchillaLaw, tokens: float, data: DataLimits) -> None:
    most = data.max_epochs * data.unique_tokens
    if tokens > most * (1 + 1e-9):
        flops = FLOPS_PER_PARAMETER_TOKEN * law.params_optimal_for(most) * most
        raise ValueError(
            f"the plan needs {tokens:.4g} tokens, and {data.unique_tokens:.4g} unique tokens at "
            f"most {data.max_epochs:g} times are {most:.4g}: the largest feasible budget is "
            f"{most:.6g} tokens, {flops:.4g} FLOPs at the optimum; lower the budget, allow more "
            "epochs, add data or plan a larger model"
        )


def _plan(
    record: ScalingRecord,
    loss: Loss,
    tokens_of: Callable[[float], float],
    *,
    chosen: float,
    best: float,
    flops: float,
    inference: float,
) -> ComputePlan:
    law, refits = record.law, record.refits[:MAX_REFITS]
    tokens = tokens_of(chosen)

    def interval(of: Callable[[ChinchillaLaw], float]) -> Interval:
        return refit_interval(of(law), [of(refit) for refit in refits], level=record.level)

    bests = [_best_size(refit, loss, tokens_of, flops) for refit in refits]
    sizes = refit_interval(best, bests, level=record.level)
    penalty = [
        loss(one, chosen, tokens) - loss(one, size, tokens_of(size))
        for one, size in zip((law, *refits), (best, *bests), strict=True)
    ]
    grid = np.geomspace(best / CURVE_SPAN, best * CURVE_SPAN, CURVE_POINTS)
    curve = tuple(
        IsoflopPoint(
            params=float(size),
            tokens=tokens_of(float(size)),
            loss=interval(functools.partial(_loss_at, loss, tokens_of, float(size))),
        )
        for size in grid
        if tokens_of(float(size)) > 1
    )
    largest = record.largest_flops
    spent = FLOPS_PER_PARAMETER_TOKEN * chosen * tokens
    return ComputePlan(
        params=Interval(value=chosen, low=sizes.low, high=sizes.high),
        tokens=Interval(value=tokens, low=tokens_of(sizes.high), high=tokens_of(sizes.low)),
        flops=spent,
        inference_flops=INFERENCE_FLOPS * chosen * inference,
        loss=interval(lambda one: loss(one, chosen, tokens)),
        best_params=best,
        penalty_nats=refit_interval(penalty[0], penalty[1:], level=record.level),
        wasted_share=_wasted(law, loss, flops=flops, inference=inference, reached=penalty[0]),
        curve=curve,
        beyond_runs=None if largest is None else spent / largest,
    )


def _loss_at(
    loss: Loss, tokens_of: Callable[[float], float], params: float, law: ChinchillaLaw
) -> float:
    return loss(law, params, tokens_of(params))


def _wasted(
    law: ChinchillaLaw, loss: Loss, *, flops: float, inference: float, reached: float
) -> float:
    """Share of the budget above the least whose best plan is as good; `reached` is a penalty."""
    if reached <= 1e-12:
        return 0.0

    def lowest(budget: float) -> float:
        tokens_of = _tokens_of(budget, inference)
        size = _best_size(law, loss, tokens_of, budget)
        return loss(law, size, tokens_of(size))

    target = lowest(flops) + reached
    small = flops
    while lowest(small) < target and small > 1e-12 * flops:
        small /= 4
    found = brentq(lambda log: lowest(math.exp(log)) - target, math.log(small), math.log(flops))
    return 1 - math.exp(float(found)) / flops
