"""Minimise a smooth convex function over convex limits on the simplex, with a certificate.

    minimise f(p)   subject to   low <= p <= high,  sum(p) = 1,  g_i(p) <= 0,  H p <= h

Method: primal barrier. For a falling sequence of mu, Newton steps with the equality constraint on

    f(p) - mu * (sum(log(p - low) + log(high - p)) + sum_i log(-g_i(p)) + sum(log(h - H p)))

(Boyd and Vandenberghe 2004, "Convex Optimization", chapter 11). The certificate: for any
multipliers nu >= 0 the Lagrangian f + sum nu_i g_i is convex and below f on the feasible set, so
by its linearisation

    min f >= f(p) + nu . g(p) - max over s in the box of (grad f + nu . grad g)(p) . (p - s)

where a linear programme chooses the nu with the best bound, and the maximum is found exactly by
filling the cheapest coordinates first. Without constraints that is the Frank-Wolfe gap. A start
inside the halfspaces is that of the largest margin (a linear programme). From there a point inside
the constraints is found by minimising a smooth maximum of them; where even that stays above 0 there
is none. Coordinates whose box is a point are taken out beforehand.
Shapes: D coordinates, M constraints, K halfspaces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from training.arrays import Floats, Ints

BARRIER_START = 1e-1
BARRIER_END = 1e-11
BARRIER_FACTOR = 0.15
NEWTON_STEPS = 60
SHARPNESS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Widths of the smooth maximum, in units of the constraints."""


class MinimiserError(RuntimeError):
    """The certificate stayed above the tolerance."""


class InfeasibleError(ValueError):
    """No point of the box satisfies the constraints."""

    def __init__(self, point: Floats, violations: Floats) -> None:
        """Keep the least bad point, shape (D,), and the constraints there, shape (M,)."""
        super().__init__(f"constraints cannot all hold: {violations.tolist()} at best, wanted <= 0")
        self.point = point
        self.violations = violations


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Region:
    """Box, constraints, halfspaces; `index` are the coordinates whose box is no point."""

    low: Floats
    high: Floats
    index: Ints
    constraints: tuple[ConvexFunction, ...]
    normals: Floats
    bounds: Floats

    def values(self, p: Floats) -> Floats:
        """Of the constraints, shape (M,)."""
        return np.array([one.value(p) for one in self.constraints])

    def barrier(self, p: Floats) -> float:
        """-sum of logarithms; infinite outside the constraints."""
        slack = np.append(-self.values(p), self.bounds - self.normals @ p)
        if (slack <= 0).any():
            return float("inf")
        below, above = (p - self.low)[self.index], (self.high - p)[self.index]
        return -float(np.log(below).sum() + np.log(above).sum() + np.log(slack).sum())

    def slopes(self, p: Floats) -> tuple[Floats, Floats]:
        """First and second derivative of the barrier in the free coordinates."""
        below, above = (p - self.low)[self.index], (self.high - p)[self.index]
        gradient = 1 / above - 1 / below
        hessian = np.diag(1 / below**2 + 1 / above**2)
        for one in self.constraints:
            slack = -one.value(p)
            slope = one.gradient(p)[self.index] / slack
            gradient = gradient + slope
            bend = one.hessian(p)[np.ix_(self.index, self.index)]
            hessian = hessian + np.outer(slope, slope) + bend / slack
        scaled = self.normals[:, self.index] / (self.bounds - self.normals @ p)[:, None]
        return gradient + scaled.sum(axis=0), hessian + scaled.T @ scaled


def minimise_on_simplex(
    function: ConvexFunction,
    low: Floats,
    high: Floats,
    *,
    constraints: Sequence[ConvexFunction] = (),
    halfspaces: tuple[Floats, Floats] | None = None,
    tolerance: float = 1e-7,
) -> Minimum:
    """Find the minimum.

    Args:
        function: Defined wherever low < p < high.
        low: Lower bounds, shape (D,), >= 0, sum <= 1.
        high: Upper bounds, shape (D,), low <= high <= 1, sum >= 1.
        constraints: g_i; some point inside the box must make all of them negative.
        halfspaces: H, shape (K, D), and h, shape (K,); some point inside must be below all h.
        tolerance: Largest accepted gap.

    Raises:
        ValueError: No point satisfies the bounds.
        InfeasibleError: No point inside them satisfies constraints and halfspaces strictly.
        MinimiserError: The gap exceeds the tolerance.
    """
    if (low < 0).any() or (high < low).any() or low.sum() > 1 + 1e-9 or high.sum() < 1 - 1e-9:
        raise ValueError(f"no mixture lies between {low.tolist()} and {high.tolist()}")
    index = np.flatnonzero(high - low > 1e-12)
    normals, bounds = halfspaces or (np.empty((0, len(low))), np.empty(0))
    region = _Region(
        low=low,
        high=high,
        index=index,
        constraints=tuple(constraints),
        normals=normals,
        bounds=bounds,
    )
    mass, room = 1 - low.sum(), (high - low).sum()
    point = low + (high - low) * (min(1.0, mass / room) if room > 0 else 0.0)
    if room > 0 and 1e-9 < mass < room - 1e-9:
        point = _inside(region, _start(region, point))
        mu = BARRIER_START
        while mu >= BARRIER_END:
            point = _centre(function, region, point=point, mu=mu)
            mu *= BARRIER_FACTOR
    elif (region.values(point) > 0).any() or (normals @ point > bounds).any():
        raise InfeasibleError(point, region.values(point))
    gap = _certificate(function, region, point)
    if not gap <= tolerance:
        raise MinimiserError(f"gap {gap:g} above {tolerance:g} at {point.tolist()}")
    return Minimum(point=point, gap=gap)


def _start(region: _Region, middle: Floats) -> Floats:
    """Farthest point from halfspaces and ends of the box, or the middle where that is inside."""
    if (region.normals @ middle < region.bounds).all():
        return middle
    size, free = len(middle), np.zeros(len(middle))
    free[region.index] = 1.0
    width = np.linalg.norm(region.normals, axis=1)
    solution = linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.block(
            [
                [region.normals, width[:, None]],
                [-np.eye(size), free[:, None]],
                [np.eye(size), free[:, None]],
            ]
        ),
        b_ub=np.concatenate([region.bounds, -region.low, region.high]),
        A_eq=np.append(np.ones(size), 0.0)[None],
        b_eq=[1.0],
        bounds=[(None, None)] * size + [(None, 1.0)],
        method="highs",
    )
    point = middle if solution.x is None else np.where(free > 0, solution.x[:-1], region.low)
    if (region.normals @ point >= region.bounds).any():
        raise InfeasibleError(point, region.values(point))
    return point


def _inside(region: _Region, start: Floats) -> Floats:
    """A point that makes every constraint negative, the start if it does."""
    constraints = region.constraints
    point, values = start, region.values(start)
    for width in SHARPNESS:
        if (values < 0).all():
            return point
        highest = _smooth_maximum(constraints, width)
        found = minimise_on_simplex(
            highest,
            region.low,
            region.high,
            halfspaces=(region.normals, region.bounds),
            tolerance=np.inf,
        )
        point, values = found.point, region.values(found.point)
        if highest.value(point) - found.gap > width * np.log(len(constraints)):
            break
    if (values < 0).all():
        return point
    raise InfeasibleError(point, values)


def _smooth_maximum(constraints: Sequence[ConvexFunction], width: float) -> ConvexFunction:
    """Width * log sum exp(g / width): between max g and max g + width log M."""

    def shares(p: Floats) -> tuple[float, Floats]:
        scaled = np.array([one.value(p) for one in constraints]) / width
        weights = np.exp(scaled - scaled.max())
        return width * float(scaled.max() + np.log(weights.sum())), weights / weights.sum()

    def gradient(p: Floats) -> Floats:
        rows = np.array([one.gradient(p) for one in constraints])
        slope: Floats = shares(p)[1] @ rows
        return slope

    def hessian(p: Floats) -> Floats:
        weights = shares(p)[1]
        rows = np.array([one.gradient(p) for one in constraints])
        mean = weights @ rows
        bends = [w * one.hessian(p) for w, one in zip(weights, constraints, strict=True)]
        spread = (rows * weights[:, None]).T @ rows - np.outer(mean, mean)
        bend: Floats = np.sum(bends, axis=0) + spread / width
        return bend

    return ConvexFunction(value=lambda p: shares(p)[0], gradient=gradient, hessian=hessian)


def _centre(function: ConvexFunction, region: _Region, *, point: Floats, mu: float) -> Floats:
    """Newton's method for one mu, from a point strictly inside the region."""
    index = region.index
    size = len(index)

    def barrier(p: Floats) -> float:
        return function.value(p) + mu * region.barrier(p)

    for _ in range(NEWTON_STEPS):
        slope, bend = region.slopes(point)
        gradient = function.gradient(point)[index] + mu * slope
        system = np.zeros((size + 1, size + 1))
        system[:size, :size] = function.hessian(point)[np.ix_(index, index)] + mu * bend
        system[size, :size] = system[:size, size] = 1.0
        # Scaled by the distance to the bounds, or the system is singular beside one.
        below, above = (point - region.low)[index], (region.high - point)[index]
        scale = np.append(np.minimum(below, above), 1.0)
        right = np.append(-gradient, 0.0) * scale
        step = np.linalg.solve(system * scale * scale[:, None], right) * scale
        decrement = -float(gradient @ step[:size])
        if decrement <= 1e-3 * mu:
            break
        direction = np.zeros_like(point)
        direction[index] = step[:size]
        moved = _search(barrier, point, direction, region.low, region.high, decrement=decrement)
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


def _certificate(function: ConvexFunction, region: _Region, point: Floats) -> float:
    """Bound on f(p) - min f over the region, >= 0; without constraints by filling, exactly."""
    gradient = function.gradient(point)
    if region.constraints or len(region.bounds):
        gradient, offset = _best_multipliers(gradient, region, point)
    else:
        offset = 0.0
    best = region.low.copy()
    left = 1 - region.low.sum()
    for coordinate in np.argsort(gradient, kind="stable"):
        best[coordinate] += min(left, region.high[coordinate] - region.low[coordinate])
        left = 1 - best.sum()
        if left <= 0:
            break
    return max(0.0, float(gradient @ (point - best)) + offset)


def _best_multipliers(gradient: Floats, region: _Region, point: Floats) -> tuple[Floats, float]:
    """Gradient of the Lagrangian, and -nu . g(p), for the multipliers with the tightest bound.

    A linear programme in (nu, level, y, z), the last three being the dual of the inner maximum:
    level + y - z = gradient + nu . slopes. Multipliers read off the barrier lose their digits where
    the slack does.
    """
    curved = [one.gradient(point) for one in region.constraints]
    slopes = np.vstack([*curved, region.normals])
    values = np.append(region.values(point), region.normals @ point - region.bounds)
    num, size = slopes.shape
    cost = np.concatenate([slopes @ point - values, [-1.0], -region.low, region.high])
    equal = np.hstack([-slopes.T, np.ones((size, 1)), np.eye(size), -np.eye(size)])
    bounds = [(0, None)] * num + [(None, None)] + [(0, None)] * (2 * size)
    solution = linprog(cost, A_eq=equal, b_eq=gradient, bounds=bounds, method="highs")
    nu = np.zeros(num) if solution.x is None else np.maximum(solution.x[:num], 0.0)
    total: Floats = gradient + nu @ slopes
    return total, -float(nu @ values)
