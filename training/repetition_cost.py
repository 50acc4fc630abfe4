"""What a mixture loses because it repeats its small domains, as a convex function of the shares.

    cost(p) = B D'(p)^-beta - B D^-beta >= 0,     D'(p) = sum_j worth of p_j D tokens, n_j fresh

D' is concave in p and B x^-beta is convex and falling, so the cost is convex and can stand beside
the laws in a proposal: a smooth price where a limit on epochs is a wall. B and beta come from a
scaling law, the worth of repeats from data-constrained scaling (arXiv:2305.16264). The term for
spare parameters is left out: it depends on the size of the model, and is not convex in p.
Shapes: N mixtures, D domains.
"""

import math
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats
from training.scaling_laws.data_constrained import PUBLISHED_DECAY, effective_amount


@dataclass(frozen=True, kw_only=True, slots=True)
class RepetitionCost:
    """Price of worthless repeats."""

    available_tokens: Floats
    """n, unique tokens of each domain, shape (D,), >= 0."""
    budget_tokens: float
    """D, tokens of the run, > 0."""
    coefficient: float
    """B of the scaling law, > 0."""
    exponent: float
    """beta of the scaling law, > 0."""
    decay: float = PUBLISHED_DECAY.tokens
    """R_D*, > 0."""

    def __post_init__(self) -> None:
        """Refuse numbers that are not positive.

        Raises:
            ValueError: One is not, or tokens are negative.
        """
        numbers = (self.budget_tokens, self.coefficient, self.exponent, self.decay)
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            raise ValueError(f"repetition cost needs positive numbers, got {numbers}")
        tokens = self.available_tokens
        if not (np.isfinite(tokens).all() and (tokens >= 0).all() and tokens.sum() > 0):
            raise ValueError(f"available tokens must be >= 0, not all 0, got {tokens.tolist()}")

    def values(self, weights: Floats) -> Floats:
        """Cost of mixtures (N, D), nats per token, shape (N,)."""
        used = np.maximum(weights, 0.0) * self.budget_tokens
        worth = effective_amount(used, self.available_tokens, decay=self.decay).sum(axis=1)
        fresh = self.coefficient * self.budget_tokens**-self.exponent
        cost: Floats = self.coefficient * worth**-self.exponent - fresh
        return cost

    def gradient(self, weights: Floats) -> Floats:
        """Derivative at one mixture of shape (D,)."""
        worth, first, _ = self._worth(weights)
        slope: Floats = -self.coefficient * self.exponent * worth ** (-self.exponent - 1) * first
        return slope

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture, shape (D, D)."""
        worth, first, second = self._worth(weights)
        scale = self.coefficient * self.exponent
        steep = scale * (self.exponent + 1) * worth ** (-self.exponent - 2)
        bend: Floats = steep * np.outer(first, first)
        bend -= scale * worth ** (-self.exponent - 1) * np.diag(second)
        return bend

    def _worth(self, weights: Floats) -> tuple[float, Floats, Floats]:
        """D' and its first and second derivative by each share."""
        used = weights * self.budget_tokens
        there = np.where(self.available_tokens > 0, self.available_tokens, np.inf)
        worth = float(effective_amount(used, self.available_tokens, decay=self.decay).sum())
        repeats = np.maximum(used / there - 1, 0.0)
        marginal = np.where(self.available_tokens > 0, np.exp(-repeats / self.decay), 0.0)
        bend = np.where(repeats > 0, -marginal / (there * self.decay), 0.0)
        return worth, marginal * self.budget_tokens, bend * self.budget_tokens**2
