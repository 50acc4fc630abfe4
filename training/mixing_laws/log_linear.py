"""Log-linear mixing law of one evaluation domain.

    L(p) = c + exp(t . p)          p on the simplex; L and c in nats per token, 0 <= c < min L

Convex in p: c is constant and exp of a linear function is convex.

Source: Ye et al. 2024, "Data Mixing Laws", arXiv:2403.16952; the form without the factor before
the exponential as in Olmix, arXiv:2602.12237 (since p sums to 1, a factor k only adds log k to
every t_j). Deviation: both start a quasi-Newton search of the Huber loss (threshold 0.02 nats)
from many random points. For fixed c, log(L - c) is linear in p, so here a grid over c gives
starting points in closed form, and each is refined by a damped Gauss-Newton iteration on the same
Huber loss with c kept in its interval. Two bounds are added: exp(t_j), the loss at a corner, stays
below ten times the highest loss seen (runs that say nothing of a corner would else let it grow
without end, which no model can show and no minimiser can handle), and t_j >= -1000. The second
must be that far out: at a share of 5 % even t_j = -60 leaves exp(-3), published losses need such
slopes, and a bound of -30 tripled some objectives. Nothing is random, and a stack of refits (leave
runs out, draw with replacement) is solved at once. The objective has several basins, and the grid
does not reach all of them when the losses are noise.

Parameters are identified only through predictions: with noise, c trades against t.
Shapes: N runs, D training domains, R refits, G values of c.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats
from training.mixing_laws.interface import require_runs

HUBER_NATS = 0.02
GRID = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.93, 0.97, 0.99])
MAX_ITERATIONS = 100
STEP_TOLERANCE = 1e-9
DECREASE_TOLERANCE = 1e-8
MAX_DAMPING = 1e12
LIGHT_DAMPING = 1e-3
CORNER_FACTOR = 10.0
CORNER_DEPTH = 1e3


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    irreducible_loss: float
    sensitivities: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLinearLaw:
    """Fitted parameters."""

    irreducible_loss: float
    """c, nats per token, >= 0."""
    sensitivities: Floats
    """t, shape (D,). Lower than the others: more of that domain lowers the loss."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        return self.irreducible_loss + np.exp(weights @ self.sensitivities)

    def gradient(self, weights: Floats) -> Floats:
        """Derivative at one mixture of shape (D,)."""
        return np.exp(weights @ self.sensitivities) * self.sensitivities

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture of shape (D,), shape (D, D)."""
        outer: Floats = np.outer(self.sensitivities, self.sensitivities)
        return np.exp(weights @ self.sensitivities) * outer

    def describe(self, domains: Sequence[str]) -> str:
        """The formula with its numbers, most helpful domain first."""
        order = np.argsort(self.sensitivities)
        terms = " ".join(f"{self.sensitivities[j]:+.3g} {domains[j]}" for j in order)
        return f"{self.irreducible_loss:.4g} + exp({terms})"

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        named = dict(zip(domains, self.sensitivities.tolist(), strict=True))
        return {"irreducible_loss": self.irreducible_loss, "sensitivities": named}

    @classmethod
    def from_json(cls, fields: Mapping[str, object], domains: Sequence[str]) -> "LogLinearLaw":
        """Read what `to_json` wrote, in the order of `domains`.

        Raises:
            ValueError: A field is missing, unknown or no number, or the domains differ.
        """
        record = _Record.model_validate(fields)
        if set(record.sensitivities) != set(domains):
            raise ValueError(
                f"sensitivities of {sorted(record.sensitivities)}, wanted {sorted(domains)}"
            )
        ordered = np.array([record.sensitivities[domain] for domain in domains])
        return cls(irreducible_loss=record.irreducible_loss, sensitivities=ordered)


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit: one more than the D + 1 parameters."""
    return num_domains + 2


def fit_log_linear(weights: Floats, losses: Floats) -> LogLinearLaw:
    """Fit one law to all runs.

    Args:
        weights: One row per run, shape (N, D), rows on the simplex, N > D + 1.
        losses: Held-out losses, shape (N,), nats per token, > 0.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    return refit_log_linear(weights, losses, np.ones((1, len(weights))))[0]


def refit_log_linear(weights: Floats, losses: Floats, counts: Floats) -> list[LogLinearLaw]:
    """Fit one law per row of counts.

    Args:
        weights: One row per run, shape (N, D), rows on the simplex.
        losses: Held-out losses, shape (N,), nats per token, > 0.
        counts: How often each run counts in each refit, shape (R, N), >= 0; each row counts more
            than D + 1 different runs.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    require_runs(weights, losses, counts, num_params=weights.shape[1] + 1)
    params = _search(weights, losses, counts)
    return [LogLinearLaw(irreducible_loss=float(row[0]), sensitivities=row[1:]) for row in params]


def _bounds(losses: Floats, counts: Floats, num_domains: int) -> tuple[Floats, Floats]:
    """Lowest and highest parameters of each refit, shape (R, D + 1) each."""
    lowest = np.where(counts > 0, losses, np.inf).min(axis=1)
    highest = np.where(counts > 0, losses, 0.0).max(axis=1)
    upper = np.repeat(np.log(CORNER_FACTOR * highest)[:, None], num_domains + 1, axis=1)
    upper[:, 0] = lowest * (1 - 1e-6)
    lower = np.full_like(upper, -CORNER_DEPTH)
    lower[:, 0] = 0.0
    return lower, upper


def _objective(weights: Floats, losses: Floats, counts: Floats, params: Floats) -> Floats:
    """Huber loss of each refit, shape (R,)."""
    size = np.abs(params[:, :1] + np.exp(params[:, 1:] @ weights.T) - losses)
    huber = np.where(size <= HUBER_NATS, 0.5 * size**2, HUBER_NATS * (size - 0.5 * HUBER_NATS))
    total: Floats = (counts * huber).sum(axis=1)
    return total


def _start(
    weights: Floats, losses: Floats, counts: Floats, *, share: float, bounds: tuple[Floats, Floats]
) -> Floats:
    """Closed-form candidate of each refit for c = share of its upper bound, shape (R, D + 1)."""
    c = share * bounds[1][:, 0]
    gap = np.maximum(losses - c[:, None], 1e-12)
    # A step of log(L - c) is a step of L divided by L - c: so weigh by the square.
    importance = counts * gap**2
    normal = np.matmul(weights.T * importance[:, None, :], weights)
    target = (importance * np.log(gap)) @ weights
    t = _solve(normal, target, damping=np.full(len(counts), 1e-10))
    return np.clip(np.column_stack([c, t]), *bounds)


def _search(weights: Floats, losses: Floats, counts: Floats) -> Floats:
    """Refine every start to the end and keep the best of each refit, shape (R, D + 1).

    Nothing short of that will do: the lowest start often leads into a worse basin than another,
    and after a few iterations the leading starts are one point, so a short list of them is no help.
    """
    bounds = _bounds(losses, counts, weights.shape[1])
    best = np.zeros((len(counts), weights.shape[1] + 1))
    best_value = np.full(len(counts), np.inf)
    for share in GRID:
        start = _start(weights, losses, counts, share=share, bounds=bounds)
        params = _refine(weights, losses, counts, params=start, bounds=bounds)
        value = _objective(weights, losses, counts, params)
        better = value < best_value
        best[better], best_value[better] = params[better], value[better]
    assert np.isfinite(best_value).all(), "bounded parameters gave an infinite objective"
    return best


def _solve(matrices: Floats, vectors: Floats, *, damping: Floats) -> Floats:
    """Solve damped normal equations, shapes (R, M, M) and (R, M)."""
    diagonal = np.einsum("rii->ri", matrices)
    scale = diagonal + 1e-12 * (1 + diagonal.max(axis=1, keepdims=True))
    lifted = matrices + np.einsum("ri,ij->rij", damping[:, None] * scale, np.eye(scale.shape[1]))
    lifted += np.einsum("ri,ij->rij", scale - diagonal, np.eye(scale.shape[1]))
    solution: Floats = np.linalg.solve(lifted, vectors[:, :, None])[:, :, 0]
    return solution


def _refine(
    weights: Floats,
    losses: Floats,
    counts: Floats,
    *,
    params: Floats,
    bounds: tuple[Floats, Floats],
) -> Floats:
    """Damped, projected Gauss-Newton on the Huber loss until each refit stands still."""
    params = params.copy()
    value = _objective(weights, losses, counts, params)
    damping = np.full(len(params), 1e-3)
    active = np.arange(len(params))
    for _ in range(MAX_ITERATIONS):
        old = params[active]
        box = (bounds[0][active], bounds[1][active])
        normal, slope = _model(weights, losses, counts[active], old)
        new = old + _step(normal, slope, params=old, bounds=box, damping=damping[active])
        new = np.clip(new, *box)
        new_value = _objective(weights, losses, counts[active], new)
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
    return params


def _model(
    weights: Floats, losses: Floats, counts: Floats, params: Floats
) -> tuple[Floats, Floats]:
    """Gauss-Newton matrix, shape (R, D + 1, D + 1), and slope, shape (R, D + 1)."""
    exponential = np.exp(params[:, 1:] @ weights.T)
    residuals = params[:, :1] + exponential - losses
    robust = counts * np.minimum(1.0, HUBER_NATS / np.maximum(np.abs(residuals), 1e-300))
    design = np.concatenate(
        [np.ones_like(residuals)[:, :, None], exponential[:, :, None] * weights], axis=2
    )
    weighted = design * robust[:, :, None]
    normal = np.matmul(design.transpose(0, 2, 1), weighted)
    return normal, np.einsum("rnm,rn->rm", weighted, residuals)


def _step(
    normal: Floats,
    slope: Floats,
    *,
    params: Floats,
    bounds: tuple[Floats, Floats],
    damping: Floats,
) -> Floats:
    """Gauss-Newton step of each refit; a parameter that would leave its box stops at the bound.

    Parameters at a bound that the slope presses against stand still. Those that the first solution
    drives out go to their bound, and the others are solved again for that.
    """
    low, high = bounds
    held = ((params <= low) & (slope > 0)) | ((params >= high) & (slope < 0))
    shift = np.zeros_like(params)
    for _ in range(2):
        free = (~held).astype(np.float64)
        reduced = normal * free[:, :, None] * free[:, None, :]
        target = -(slope + np.einsum("rij,rj->ri", normal, shift)) * free
        step = np.where(held, shift, _solve(reduced, target, damping=damping))
        clipped = np.clip(params + step, low, high) - params
        leaving = ~held & (clipped != step) & (np.abs(clipped - step) > 1e-14)
        if not leaving.any():
            break
        shift = np.where(leaving, clipped, shift)
        held |= leaving
    return clipped
