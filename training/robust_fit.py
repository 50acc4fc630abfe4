"""Robust least squares for stacks of refits: damped, projected Gauss-Newton.

Minimises for every refit r at once

    sum_n counts[r, n] * huber(f_n(q_r) - losses_n)  +  sum_m ridge_m / 2 * (q_rm - prior_rm)^2

with each parameter in its interval. huber(x) = x^2 / 2 up to a threshold h, h (|x| - h / 2) beyond
(Huber 1964). Leaving runs out and drawing runs with replacement are rows of counts, so one call
serves a fit, its cross-validation and its bootstrap. Nothing is random.

Gauss-Newton with weights min(1, h / |residual|) is iteratively reweighted least squares; the
damping (Levenberg 1944, Marquardt 1963) makes every accepted step a descent. A start is followed to
its end: ends of several starts are compared, never their beginnings, because the lowest start often
leads into a worse basin, and after a few iterations the leading starts are one point.
Shapes: R refits, N observations, M parameters.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Ints

HUBER_NATS = 0.02
"""Threshold of Olmix and of Data Mixing Laws for losses in nats."""
MAX_JACOBIAN = 4_000_000
"""Entries of a Jacobian held at once."""
STACK = 32
"""Starts times refits that go through the loop together."""
PILOTS = (0, 1)
"""Refits whose every start is followed, where there are many runs for each parameter."""
MANY_RUNS = 10
"""Runs for each parameter from which pilots are enough."""
MAX_ITERATIONS = 100
STEP_TOLERANCE = 1e-9
DECREASE_TOLERANCE = 1e-8
MAX_DAMPING = 1e12
LIGHT_DAMPING = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustProblem:
    """What is minimised."""

    predict: Callable[[Floats, Ints], Floats]
    """(parameters (K, M), which refits these are (K,)) -> predictions (K, N)."""
    linearise: Callable[[Floats, Ints], tuple[Floats, Floats]]
    """As `predict`, with the derivatives: predictions (K, N) and Jacobian (K, N, M)."""
    losses: Floats
    """Observations, shape (N,), or (R, N) where refits have their own."""
    counts: Floats
    """Weight of each observation in each refit, shape (R, N), >= 0."""
    low: Floats
    """Lowest parameters, shape (R, M)."""
    high: Floats
    """Highest parameters, shape (R, M)."""
    huber: Floats | float = HUBER_NATS
    """Threshold h, unit of the losses; one for all, or one per refit, shape (R,)."""
    ridge: Floats | None = None
    """Strength of the pull to `prior`, shape (R, M), >= 0. None: none."""
    prior: Floats | None = None
    """Where the ridge pulls to, shape (R, M). None: zero."""

    def objective(self, params: Floats, rows: Ints) -> Floats:
        """Value for parameters (K, M) of the refits `rows`, shape (K,)."""
        size = np.abs(self.predict(params, rows) - self._observed(rows))
        total: Floats = (self.counts[rows] * huber_loss(size, self._threshold(rows))).sum(axis=1)
        if self.ridge is not None:
            total += 0.5 * (self.ridge[rows] * self._offset(params, rows) ** 2).sum(axis=1)
        return total

    def model(self, params: Floats, rows: Ints) -> tuple[Floats, Floats]:
        """Gauss-Newton matrix, shape (K, M, M), and slope, shape (K, M)."""
        size = max(1, len(rows) * self.counts.shape[1] * params.shape[1] // MAX_JACOBIAN)
        parts = np.array_split(np.arange(len(rows)), min(size, len(rows)))
        models = [self._model(params[part], rows[part]) for part in parts]
        return np.concatenate([each[0] for each in models]), np.concatenate(
            [each[1] for each in models]
        )

    def _model(self, params: Floats, rows: Ints) -> tuple[Floats, Floats]:
        predicted, design = self.linearise(params, rows)
        residuals = predicted - self._observed(rows)
        weights = np.minimum(1.0, self._threshold(rows) / np.maximum(np.abs(residuals), 1e-300))
        weighted = design * (self.counts[rows] * weights)[:, :, None]
        normal = np.matmul(design.transpose(0, 2, 1), weighted)
        slope = np.einsum("rnm,rn->rm", weighted, residuals)
        if self.ridge is not None:
            normal += self.ridge[rows][:, :, None] * np.eye(params.shape[1])
            slope += self.ridge[rows] * self._offset(params, rows)
        return normal, slope

    def _observed(self, rows: Ints) -> Floats:
        return self.losses if self.losses.ndim == 1 else self.losses[rows]

    def _threshold(self, rows: Ints) -> Floats:
        return np.broadcast_to(self.huber, len(self.counts))[rows][:, None]

    def _offset(self, params: Floats, rows: Ints) -> Floats:
        return params if self.prior is None else params - self.prior[rows]


def huber_loss(residuals: Floats, threshold: Floats | float) -> Floats:
    """Huber loss of each residual: half its square up to the threshold, linear beyond."""
    size = np.abs(residuals)
    loss: Floats = np.where(size <= threshold, 0.5 * size**2, threshold * (size - 0.5 * threshold))
    return loss


def minimise_robustly(problem: RobustProblem, starts: Iterable[Floats]) -> tuple[Floats, Floats]:
    """Follow every start to its end and keep the best end of each refit.

    With many runs for each parameter, drawing or leaving out runs moves the best basin but does
    not change which it is: where a few pilots end, the other refits start.

    Args:
        problem: What is minimised.
        starts: Parameters of all refits, shape (R, M) each; clipped to the intervals.

    Returns:
        Parameters, shape (R, M), and values of the objective, shape (R,).

    Raises:
        ValueError: There is no start.
    """
    num_refits, num_params = problem.low.shape
    lined_up = [np.clip(start, problem.low, problem.high) for start in starts]
    if not lined_up:
        raise ValueError("a search needs at least one start, got none")
    # Refits with losses of their own are other problems: where one ends says nothing of the rest.
    alike = problem.losses.ndim == 1 and problem.losses.size >= MANY_RUNS * num_params
    if alike and min(num_refits, len(lined_up)) > len(PILOTS):
        ends, _ = _best_ends(problem, lined_up, np.array(PILOTS))
        lined_up = [np.clip(end[None], problem.low, problem.high) for end in ends]
    params, values = _best_ends(problem, lined_up, np.arange(num_refits))
    assert np.isfinite(values).all(), "bounded parameters gave an infinite objective"
    return params, values


def weighted_least_squares(design: Floats, targets: Floats, importance: Floats) -> Floats:
    """Solve one weighted linear problem per refit, for starts in closed form.

    Args:
        design: Shape (N, M), or (R, N, M) where it differs between refits.
        targets: Shape (R, N).
        importance: Weight of each squared residual, shape (R, N), >= 0.

    Returns:
        Coefficients, shape (R, M).
    """
    stacked = np.broadcast_to(design, (*targets.shape, design.shape[-1]))
    weighted = stacked * importance[:, :, None]
    normal = np.matmul(stacked.transpose(0, 2, 1), weighted)
    vector = np.einsum("rnm,rn->rm", weighted, targets)
    return solve_damped(normal, vector, damping=np.full(len(targets), 1e-10))


def solve_damped(matrices: Floats, vectors: Floats, *, damping: Floats) -> Floats:
    """Solve damped normal equations, shapes (R, M, M) and (R, M); damping of shape (R,)."""
    diagonal = np.einsum("rii->ri", matrices)
    scale = diagonal + 1e-12 * (1 + diagonal.max(axis=1, keepdims=True))
    lifted = matrices + np.einsum("ri,ij->rij", damping[:, None] * scale, np.eye(scale.shape[1]))
    lifted += np.einsum("ri,ij->rij", scale - diagonal, np.eye(scale.shape[1]))
    solution: Floats = np.linalg.solve(lifted, vectors[:, :, None])[:, :, 0]
    return solution


def _best_ends(problem: RobustProblem, starts: list[Floats], refits: Ints) -> tuple[Floats, Floats]:
    """Best of the ends of all starts for each of `refits`: parameters and values."""
    # Few refits go through the loop with all their starts at once, many one start at a time.
    width = max(1, STACK // len(refits))
    found = [
        _refine(problem, [start[refits] for start in starts[first : first + width]], refits)
        for first in range(0, len(starts), width)
    ]
    params = np.concatenate([end[0] for end in found]).reshape(len(starts), len(refits), -1)
    values = np.concatenate([end[1] for end in found]).reshape(len(starts), len(refits))
    best, each = values.argmin(axis=0), np.arange(len(refits))
    return params[best, each], values[best, each]


def _refine(problem: RobustProblem, starts: list[Floats], refits: Ints) -> tuple[Floats, Floats]:
    """Iterate until each start stands still: parameters (S R, M) and values; refits run fastest."""
    params = np.concatenate(starts)
    active = np.arange(len(params))
    refit = np.tile(refits, len(starts))
    value = problem.objective(params, refit)
    damping = np.full(len(params), 1e-3)
    for _ in range(MAX_ITERATIONS):
        old, rows = params[active], refit[active]
        box = (problem.low[rows], problem.high[rows])
        normal, slope = problem.model(old, rows)
        new = old + projected_step(normal, slope, params=old, bounds=box, damping=damping[active])
        new = np.clip(new, *box)
        new_value = problem.objective(new, rows)
        accepted = new_value <= value[active]
        size = np.abs(new - old).max(axis=1) / (1 + np.abs(old).max(axis=1))
        # A heavily damped step is short and gains little wherever it stands: that is no end.
        light = damping[active] <= LIGHT_DAMPING
        still = (value[active] - new_value) <= DECREASE_TOLERANCE * value[active]
        done = accepted & light & ((size < STEP_TOLERANCE) | still)
        done |= damping[active] > MAX_DAMPING
        params[active[accepted]] = new[accepted]
        value[active[accepted]] = new_value[accepted]
        damping[active] = np.maximum(damping[active] * np.where(accepted, 0.2, 5.0), 1e-12)
        active = active[~done]
        if not active.size:
            break
    return params, value


def projected_step(
    normal: Floats,
    slope: Floats,
    *,
    params: Floats,
    bounds: tuple[Floats, Floats],
    damping: Floats,
) -> Floats:
    """Newton step of each refit; a parameter that would leave its box stops at the bound.

    Parameters at a bound that the slope presses against stand still. Those that the first solution
    drives out go to their bound, and the others are solved again for that.

    Args:
        normal: Second derivatives or a model of them, shape (K, M, M).
        slope: First derivatives, shape (K, M).
        params: Where each refit stands, shape (K, M).
        bounds: Lowest and highest parameters, shape (K, M) each.
        damping: Of the diagonal, shape (K,), >= 0.

    Returns:
        Shape (K, M); the parameters plus it lie in the box.
    """
    low, high = bounds
    held = ((params <= low) & (slope > 0)) | ((params >= high) & (slope < 0))
    shift = np.zeros_like(params)
    for _ in range(2):
        free = (~held).astype(np.float64)
        reduced = normal * free[:, :, None] * free[:, None, :]
        target = -(slope + np.einsum("rij,rj->ri", normal, shift)) * free
        step = np.where(held, shift, solve_damped(reduced, target, damping=damping))
        clipped = np.clip(params + step, low, high) - params
        leaving = ~held & (clipped != step) & (np.abs(clipped - step) > 1e-14)
        if not leaving.any():
            break
        shift = np.where(leaving, clipped, shift)
        held |= leaving
    return clipped
