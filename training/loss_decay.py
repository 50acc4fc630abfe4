"""Loss as a power of training steps, or of model size: one mixture, one evaluation domain.

    L(x) = E + (k / x)^a          x steps, tokens or parameters; E >= 0, a in [0.02, 2]

Source: step and size laws of Ye et al. 2024, "Data Mixing Laws", arXiv:2403.16952: losses of short
or small runs are extended to the wanted length and size before a mixing law is fitted to them.
Deviation: they search all three parameters from many starts. Here E and B = k^a are solved for
(robustly, both not negative) at each exponent of a grid, and the exponent is then refined by
bracketing, so nothing is random. Few checkpoints hardly tell E from a: with `shared` all curves
of one evaluation domain take the same exponent, as their per-domain variant does.
Shapes: C curves, X points of each.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats
from training.robust_fit import huber_loss

EXPONENT_RANGE = (0.02, 2.0)
GRID = np.geomspace(*EXPONENT_RANGE, 41)
HUBER_NATS = 0.05
"""Threshold of the published step law."""
ITERATIONS = 30
"""Reweightings of the linear part."""
SECTIONS = 36
"""Golden sections of the exponent's bracket: to 1e-8 of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossDecay:
    """One fitted curve."""

    limit: float
    """E, nats per token, >= 0."""
    amplitude: float
    """Loss above E at `reference`, nats per token, >= 0."""
    exponent: float
    """a."""
    reference: float
    """Value of x that the amplitude belongs to: k = reference * amplitude^(1 / a)."""

    def predict(self, x: Floats) -> Floats:
        """Loss at x, any shape, > 0."""
        return self.limit + self.amplitude * (x / self.reference) ** -self.exponent


def fit_loss_decays(
    x: Floats, losses: Floats, *, shared: bool = False, huber: float = HUBER_NATS
) -> list[LossDecay]:
    """Fit one curve per row of losses.

    Args:
        x: Steps, tokens or parameters, shape (X,), > 0.
        losses: Shape (C, X), nats per token, > 0; NaN where a curve has no point.
        shared: All curves take one exponent.
        huber: Threshold of the Huber loss, nats.

    Raises:
        ValueError: Shapes differ, x or a loss is not positive and finite, or a curve has fewer than
            3 different points (2 where the exponent is shared).
    """
    seen = np.isfinite(losses)
    if x.ndim != 1 or losses.ndim != 2 or losses.shape[1] != len(x):
        raise ValueError(f"losses must have shape (C, {len(x)}), got {losses.shape}")
    if not (np.isfinite(x) & (x > 0)).all() or np.isinf(losses).any() or (losses[seen] <= 0).any():
        raise ValueError(f"x and losses must be positive and finite, got {x} and {losses}")
    fewest = min((len(np.unique(x[row])) for row in seen), default=0)
    needed = 2 if shared else 3
    if fewest < needed:
        raise ValueError(f"a curve needs {needed} different points, got {fewest}")
    reference = float(np.exp(np.log(x).mean()))
    ratio = x / reference

    def solve(exponents: Floats) -> tuple[Floats, Floats]:
        return _linear_part(ratio ** -exponents[:, None], losses, seen, huber)

    def value(exponents: Floats) -> Floats:
        each = solve(exponents)[1]
        return np.full_like(each, each.sum()) if shared else each

    exponents = _best_exponents(value, len(losses))
    coefficients = solve(exponents)[0]
    return [
        LossDecay(limit=float(e), amplitude=float(b), exponent=float(a), reference=reference)
        for (e, b), a in zip(coefficients, exponents, strict=True)
    ]


def _best_exponents(value: Callable[[Floats], Floats], num_curves: int) -> Floats:
    """Minimum of each curve: best of the grid, refined between its neighbours by golden section."""
    on_grid = np.array([value(np.full(num_curves, exponent)) for exponent in GRID])
    best = on_grid.argmin(axis=0)
    left, right = GRID[np.maximum(best - 1, 0)], GRID[np.minimum(best + 1, len(GRID) - 1)]
    ratio = (np.sqrt(5) - 1) / 2
    low, high = right - ratio * (right - left), left + ratio * (right - left)
    at_low, at_high = value(low), value(high)
    for _ in range(SECTIONS):
        falling = at_low < at_high
        left, right = np.where(falling, left, low), np.where(falling, high, right)
        fresh = np.where(falling, right - ratio * (right - left), left + ratio * (right - left))
        at_fresh = value(fresh)
        low, high = np.where(falling, fresh, high), np.where(falling, low, fresh)
        at_low, at_high = np.where(falling, at_fresh, at_high), np.where(falling, at_low, at_fresh)
    middle = (left + right) / 2
    return np.where(value(middle) <= on_grid.min(axis=0), middle, GRID[best])


def _linear_part(
    curves: Floats, losses: Floats, seen: NDArray[np.bool_], huber: float
) -> tuple[Floats, Floats]:
    """E and B of L = E + B curve, both >= 0, shape (C, 2), and the Huber loss, shape (C,)."""
    curves, y = np.broadcast_to(curves, losses.shape), np.where(seen, losses, 0.0)
    weights = seen.astype(np.float64)
    for _ in range(ITERATIONS):
        total = weights.sum(axis=1)
        mean_curve, mean_loss = ((weights * v).sum(axis=1) / total for v in (curves, y))
        spread = (weights * (curves - mean_curve[:, None]) ** 2).sum(axis=1)
        product = (weights * (curves - mean_curve[:, None]) * (y - mean_loss[:, None])).sum(axis=1)
        slope = np.maximum(product / np.maximum(spread, 1e-300), 0.0)
        level = mean_loss - slope * mean_curve
        through_zero = (weights * curves * y).sum(axis=1) / (weights * curves**2).sum(axis=1)
        slope = np.where(level < 0, through_zero, slope)
        level = np.maximum(level, 0.0)
        residuals = np.where(seen, level[:, None] + slope[:, None] * curves - y, 0.0)
        fresh = seen * np.minimum(1.0, huber / np.maximum(np.abs(residuals), 1e-300))
        if np.allclose(fresh, weights, rtol=0, atol=1e-12):
            break
        weights = fresh
    return np.column_stack([level, slope]), huber_loss(residuals, huber).sum(axis=1)
