"""Noise between runs, from repeats of a mixture, and what it means for a fit.

    var(p) = exp(a + b * concentration(p))       concentration: sum of squared shares, 1/D to 1

Runs of one mixture with other seeds differ by noise alone. Measured spreads were .0016 nats at the
natural mixture and .041 at single-domain mixtures: such runs must not count alike. Whether repeats
show a trend is asked by a permutation test of the score over mixtures (the level of noise could as
well belong to any other mixture); without one, noise is one number. Importance of a run is

    1 / (var(p) + misfit)                        scaled to mean 1

where misfit is the variance that a law leaves over beyond the noise: as long as the form of the
law is wrong by more than the noise, weighting by noise alone would only throw runs away.
Shapes: N runs, D training domains, G mixtures with repeats.
"""

from dataclasses import dataclass

import numpy as np

from training.arrays import Floats
from training.fitted_laws import FittedLaws
from training.run_table import RunTable

SIGNIFICANCE = 0.05
NUM_PERMUTATIONS = 999
FEWEST_GROUPS = 4
"""Mixtures with repeats below which no trend can be shown at `SIGNIFICANCE`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunNoise:
    """Noise of one evaluation domain."""

    log_variance: float
    """a; variance in nats squared."""
    trend: float
    """b, > 0: concentrated mixtures are noisier. 0: no trend was shown."""
    p_value: float
    """Of the permutation test; 1 where there are too few repeated mixtures."""
    num_mixtures: int
    """G, mixtures with repeats."""
    degrees_of_freedom: int
    """Repeats beyond the first of each mixture."""

    def variance(self, weights: Floats) -> Floats:
        """Noise variance at mixtures of shape (N, D), shape (N,), nats squared."""
        return np.exp(self.log_variance + self.trend * concentration(weights))


def concentration(weights: Floats) -> Floats:
    """Sum of squared shares of mixtures (N, D), shape (N,): 1/D if equal, 1 for one domain."""
    squares: Floats = (weights**2).sum(axis=1)
    return squares


def estimate_noise(weights: Floats, losses: Floats, *, seed: int = 0) -> RunNoise | None:
    """Noise of one evaluation domain from repeats; None without any.

    Args:
        weights: Shape (N, D), rows on the simplex; rows equal to nine digits are repeats.
        losses: Shape (N,), nats per token.
        seed: Decides the permutations.

    Raises:
        ValueError: The shapes do not belong together.
    """
    if weights.ndim != 2 or losses.shape != (len(weights),):
        raise ValueError(f"weights (N, D) and losses (N,), got {weights.shape}, {losses.shape}")
    mixtures, group = np.unique(np.round(weights, 9), axis=0, return_inverse=True)
    group = group.ravel()
    sizes = np.bincount(group)
    means = np.bincount(group, weights=losses) / sizes
    squares: Floats = np.bincount(group, weights=(losses - means[group]) ** 2).astype(np.float64)
    repeated = sizes > 1
    if not repeated.any():
        return None
    freedom: Floats = (sizes[repeated] - 1).astype(np.float64)
    squares = squares[repeated]
    where = concentration(mixtures[repeated])
    pooled = float(np.log(max(squares.sum() / freedom.sum(), 1e-18)))
    p_value, trend, log_variance = 1.0, 0.0, pooled
    if len(where) >= FEWEST_GROUPS and np.ptp(where) > 0:
        rng = np.random.default_rng(seed)
        orders = rng.permuted(np.tile(where, (NUM_PERMUTATIONS, 1)), axis=1)
        score = freedom * (squares / freedom / max(np.exp(pooled), 1e-18) - 1)
        shuffled, observed = (
            np.abs((orders - where.mean()) @ score),
            abs(float((where - where.mean()) @ score)),
        )
        p_value = (1 + int((shuffled >= observed - 1e-12).sum())) / (1 + NUM_PERMUTATIONS)
        if p_value <= SIGNIFICANCE:
            log_variance, trend = _trend(where, squares, freedom)
    return RunNoise(
        log_variance=log_variance,
        trend=trend,
        p_value=p_value,
        num_mixtures=int(repeated.sum()),
        degrees_of_freedom=int(freedom.sum()),
    )


def run_importance(table: RunTable, laws: FittedLaws) -> Floats | None:
    """How much each run should count in a fit of all evaluation domains, shape (N,), mean 1.

    The geometric mean over evaluation domains, since a drawn run is drawn for all of them. None
    where repeats show nothing: then all runs count alike.

    Args:
        table: The runs.
        laws: Fitted on them, all counting alike.
    """
    residuals = table.losses - laws.predict(table.weights)
    logs = np.zeros(len(table.run_ids))
    for column, losses in enumerate(table.losses.T):
        noise = estimate_noise(table.weights, losses)
        logs += np.log(importance(noise, table.weights, residuals[:, column]))
    if not logs.any():
        return None
    counted: Floats = np.exp(logs / table.losses.shape[1])
    scaled: Floats = counted / counted.mean()
    return scaled


def importance(noise: RunNoise | None, weights: Floats, residuals: Floats) -> Floats:
    """How much each run should count in a fit, shape (N,), mean 1.

    All ones where repeats show no trend: then noise is no reason to prefer one run.

    Args:
        noise: From repeats; None: there were none.
        weights: Shape (N, D).
        residuals: Of a fit that counts all runs alike, shape (N,), nats.
    """
    if noise is None or noise.trend == 0:
        return np.ones(len(weights))
    variance = noise.variance(weights)
    misfit = max(0.0, float((residuals**2 - variance).mean()))
    counted = 1 / (variance + misfit)
    scaled: Floats = counted / counted.mean()
    return scaled


def _trend(where: Floats, squares: Floats, freedom: Floats) -> tuple[float, float]:
    """Maximum likelihood of a and b for squares ~ exp(a + b where) * chi-squared(freedom).

    A gamma regression with logarithmic link, by Fisher scoring from its least-squares start.
    """
    design = np.column_stack([np.ones_like(where), where])
    floor = max(float((squares / freedom).max()) * 1e-6, 1e-18)
    observed = np.maximum(squares / freedom, floor)
    root = np.sqrt(freedom)
    params = np.linalg.lstsq(root[:, None] * design, root * np.log(observed), rcond=None)[0]
    normal = np.linalg.pinv((freedom[:, None] * design).T @ design)
    for _ in range(50):
        ratio = observed * np.exp(-np.clip(design @ params, -80, 80))
        step = normal @ (design.T @ (freedom * (ratio - 1)))
        step /= max(1.0, float(np.abs(design @ step).max()))
        params = params + step
        if np.abs(step).max() < 1e-9:
            break
    return float(params[0]), float(params[1])
