"""Search for a low point of any function on a box of the simplex. It proves nothing.

For laws that are not convex (trees, Gaussian processes) or objectives that are not (optimistic
bounds). Seeded Dirichlet draws around a centre, with strengths from corner-seeking to close, are
moved into the box; then rounds of draws around the best hundredth, each round closer. The answer
is the best point seen, which is never worse than the centre.

Source of the idea: the simulated proposals of RegMix, arXiv:2407.01492, and of Olmix,
arXiv:2602.12237. Deviations: they average the best candidates, which can leave the region where any
of them was good; here the best itself is returned, and rounds refine it. Where a tree is constant
the penalty on the divergence from the prior decides. Shapes: N candidates, V coordinates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats

ROUNDS = 8
BISECTIONS = 60
STRENGTHS = (0.5, 200.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """The best point seen."""

    point: Floats
    """Shape (V,)."""
    value: float
    """Of the function; infinite: no candidate was allowed."""


def search_candidates(
    values: Callable[[Floats], Floats],
    low: Floats,
    high: Floats,
    *,
    centre: Floats,
    num_candidates: int = 20_000,
    seed: int = 0,
) -> Candidate:
    """Find a low point.

    Args:
        values: Points (N, V) -> values (N,); infinite where a point is not allowed.
        low: Lower bounds, shape (V,), sum <= 1.
        high: Upper bounds, shape (V,), sum >= 1.
        centre: Of the draws, shape (V,), on the simplex.
        num_candidates: Draws of the first round, >= 100; each later round has a quarter.
        seed: Decides the draws.

    Raises:
        ValueError: Too few candidates, or no point satisfies the bounds.
    """
    if num_candidates < 100:
        raise ValueError(f"num_candidates must be at least 100, got {num_candidates}")
    if (high < low).any() or low.sum() > 1 + 1e-9 or high.sum() < 1 - 1e-9:
        raise ValueError(f"no mixture lies between {low.tolist()} and {high.tolist()}")
    rng = np.random.default_rng(seed)
    base = np.maximum(centre, 1e-3)
    base /= base.sum()
    strengths = np.exp(rng.uniform(np.log(STRENGTHS[0]), np.log(STRENGTHS[1]), num_candidates))
    drawn = _dirichlet(rng, strengths[:, None] * len(base) * base)
    points = into_box(np.vstack([centre[None], drawn]), low, high)
    found = values(points)
    for step in range(ROUNDS):
        order = np.argsort(found, kind="stable")[: max(10, num_candidates // 100)]
        points, found = points[order], found[order]
        strength = 100.0 * 4.0**step
        chosen = points[rng.integers(len(points), size=num_candidates // 4)]
        drawn = _dirichlet(rng, strength * np.maximum(chosen, 1e-6))
        drawn = into_box(drawn, low, high)
        points, found = np.vstack([points, drawn]), np.concatenate([found, values(drawn)])
    best = int(np.argmin(found))
    return Candidate(point=points[best], value=float(found[best]))


def into_box(points: Floats, low: Floats, high: Floats) -> Floats:
    """Nearest points with low <= x <= high and sum 1, rows of shape (N, V).

    The projection is clip(x - t, low, high) with one t per row, found by bisection.
    """
    bottom = (points - high).min(axis=1, keepdims=True)
    top = (points - low).max(axis=1, keepdims=True)
    for _ in range(BISECTIONS):
        middle = (bottom + top) / 2
        heavy = np.clip(points - middle, low, high).sum(axis=1, keepdims=True) > 1
        bottom, top = np.where(heavy, middle, bottom), np.where(heavy, top, middle)
    inside: Floats = np.clip(points - (bottom + top) / 2, low, high)
    return inside


def _dirichlet(rng: np.random.Generator, strengths: Floats) -> Floats:
    """One draw per row of strengths, shape (N, V), in logarithms: weak draws underflow else."""
    shape = np.maximum(strengths, 1e-9)
    # Gamma(a) = Gamma(a + 1) U^(1 / a)
    logs = np.log(rng.standard_gamma(shape + 1)) + np.log(rng.random(shape.shape)) / shape
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    drawn: Floats = weights / weights.sum(axis=1, keepdims=True)
    return drawn
