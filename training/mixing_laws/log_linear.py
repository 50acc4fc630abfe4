"""Log-linear mixing law of one evaluation domain.

    L(p) = c + exp(t . p)          p on the simplex; L and c in nats per token, c >= 0

Convex in p: c is constant and exp of a linear function is convex.

Source: Ye et al. 2024, "Data Mixing Laws", arXiv:2403.16952; the form without the factor before
the exponential as in Olmix, arXiv:2602.12237 (since p sums to 1, a factor k only adds log k to
every t_j). Deviation: both start a quasi-Newton search of the Huber loss (threshold 0.02 nats)
from many random points. For fixed c, log(L - c) is linear in p, so here a grid over c gives
starting points in closed form, and each is followed (`training.log_linear_search`). c may lie
above the lowest losses: where a loss keeps falling with the last per cents of a domain, the best
exponential takes the few lowest runs for outliers. (Keeping c below them cost 12 to 40 % of the
objective on published runs, and a fifth of the rank's distance to one.) Two bounds are added:
exp(t_j), the loss at a corner, stays below a thousand times the highest loss seen (runs that say
nothing of a corner would else let it grow without end, which no minimiser can handle; ten times is
more than a model can show, but cost 1 to 16 % of the objective in one of eighty fits of 16
published runs), and t_j >= -1000. The second must be that far out: at a share of 5 % even
t_j = -60 leaves exp(-3), published losses need such slopes, and a bound of -30 tripled some
objectives. Nothing is random. The objective has several basins, and the grid does not reach all of
them when the losses are noise.

Parameters are identified only through predictions: with noise, c trades against t.
Shapes: N runs, D training domains, R refits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats
from training.log_linear_objective import LogLinearProblem
from training.log_linear_search import search_log_linear
from training.mixing_laws.interface import Runs, named_vector, require_runs
from training.robust_fit import HUBER_NATS

C_SHARES = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.93, 0.97, 0.99])
"""Starting values of c as shares of the lowest loss."""
C_QUANTILES = np.array([0.03, 0.1, 0.25])
"""And as quantiles of the losses: outliers may lie below c."""
CORNER_FACTOR = 1e3
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
        sensitivities = named_vector("sensitivities", record.sensitivities, domains)
        return cls(irreducible_loss=record.irreducible_loss, sensitivities=sensitivities)


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit: one more than the D + 1 parameters."""
    return num_domains + 2


def fit_log_linear(weights: Floats, losses: Floats, *, huber: float = HUBER_NATS) -> LogLinearLaw:
    """Fit one law to all runs.

    Args:
        weights: One row per run, shape (N, D), rows on the simplex, N > D + 1.
        losses: Held-out losses, shape (N,), nats per token, > 0.
        huber: Threshold of the Huber loss, nats.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    return refit_log_linear(weights, losses, np.ones((1, len(weights))), huber=huber)[0]


def refit_log_linear(
    weights: Floats, losses: Floats, counts: Floats, *, huber: float = HUBER_NATS
) -> list[LogLinearLaw]:
    """Fit one law per row of counts.

    Args:
        weights: One row per run, shape (N, D), rows on the simplex.
        losses: Held-out losses, shape (N,), nats per token, > 0.
        counts: How often each run counts in each refit, shape (R, N), >= 0; each row counts more
            than D + 1 different runs.
        huber: Threshold of the Huber loss, nats.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    return [laws[0] for laws in _refit(weights, losses[:, None], counts, huber)]


def refit_each_log_linear(runs: Runs, counts: Floats) -> list[tuple[LogLinearLaw, ...]]:
    """Fit every evaluation domain by itself once per row of counts, all in one search.

    Args:
        runs: Weights and losses.
        counts: As `refit_log_linear`.

    Raises:
        ValueError: As `refit_log_linear`.
    """
    return _refit(runs.weights, runs.losses, counts, HUBER_NATS)


def _refit(
    weights: Floats, losses: Floats, counts: Floats, huber: float
) -> list[tuple[LogLinearLaw, ...]]:
    """Laws of losses (N, E) for each row of counts."""
    for column in losses.T:
        require_runs(weights, column, counts, num_params=weights.shape[1] + 1)
    columns = np.ascontiguousarray(losses.T)
    highest = np.where(counts > 0, columns[:, None], 0.0).max(axis=2)
    high = np.repeat(np.log(CORNER_FACTOR * highest)[:, :, None], weights.shape[1] + 1, axis=2)
    high[:, :, 0] = highest
    low = np.full_like(high, -CORNER_DEPTH)
    low[:, :, 0] = 0.0
    problem = LogLinearProblem(
        weights=weights, losses=columns, counts=counts, low=low, high=high, huber=huber
    )
    params, _ = search_log_linear(problem, _constants(columns, counts))
    return [
        tuple(LogLinearLaw(irreducible_loss=float(row[0]), sensitivities=row[1:]) for row in refit)
        for refit in params.transpose(1, 0, 2)
    ]


def _constants(losses: Floats, counts: Floats) -> Floats:
    """Starting values of c for losses (E, N) and counts (R, N), shape (E, R, S)."""
    seen = np.where(counts > 0, losses[:, None], np.nan)
    lowest = np.nanmin(seen, axis=2)
    quantiles = np.moveaxis(np.nanquantile(seen, C_QUANTILES, axis=2), 0, 2)
    return np.concatenate([lowest[:, :, None] * C_SHARES, quantiles], axis=2)
