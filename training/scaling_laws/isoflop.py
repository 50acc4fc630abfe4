"""IsoFLOP fit: the best size at each budget from a parabola, then a power law over budgets.

    log L = quadratic in log N  at one budget;  its vertex is N*;   log N* = log k + a log C

Source: Hoffmann et al. 2022, arXiv:2203.15556, approach 2. It assumes no form of the loss over all
runs, so it is a check on the parametric fit; it needs several sizes at each of several budgets.
Deviations: runs rarely hit a budget exactly, so budgets are bins of log C and the parabola has a
term linear in log C beside it; budgets whose parabola has no minimum inside the sizes tried are
left out and named. Weights of the power law are equal. Shapes: N runs, R resamples.
"""

from dataclasses import dataclass

import numpy as np

from training.arrays import Ints
from training.law_evidence import Interval
from training.scaling_runs import ScalingRuns

MIN_SIZES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class IsoflopBudget:
    """One budget."""

    flops: float
    """Geometric mean of its runs."""
    num_runs: int
    """Runs in it."""
    params: float
    """N* at the vertex."""
    loss_nats: float
    """Loss at the vertex."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IsoflopFit:
    """The power law of the best size."""

    exponent: Interval
    """a in N* ~ C^a, with the bootstrap over runs within budgets."""
    coefficient: float
    """k in N* = k C^a."""
    budgets: tuple[IsoflopBudget, ...]
    """What the line goes through."""
    left_out: tuple[str, ...]
    """Budgets without a vertex, with the reason."""

    def optimal_params(self, flops: float) -> float:
        """N* of a budget, parameters."""
        return float(self.coefficient * flops**self.exponent.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoIsoflopFit:
    """The runs are not laid out for this fit."""

    reason: str
    """What is missing."""


def fit_isoflop(
    runs: ScalingRuns,
    *,
    width: float = 0.2,
    num_resamples: int = 400,
    level: float = 0.9,
    seed: int = 0,
) -> IsoflopFit | NoIsoflopFit:
    """Fit N*(C), or say why the layout of the runs allows no such fit.

    Args:
        runs: Needed are at least four sizes at each of at least two budgets.
        width: Widest spread of log10 C within one budget, > 0.
        num_resamples: Draws of the bootstrap, R >= 100.
        level: Share of the resamples inside the interval.
        seed: Decides the draws.

    Raises:
        ValueError: `width` is not positive.
    """
    groups = _groups(runs, width)
    budgets, left_out = _vertices(runs, groups)
    if len(budgets) < 2:
        return NoIsoflopFit(
            reason=f"two budgets need a best size among at least {MIN_SIZES} sizes, "
            f"found {len(budgets)}: {'; '.join(left_out) or 'all runs share one budget'}"
        )
    slope, level_at = _line(budgets)
    rng = np.random.default_rng(seed)
    draws: list[float] = []
    for _ in range(10 * num_resamples):
        drawn = [rng.choice(group, size=len(group)) for group in groups]
        resampled, _ = _vertices(runs, drawn)
        if len(resampled) >= 2:
            draws.append(_line(resampled)[0])
        if len(draws) == num_resamples:
            break
    else:
        return NoIsoflopFit(
            reason=f"only {len(draws)} of {10 * num_resamples} resamples have two budgets"
        )
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return IsoflopFit(
        exponent=Interval(value=slope, low=float(low), high=float(high)),
        coefficient=float(np.exp(level_at)),
        budgets=tuple(budgets),
        left_out=tuple(left_out),
    )


def _groups(runs: ScalingRuns, width: float) -> list[Ints]:
    """Rows of each budget, from the smallest budget up."""
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    log_flops = np.log10(runs.flops)
    groups: list[list[int]] = []
    for row in np.argsort(log_flops, kind="stable"):
        if groups and log_flops[row] <= log_flops[groups[-1][0]] + width:
            groups[-1].append(int(row))
        else:
            groups.append([int(row)])
    return [np.array(group, dtype=np.int64) for group in groups]


def _vertices(runs: ScalingRuns, groups: list[Ints]) -> tuple[list[IsoflopBudget], list[str]]:
    budgets, left_out = [], []
    for rows in groups:
        flops = float(np.exp(np.log(runs.flops[rows]).mean()))
        found = _vertex(runs, rows, flops=flops)
        if isinstance(found, str):
            left_out.append(f"{flops:.3g} FLOPs: {found}")
        else:
            budgets.append(found)
    return budgets, left_out


def _vertex(runs: ScalingRuns, rows: Ints, *, flops: float) -> IsoflopBudget | str:
    """The minimum of one budget, or why there is none."""
    sizes = np.log(runs.params[rows])
    different = len(np.unique(sizes))
    if different < MIN_SIZES:
        return f"{different} different sizes, needs {MIN_SIZES}"
    centre = float(sizes.mean())
    n = sizes - centre
    budget = np.log(runs.flops[rows]) - np.log(flops)
    design = np.column_stack([np.ones_like(n), n, n**2, budget])
    level, slope, bend, _ = np.linalg.lstsq(design, np.log(runs.losses[rows]), rcond=None)[0]
    if bend <= 0:
        return "the parabola opens downwards"
    vertex = -slope / (2 * bend)
    if not n.min() <= vertex <= n.max():
        return "the minimum lies outside the sizes tried"
    return IsoflopBudget(
        flops=flops,
        num_runs=len(rows),
        params=float(np.exp(centre + vertex)),
        loss_nats=float(np.exp(level + slope * vertex + bend * vertex**2)),
    )


def _line(budgets: list[IsoflopBudget]) -> tuple[float, float]:
    """Slope and intercept of log N* on log C."""
    x = np.log([budget.flops for budget in budgets])
    y = np.log([budget.params for budget in budgets])
    slope = float(np.cov(x, y, bias=True)[0, 1] / np.var(x))
    return slope, float(y.mean() - slope * x.mean())
