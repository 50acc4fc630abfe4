"""Log-linear mixing law of one evaluation domain.

    L(p) = c + exp(t . p)          p on the simplex; L and c in nats per token, 0 <= c < min L

Convex in p: c is constant and exp of a linear function is convex.

Source: Ye et al. 2024, "Data Mixing Laws", arXiv:2403.16952; the form without the factor before
the exponential as in Olmix, arXiv:2602.12237 (since p sums to 1, a factor k only adds log k to
every t_j). Deviation: both start a quasi-Newton search of the Huber loss (threshold 0.02 nats)
from many random points. For fixed c, log(L - c) is linear in p, so here a grid over c gives
starting points in closed form, and the best one is refined by a damped Gauss-Newton iteration on
the same Huber loss with c kept in its interval. Nothing is random, and a stack of refits (leave
runs out, draw with replacement) is solved at once.

Parameters are identified only through predictions: with noise, c trades against t.
Shapes: N runs, D training domains, R refits, G values of c.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats, require_simplex

HUBER_NATS = 0.02
GRID = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.93, 0.97, 0.99])
MAX_ITERATIONS = 300
STEP_TOLERANCE = 1e-9
DECREASE_TOLERANCE = 1e-11
MAX_DAMPING = 1e12


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
    num_runs, num_domains = weights.shape
    require_simplex(weights)
    if losses.shape != (num_runs,) or not (np.isfinite(losses) & (losses > 0)).all():
        raise ValueError(f"losses must be positive and finite, shape ({num_runs},), got {losses}")
    if counts.ndim != 2 or counts.shape[1] != num_runs or not (counts >= 0).all():
        raise ValueError(f"counts must be >= 0 with shape (R, {num_runs}), got {counts.shape}")
    fewest = int((counts > 0).sum(axis=1).min())
    if fewest < min_runs(num_domains):
        raise ValueError(
            f"{num_domains + 1} parameters need more than {num_domains + 1} runs, got {fewest}"
        )
    params = _refine(weights, losses, counts, _start(weights, losses, counts))
    return [LogLinearLaw(irreducible_loss=float(row[0]), sensitivities=row[1:]) for row in params]


def _ceiling(losses: Floats, counts: Floats) -> Floats:
    """Largest c of each refit: just below the smallest loss that counts."""
    lowest = np.where(counts > 0, losses, np.inf).min(axis=1)
    return lowest * (1 - 1e-6)


def _objective(weights: Floats, losses: Floats, counts: Floats, params: Floats) -> Floats:
    """Huber loss of each refit, shape (R,); infinite where the exponential overflows."""
    with np.errstate(over="ignore"):
        size = np.abs(params[:, :1] + np.exp(params[:, 1:] @ weights.T) - losses)
    huber = np.where(size <= HUBER_NATS, 0.5 * size**2, HUBER_NATS * (size - 0.5 * HUBER_NATS))
    return np.where(counts > 0, counts * huber, 0.0).sum(axis=1)


def _start(weights: Floats, losses: Floats, counts: Floats) -> Floats:
    """Best closed-form candidate of each refit over the grid of c, shape (R, D + 1)."""
    best = np.empty((len(counts), weights.shape[1] + 1))
    best_value = np.full(len(counts), np.inf)
    for share in GRID:
        c = share * _ceiling(losses, counts)
        gap = np.maximum(losses - c[:, None], 1e-12)
        # A step of log(L - c) is a step of L divided by L - c: so weigh by the square.
        importance = counts * gap**2
        normal = np.matmul(weights.T * importance[:, None, :], weights)
        target = (importance * np.log(gap)) @ weights
        t = _solve(normal, target, damping=np.full(len(counts), 1e-10))
        params = np.column_stack([c, t])
        value = _objective(weights, losses, counts, params)
        better = value < best_value
        best[better], best_value[better] = params[better], value[better]
    return best


def _solve(matrices: Floats, vectors: Floats, *, damping: Floats) -> Floats:
    """Solve damped normal equations, shapes (R, M, M) and (R, M)."""
    diagonal = np.einsum("rii->ri", matrices)
    scale = diagonal + 1e-12 * (1 + diagonal.max(axis=1, keepdims=True))
    lifted = matrices + np.einsum("ri,ij->rij", damping[:, None] * scale, np.eye(scale.shape[1]))
    lifted += np.einsum("ri,ij->rij", scale - diagonal, np.eye(scale.shape[1]))
    solution: Floats = np.linalg.solve(lifted, vectors[:, :, None])[:, :, 0]
    return solution


def _refine(weights: Floats, losses: Floats, counts: Floats, params: Floats) -> Floats:
    """Damped Gauss-Newton on the Huber loss until each refit stands still."""
    params = params.copy()
    value = _objective(weights, losses, counts, params)
    ceiling = _ceiling(losses, counts)
    damping = np.full(len(params), 1e-3)
    active = np.arange(len(params))
    for _ in range(MAX_ITERATIONS):
        old = params[active]
        step = _step(
            weights,
            losses,
            counts[active],
            params=old,
            ceiling=ceiling[active],
            damping=damping[active],
        )
        new = old + step
        new_value = _objective(weights, losses, counts[active], new)
        accepted = new_value <= value[active]
        size = np.abs(step).max(axis=1) / (1 + np.abs(old).max(axis=1))
        decrease = (value[active] - new_value) <= DECREASE_TOLERANCE * value[active]
        done = (accepted & ((size < STEP_TOLERANCE) | decrease)) | (damping[active] > MAX_DAMPING)
        params[active[accepted]] = new[accepted]
        value[active[accepted]] = new_value[accepted]
        damping[active] *= np.where(accepted, 0.2, 5.0)
        damping[active] = np.maximum(damping[active], 1e-12)
        active = active[~done]
        if not active.size:
            break
    return params


def _step(
    weights: Floats,
    losses: Floats,
    counts: Floats,
    *,
    params: Floats,
    ceiling: Floats,
    damping: Floats,
) -> Floats:
    """Gauss-Newton step of each refit; where c would leave [0, ceiling] it stops at the bound."""
    exponential = np.exp(params[:, 1:] @ weights.T)
    residuals = params[:, :1] + exponential - losses
    robust = counts * np.minimum(1.0, HUBER_NATS / np.maximum(np.abs(residuals), 1e-300))
    design = np.concatenate(
        [np.ones_like(residuals)[:, :, None], exponential[:, :, None] * weights], axis=2
    )
    weighted = design * robust[:, :, None]
    normal = np.matmul(design.transpose(0, 2, 1), weighted)
    slope = np.einsum("rnm,rn->rm", weighted, residuals)
    step = -_solve(normal, slope, damping=damping)
    bounded = np.clip(params[:, 0] + step[:, 0], 0.0, ceiling) - params[:, 0]
    held = bounded != step[:, 0]
    if held.any():
        shift = bounded[held]
        moved = slope[held, 1:] + normal[held, 1:, 0] * shift[:, None]
        step[held, 0] = shift
        step[held, 1:] = -_solve(normal[held, 1:, 1:], moved, damping=damping[held])
    return step
