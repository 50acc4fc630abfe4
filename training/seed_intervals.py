"""Means over seeds with Student intervals, and which of many differ from zero.

    interval    mean +- t(1 - (1 - level) / 2, S - 1) * sd / sqrt(S)
    selection   Benjamini and Hochberg: sort the p values; the k smallest are accepted for the
                largest k with p_(k) <= k / m * (1 - level)

The interval is that of one number; the selection bounds the share of false finds among *all* m
numbers, so a number may be refused although its own interval leaves out zero. Variances are not
pooled: the spread over repeats of a run on one domain was measured at 25 times that of a run on
the natural mixture.

Source: Benjamini and Hochberg 1995, "Controlling the False Discovery Rate".
Shapes: S seeds, any further axes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats

MIN_SEEDS = 3
"""Fewest seeds of an interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedIntervals:
    """One entry per number; the shape is that of the values without the seeds."""

    mean: Floats
    """Over seeds; NaN where a value is missing."""
    low: Floats
    """Lower end; NaN with fewer than MIN_SEEDS seeds."""
    high: Floats
    """Upper end; NaN with fewer than MIN_SEEDS seeds."""
    p_value: Floats
    """Two-sided, of a mean of zero; NaN with fewer than MIN_SEEDS seeds."""


def seed_intervals(values: Floats, *, level: float) -> SeedIntervals:
    """Average over seeds.

    Args:
        values: Shape (S, ...), S >= 1; NaN: not measured, which makes the mean NaN.
        level: Of the intervals, in (0, 1).

    Raises:
        ValueError: No seeds, or a level that is none.
    """
    num_seeds = len(values)
    if num_seeds < 1 or not 0 < level < 1:
        raise ValueError(f"need at least one seed and 0 < level < 1, got {num_seeds}, {level}")
    from scipy.stats import t as student

    mean = values.mean(axis=0)
    unknown = np.full_like(mean, np.nan)
    if num_seeds < MIN_SEEDS:
        return SeedIntervals(mean=mean, low=unknown, high=unknown, p_value=unknown)
    error = values.std(axis=0, ddof=1) / np.sqrt(num_seeds)
    half = student.ppf((1 + level) / 2, num_seeds - 1) * error
    # Seeds that agree to the last bit: any mean but zero is certain.
    exact = np.where(mean == 0, 0.0, np.inf)
    ratio = np.divide(np.abs(mean), error, out=exact, where=error > 0)
    p_value = np.where(np.isnan(mean), np.nan, 2 * student.sf(ratio, num_seeds - 1))
    return SeedIntervals(mean=mean, low=mean - half, high=mean + half, p_value=p_value)


def select_nonzero(p_values: Floats, *, level: float) -> NDArray[np.bool_]:
    """Which numbers differ from zero, with a false discovery rate of at most 1 - level.

    Args:
        p_values: Shape (...); NaN: not tested, never selected, not counted.
        level: In (0, 1).
    """
    tested = p_values[np.isfinite(p_values)]
    if not tested.size:
        return np.zeros(p_values.shape, dtype=bool)
    ordered = np.sort(tested)
    limits = np.arange(1, len(ordered) + 1) / len(ordered) * (1 - level)
    passed = np.flatnonzero(ordered <= limits)
    threshold = ordered[passed[-1]] if passed.size else -1.0
    return np.asarray(np.nan_to_num(p_values, nan=np.inf) <= threshold)
