"""Newton search for stacks of log-linear fits: many losses, refits and starts at once.

The generic search (`training.robust_fit`) reweights, and its weights settle linearly: on hundreds
of runs it needs a hundred iterations. Here the second derivatives of the Huber loss are exact
(`training.log_linear_objective`).

Far from the minimum few residuals lie inside, and the exact model says too little. So a share
`outer` of the weight h / |residual| of reweighting is added outside; it falls with every step that
goes as foretold, and rises with every refused one, as does the damping of the diagonal (Levenberg
1944, Marquardt 1963). Near a minimum both vanish and convergence is quadratic, unless residuals sit
at the threshold itself: then the objective has a kink along a valley, and the search ends when
STALLED steps in a row together gain less than a millionth.

With few runs for each parameter every start is followed to its end. With many, starts differ
little where they end: half are dropped by their first value and all but LEADING by their value
after PRELIMINARY steps; and refits of further counts begin where the first two ended.
Shapes: N runs, D training domains, E evaluation domains, R refits, S starts, K searches,
M = 1 + D parameters c, t.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Ints
from training.log_linear_objective import LocalModel, LogLinearObjective, LogLinearProblem
from training.robust_fit import MANY_RUNS, PILOTS, projected_step

BLOCK = 120_000
"""Residuals held at once."""
MAX_ITERATIONS = 100
LEADING = 2
"""Starts of a fit that are followed to the end where there are many runs."""
PRELIMINARY = 3
STEP_TOLERANCE = 1e-9
DECREASE_TOLERANCE = 1e-8
STALLED = 8
STALL_TOLERANCE = 1e-6
FIRST_OUTER = 0.3
SMALL_OUTER = 0.05
FIRST_DAMPING = 1e-2
LEAST_DAMPING = 1e-7
LIGHT_DAMPING = 1e-3
MAX_DAMPING = 1e12


@dataclass(frozen=True, kw_only=True, slots=True)
class _Searches:
    """K searches: which loss, which refit, and where they are."""

    target: Ints
    refit: Ints
    params: Floats
    value: Floats
    slope: Floats
    curve: Floats
    damping: Floats
    outer: Floats
    mark: Floats
    """Value when the search was last seen to make headway."""

    def write(self, rows: Ints, *, at: "LocalModel", params: Floats) -> None:
        self.params[rows] = params
        self.value[rows], self.slope[rows], self.curve[rows] = at.value, at.slope, at.curve


def search_log_linear(problem: LogLinearProblem, constants: Floats) -> tuple[Floats, Floats]:
    """Find the lowest minimum of each fit.

    Args:
        problem: What is minimised.
        constants: Starting values of c, shape (E, R, S); t follows in closed form, since for a
            given c log(L - c) is linear in p.

    Returns:
        Parameters, shape (E, R, M), and values of the objective, shape (E, R).
    """
    objective = LogLinearObjective(problem)
    num_targets, num_refits, num_starts = constants.shape
    num_runs, num_domains = problem.weights.shape
    many = num_runs >= MANY_RUNS * (num_domains + 1)
    params = np.empty((num_targets, num_refits, num_domains + 1))
    values = np.empty((num_targets, num_refits))
    known: Floats | None = None
    pilots = np.arange(num_refits)
    if many and num_refits > len(PILOTS):
        pilots = np.array(PILOTS)
    for refits in (pilots, np.setdiff1d(np.arange(num_refits), pilots)):
        size = max(1, BLOCK // (num_runs * (num_starts if known is None else known.shape[1])))
        pairs = np.array([(e, r) for e in range(num_targets) for r in refits], dtype=np.int64)
        for first in range(0, len(pairs), size):
            target, refit = pairs[first : first + size].T
            if known is None:
                starts = _closed_form(problem, objective, constants, target, refit)
            else:
                starts = known[target]
            found = _best_ends(problem, objective, starts, target, refit, prune=many)
            params[target, refit], values[target, refit] = found
        known = params[:, pilots]
    return params, values


def _closed_form(
    problem: LogLinearProblem,
    objective: LogLinearObjective,
    constants: Floats,
    target: Ints,
    refit: Ints,
) -> Floats:
    """Weighted least squares of log(L - c) for each start of these fits, shape (F, S, M).

    A step of log(L - c) is a step of L divided by L - c: so weigh by the square.
    """
    c = constants[target, refit]
    gap = np.maximum(problem.losses[target][:, None, :] - c[:, :, None], 1e-12)
    gap = gap.reshape(-1, gap.shape[2])
    weighting = gap**2
    weighting *= np.repeat(problem.counts[refit], c.shape[1], axis=0)
    normal = objective.gram(weighting)
    weighting *= np.log(gap)
    vector = weighting @ problem.weights
    diagonal = np.einsum("kii->ki", normal)
    diagonal += 1e-10 * diagonal + 1e-12 * (1 + diagonal.max(axis=1, keepdims=True))
    t = np.linalg.solve(normal, vector[:, :, None])[:, :, 0]
    return np.concatenate([c[:, :, None], t.reshape(*c.shape, -1)], axis=2)


def _best_ends(
    problem: LogLinearProblem,
    objective: LogLinearObjective,
    starts: Floats,
    target: Ints,
    refit: Ints,
    *,
    prune: bool,
) -> tuple[Floats, Floats]:
    """Best of the ends of all starts of each fit: parameters (F, M) and values (F,)."""
    num_params = starts.shape[2]
    which = np.repeat(np.arange(len(starts)), starts.shape[1])
    params = np.clip(
        starts.reshape(-1, num_params),
        problem.low[target, refit][which],
        problem.high[target, refit][which],
    )
    if prune and starts.shape[1] > LEADING:
        first = objective.value(params, target[which], refit[which])
        kept = _lowest(first, which, np.arange(len(which)), max(LEADING, starts.shape[1] // 2))
        which, params = which[kept], params[kept]
    box = [side[target, refit][which] for side in (problem.low, problem.high)]
    outer = np.full(len(params), FIRST_OUTER)
    local = objective.at(params, target[which], refit[which], outer)
    searches = _Searches(
        target=target[which],
        refit=refit[which],
        params=params,
        value=local.value,
        slope=local.slope,
        curve=local.curve,
        damping=np.full(len(params), FIRST_DAMPING),
        outer=outer,
        mark=local.value.copy(),
    )
    active = np.arange(len(params))
    for iteration in range(MAX_ITERATIONS):
        if prune and iteration == PRELIMINARY:
            active = _lowest(searches.value, which, active, LEADING)
        active = active[~_advance(objective, searches, active, [side[active] for side in box])]
        if (iteration + 1) % STALLED == 0:
            gain = searches.mark[active] - searches.value[active]
            searches.mark[active] = searches.value[active]
            active = active[gain > STALL_TOLERANCE * searches.value[active]]
        if not active.size:
            break
    best = _lowest(searches.value, which, np.arange(len(which)), 1)
    return searches.params[best], searches.value[best]


def _lowest(value: Floats, which: Ints, active: Ints, kept: int) -> Ints:
    """The `kept` active searches of each fit with the lowest values."""
    order = active[np.lexsort((value[active], which[active]))]
    fit = which[order]
    place = np.arange(len(order)) - np.searchsorted(fit, fit)
    chosen: Ints = order[place < kept]
    return chosen


def _advance(
    objective: LogLinearObjective, searches: _Searches, active: Ints, box: list[Floats]
) -> NDArray[np.bool_]:
    """Take one step with each active search; which of them have ended."""
    old, value = searches.params[active], searches.value[active]
    slope, curve = searches.slope[active], searches.curve[active]
    damping, outer = searches.damping[active], searches.outer[active]
    new = _moved(old, slope, curve, damping, box)
    shift = new - old
    local = objective.at(new, searches.target[active], searches.refit[active], outer)
    gain = value - local.value
    foretold = np.einsum("ki,ki->k", slope + 0.5 * np.einsum("kij,kj->ki", curve, shift), shift)
    ratio = np.divide(gain, -foretold, out=np.zeros_like(gain), where=foretold < 0)
    accepted = gain >= 0
    taken = np.flatnonzero(accepted)
    searches.write(active[taken], at=local.take(taken), params=new[taken])
    eased = np.where(ratio > 0.75, 0.3 * damping, np.where(ratio < 0.25, 4 * damping, damping))
    searches.damping[active] = np.where(
        accepted, np.maximum(eased, LEAST_DAMPING), np.maximum(4 * damping, LIGHT_DAMPING)
    )
    smaller = np.where(ratio > 0.25, np.where(outer < SMALL_OUTER, 0.0, 0.6 * outer), outer)
    searches.outer[active] = np.where(accepted, smaller, np.minimum(1.0, 1.5 * outer + SMALL_OUTER))
    size = np.abs(shift).max(axis=1) / (1 + np.abs(old).max(axis=1))
    # A heavily damped step is short and gains little wherever it stands: that is no end.
    light = (damping <= LIGHT_DAMPING) & (outer <= SMALL_OUTER)
    ended: NDArray[np.bool_] = (
        accepted & light & ((size < STEP_TOLERANCE) | (gain <= DECREASE_TOLERANCE * value))
    )
    return ended | (damping > MAX_DAMPING)


def _moved(
    params: Floats, slope: Floats, curve: Floats, damping: Floats, box: list[Floats]
) -> Floats:
    """Parameters after a damped Newton step of each search, inside the box."""
    low, high = box
    diagonal = np.abs(np.einsum("kii->ki", curve))
    lift = damping[:, None] * (diagonal + 1e-12 * (1 + diagonal.max(axis=1, keepdims=True)))
    lifted = curve.copy()
    np.einsum("kii->ki", lifted)[:] += lift
    new: Floats = params - np.linalg.solve(lifted, slope[:, :, None])[:, :, 0]
    rows = np.flatnonzero(((new < low) | (new > high)).any(axis=1))
    if rows.size:
        step = projected_step(
            lifted[rows],
            slope[rows],
            params=params[rows],
            bounds=(low[rows], high[rows]),
            damping=np.zeros(len(rows)),
        )
        new[rows] = np.clip(params[rows] + step, low[rows], high[rows])
    return new
