"""A budget in FLOPs, GPU-hours, kWh or money, as what a plan can spend.

Hours become FLOPs through a measured throughput. Where the size of the model that was measured is
known, one GPU does 6 M R FLOPs per second (M parameters, R tokens per second) and any size can be
planned. Where it is not, R is taken for the throughput of the planned model itself: the budget is a
number of tokens, D = R * 3600 * hours, and the plan is the size for which D is the optimal length.
"""

import math
from dataclasses import dataclass

from training.energy_factors import EnergyFactors
from training.scaling_laws.chinchilla import FLOPS_PER_PARAMETER_TOKEN


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Measured speed of one GPU."""

    tokens_per_second: float
    """R, training tokens per second and GPU, > 0."""
    params: float | None = None
    """M, parameters of the model that was measured. None: the model that will be trained."""

    def __post_init__(self) -> None:
        """Refuse what is not positive and finite.

        Raises:
            ValueError: It is not.
        """
        _require_positive("tokens_per_second", self.tokens_per_second)
        if self.params is not None:
            _require_positive("measured params", self.params)

    def gpu_hours(self, *, params: float, tokens: float) -> float:
        """Hours of one GPU to train `params` parameters on `tokens` tokens."""
        slower = 1.0 if self.params is None else params / self.params
        return tokens * slower / self.tokens_per_second / 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What a plan may spend: exactly one of the two is set."""

    flops: float | None = None
    """FLOPs of training and, where asked for, inference."""
    tokens: float | None = None
    """Training tokens of whatever model is planned."""


def spend_flops(flops: float) -> Spending:
    """A budget in FLOPs.

    Raises:
        ValueError: It is not positive and finite.
    """
    _require_positive("flops", flops)
    return Spending(flops=flops)


def spend_gpu_hours(gpu_hours: float, throughput: Throughput) -> Spending:
    """A budget in GPU-hours.

    Raises:
        ValueError: It is not positive and finite.
    """
    _require_positive("gpu_hours", gpu_hours)
    tokens = gpu_hours * 3600 * throughput.tokens_per_second
    if throughput.params is None:
        return Spending(tokens=tokens)
    return Spending(flops=tokens * FLOPS_PER_PARAMETER_TOKEN * throughput.params)


def spend_kwh(kwh: float, throughput: Throughput, factors: EnergyFactors) -> Spending:
    """A budget in kWh at the socket of the site.

    Raises:
        ValueError: It is not positive and finite.
    """
    _require_positive("kwh", kwh)
    return spend_gpu_hours(kwh / factors.kwh_per_gpu_hour, throughput)


def spend_money(money: float, throughput: Throughput, factors: EnergyFactors) -> Spending:
    """A budget in the currency of the price per GPU-hour.

    Raises:
        ValueError: It is not positive and finite, or there is no price.
    """
    _require_positive("money", money)
    if factors.price is None:
        raise ValueError("a budget in money needs the price of a GPU-hour")
    return spend_gpu_hours(money / factors.price.value, throughput)


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")
