"""Chinchilla's parametric scaling law.

    L(N, D) = E + A / N^alpha + B / D^beta          nats per token
    C = 6 N D                                       training FLOPs

    N*(C) = G (C/6)^(beta / (alpha + beta)),  D*(C) = (C/6)^(alpha / (alpha + beta)) / G,
    G = (alpha A / (beta B))^(1 / (alpha + beta))

Source: Hoffmann et al. 2022, arXiv:2203.15556 (approach 3); the fit is checked against the
replication of Besiroglu et al. 2024, arXiv:2404.10102. Constants that circulate for this law are
not one fit: rounded ones predict another optimum than the unrounded. Parameters are strongly
correlated, so compare predictions, not parameters. Shapes: N runs in `Floats` arrays.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveFloat

from training.arrays import Floats

FLOPS_PER_PARAMETER_TOKEN = 6.0
PARAMETERS = ("A", "B", "E", "alpha", "beta")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    A: PositiveFloat
    B: PositiveFloat
    E: float
    alpha: PositiveFloat
    beta: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """Where a budget goes."""

    params: float
    """N, parameters."""
    tokens: float
    """D, training tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChinchillaLaw:
    """Fitted parameters; names as in the paper."""

    A: float
    """Coefficient of the parameters, > 0."""
    B: float
    """Coefficient of the tokens, > 0."""
    E: float
    """Irreducible loss, nats per token, >= 0."""
    alpha: float
    """Exponent of the parameters, > 0."""
    beta: float
    """Exponent of the tokens, > 0."""

    def predict(self, params: Floats | float, tokens: Floats | float) -> Floats:
        """Loss of models of `params` parameters after `tokens` tokens, nats per token."""
        n, d = np.asarray(params, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        loss: Floats = self.E + self.A * n**-self.alpha + self.B * d**-self.beta
        return loss

    @property
    def balance(self) -> float:
        """G: the optimal N is G (C/6)^a."""
        ratio = math.log(self.alpha * self.A) - math.log(self.beta * self.B)
        return math.exp(ratio / (self.alpha + self.beta))

    @property
    def params_exponent(self) -> float:
        """A in N* ~ C^a; that of the tokens is 1 - a."""
        return self.beta / (self.alpha + self.beta)

    def optimal_allocation(self, flops: float) -> Allocation:
        """Lowest loss of a training budget.

        Args:
            flops: C, > 0.

        Raises:
            ValueError: The budget is not positive and finite.
        """
        if not (math.isfinite(flops) and flops > 0):
            raise ValueError(f"flops must be positive and finite, got {flops}")
        units = flops / FLOPS_PER_PARAMETER_TOKEN
        params = self.balance * units**self.params_exponent
        return Allocation(params=params, tokens=units / params)

    def params_optimal_for(self, tokens: float) -> float:
        """Size of the model for which `tokens` (> 0) is the optimal length: (D G)^(beta/alpha) G.

        With it N = N*(6 N D), which is how data-constrained scaling defines enough parameters.
        """
        return float((tokens * self.balance) ** (self.beta / self.alpha) * self.balance)

    def to_json(self) -> dict[str, float]:
        """Keys A, B, E, alpha, beta."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> "ChinchillaLaw":
        """Read what `to_json` wrote.

        Raises:
            ValueError: A field is missing, unknown or out of range.
        """
        record = _Record.model_validate(fields)
        return cls(**record.model_dump())
