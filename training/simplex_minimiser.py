"""Minimise a smooth convex function over a box on the simplex, with a certificate.

    minimise f(p)   subject to   low <= p <= high,  sum(p) = 1

Method: primal barrier. For a falling sequence of mu, Newton steps with the equality constraint on

    f(p) - mu * sum(log(p - low) + log(high - p))

(Boyd and Vandenberghe 2004, "Convex Optimization", chapter 11). The certificate is the
Frank-Wolfe gap: by convexity f(p) - min f <= max over feasible s of grad f(p) . (p - s), and that
maximum is found exactly by filling the cheapest coordinates first. Coordinates whose box is a
point are taken out beforehand. Shapes: D coordinates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats

BARRIER_START = 1e-1
BARRIER_END = 1e-11
BARRIER_FACTOR = 0.15
NEWTON_STEPS = 60


class MinimiserError(RuntimeError):
    """The certificate stayed above the tolerance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvexFunction:
    """A smooth convex function of p, shape (D,)."""

    value: Callable[[Floats], float]
    """f."""
    gradient: Callable[[Floats], Floats]
    """Its first derivative, shape (D,)."""
    hessian: Callable[[Floats], Floats]
    """Its second derivative, shape (D, D)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Minimum:
    """A point and what is known of it."""

    point: Floats
    """p, shape (D,)."""
    gap: float
    """f(p) exceeds the minimum by no more than this."""


def minimise_on_simplex(
    function: ConvexFunction, low: Floats, high: Floats, *, tolerance: float = 1e-7
) -> Minimum:
    """Find the minimum.

    Args:
        function: Defined wherever low < p < high.
        low: Lower bounds, shape (D,), >= 0, sum <= 1.
        high: Upper bounds, shape (D,), low <= high <= 1, sum >= 1.
        tolerance: Largest accepted gap.

    Raises:
        ValueError: No point satisfies the bounds.
        MinimiserError: The gap exceeds the tolerance.
    """
    if (low < 0).any() or (high < low).any() or low.sum() > 1 + 1e-9 or high.sum() < 1 - 1e-9:
        raise ValueError(f"no mixture lies between {low.tolist()} and {high.tolist()}")
    free = high - low > 1e-12
    mass = 1 - low.sum()
    room = (high - low).sum()
    point = low + (high - low) * (min(1.0, mass / room) if room > 0 else 0.0)
    if room > 0 and 1e-9 < mass < room - 1e-9:
        mu = BARRIER_START
        while mu >= BARRIER_END:
            point = _centre(function, low, high, free=free, point=point, mu=mu)
            mu *= BARRIER_FACTOR
    gap = _gap(function.gradient(point), point, low, high)
    if not gap <= tolerance:
        raise MinimiserError(f"gap {gap:g} above {tolerance:g} at {point.tolist()}")
    return Minimum(point=point, gap=gap)


def _centre(
    function: ConvexFunction,
    low: Floats,
    high: Floats,
    *,
    free: Floats | np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    point: Floats,
    mu: float,
) -> Floats:
    """Newton's method for one mu, from a point strictly inside the free coordinates' boxes."""
    index = np.flatnonzero(free)
    size = len(index)

    def barrier(p: Floats) -> float:
        inside = np.log(p[index] - low[index]) + np.log(high[index] - p[index])
        return function.value(p) - mu * float(inside.sum())

    for _ in range(NEWTON_STEPS):
        below, above = point[index] - low[index], high[index] - point[index]
        gradient = function.gradient(point)[index] - mu / below + mu / above
        system = np.zeros((size + 1, size + 1))
        system[:size, :size] = function.hessian(point)[np.ix_(index, index)]
        system[:size, :size] += np.diag(mu / below**2 + mu / above**2)
        system[size, :size] = system[:size, size] = 1.0
        # Scaled by the distance to the bounds, or the system is singular beside one.
        scale = np.append(np.minimum(below, above), 1.0)
        right = np.append(-gradient, 0.0) * scale
        step = np.linalg.solve(system * scale * scale[:, None], right) * scale
        decrement = -float(gradient @ step[:size])
        if decrement <= 1e-3 * mu:
            break
        direction = np.zeros_like(point)
        direction[index] = step[:size]
        moved = _search(barrier, point, direction, low, high, decrement=decrement)
        if moved is None:
            break
        point = moved
    return point


def _search(
    barrier: Callable[[Floats], float],
    point: Floats,
    direction: Floats,
    low: Floats,
    high: Floats,
    *,
    decrement: float,
) -> Floats | None:
    """Go along the direction, stay strictly inside, halve until the barrier falls."""
    down, up = direction < 0, direction > 0
    limits = np.concatenate(
        [(low - point)[down] / direction[down], (high - point)[up] / direction[up], [np.inf]]
    )
    length = min(1.0, 0.99 * float(limits.min()))
    start = barrier(point)
    while length > 1e-14:
        candidate = point + length * direction
        if barrier(candidate) <= start - 0.1 * length * decrement:
            return candidate
        length *= 0.5
    return None


def _gap(gradient: Floats, point: Floats, low: Floats, high: Floats) -> float:
    best = low.copy()
    left = 1 - low.sum()
    for coordinate in np.argsort(gradient, kind="stable"):
        best[coordinate] += min(left, high[coordinate] - low[coordinate])
        left = 1 - best.sum()
        if left <= 0:
            break
    return max(0.0, float(gradient @ (point - best)))
