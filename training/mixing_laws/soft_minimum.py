"""Soft-minimum mixing law of one evaluation domain.

    L(p) = -b log(sum_j p_j exp(-l_j / b))         p on the simplex; L, l_j and b in nats per token

l_j is the loss after training on domain j alone and b says how sharply the best teacher rules:
b -> 0 gives the smallest l_j among the domains present, b -> infinity the mean of l_j under p.
Equally exp(-L / b) = tau . p with tau_j = exp(-l_j / b) >= 0: what every domain is worth to this
one adds up, and the loss falls with the logarithm of the sum. A domain's first per cents thus help
most, as data seen in proportion to a share does under a power law of data with transfer between
domains (effective data: Hernandez et al. 2021, arXiv:2102.01293).
Convex in p: minus the logarithm of a positive linear function. It has as many parameters as the
log-linear law, D + 1. The form is ours: no published law has it to our knowledge, and it enters a
plan only through the same held-out evidence as the others.

Fit: for fixed b, exp(-L / b) is linear in p, so a grid over b gives starts in closed form, each
followed to its end on the Huber loss (`training.robust_fit`). Bounds: 0 <= l_j <= ten times the
highest loss seen, 0.02 <= b <= 20.
Shapes: N runs, D training domains, R refits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats, Ints
from training.mixing_laws.interface import named_vector, require_runs
from training.robust_fit import RobustProblem, minimise_robustly, weighted_least_squares

SHARPNESS_GRID = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 4.0])
"""Starting values of b, nats."""
SHARPNESS_BOUNDS = (0.02, 20.0)
"""Nats: beyond them the law is a minimum or a mean within any noise of a run."""
CORNER_FACTOR = 10.0
"""l_j ends at this multiple of the highest loss seen."""
SMALLEST_WORTH = 1e-4
"""Starting value of exp(-(l_j - min L) / b) where least squares finds none."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sharpness: float
    corner_losses: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftMinimumLaw:
    """Fitted parameters."""

    sharpness: float
    """b, nats per token, > 0."""
    corner_losses: Floats
    """l, shape (D,), nats per token: loss after training on one domain alone."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        losses: Floats = _predict(self._params(), weights)[0]
        return losses

    def gradient(self, weights: Floats) -> Floats:
        """Derivative at one mixture of shape (D,)."""
        return -self.sharpness * self._relative_worth(weights)

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture of shape (D,), shape (D, D)."""
        worth = self._relative_worth(weights)
        outer: Floats = np.outer(worth, worth)
        return self.sharpness * outer

    def describe(self, domains: Sequence[str]) -> str:
        """The formula with its numbers, most helpful domain first."""
        order = np.argsort(self.corner_losses)
        terms = ", ".join(f"{self.corner_losses[j]:.3g} {domains[j]}" for j in order)
        return f"soft minimum (sharpness {self.sharpness:.3g}) of {terms}"

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        named = dict(zip(domains, self.corner_losses.tolist(), strict=True))
        return {"sharpness": self.sharpness, "corner_losses": named}

    @classmethod
    def from_json(cls, fields: Mapping[str, object], domains: Sequence[str]) -> "SoftMinimumLaw":
        """Read what `to_json` wrote, in the order of `domains`.

        Raises:
            ValueError: A field is missing, unknown or no number, or the domains differ.
        """
        record = _Record.model_validate(fields)
        corners = named_vector("corner_losses", record.corner_losses, domains)
        return cls(sharpness=record.sharpness, corner_losses=corners)

    def _params(self) -> Floats:
        return np.concatenate([[self.sharpness], self.corner_losses])[None]

    def _relative_worth(self, mixture: Floats) -> Floats:
        """tau_j / (tau . p), shape (D,)."""
        lowest = self.corner_losses.min()
        worth: Floats = np.exp((lowest - self.corner_losses) / self.sharpness)
        return worth / (worth @ mixture)


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit: one more than the D + 1 parameters."""
    return num_domains + 2


def refit_soft_minimum(weights: Floats, losses: Floats, counts: Floats) -> list[SoftMinimumLaw]:
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
    low = np.zeros((len(counts), weights.shape[1] + 1))
    highest = np.where(counts > 0, losses, 0.0).max(axis=1)
    high = np.repeat(CORNER_FACTOR * highest[:, None], weights.shape[1] + 1, axis=1)
    low[:, 0], high[:, 0] = SHARPNESS_BOUNDS

    def predict(params: Floats, _: Ints) -> Floats:
        return _predict(params, weights)

    def linearise(params: Floats, _: Ints) -> tuple[Floats, Floats]:
        return _linearise(params, weights)

    problem = RobustProblem(
        predict=predict, linearise=linearise, losses=losses, counts=counts, low=low, high=high
    )
    params, _ = minimise_robustly(problem, _starts(weights, losses, counts))
    return [SoftMinimumLaw(sharpness=float(row[0]), corner_losses=row[1:]) for row in params]


def _worth(params: Floats) -> tuple[Floats, Floats]:
    """exp((m - l) / b), shape (K, D), and the smallest corner loss m, shape (K, 1)."""
    lowest = params[:, 1:].min(axis=1, keepdims=True)
    worth: Floats = np.exp((lowest - params[:, 1:]) / params[:, :1])
    return worth, lowest


def _predict(params: Floats, weights: Floats) -> Floats:
    """Losses, shape (K, N), for parameters (K, D + 1)."""
    worth, lowest = _worth(params)
    total = np.maximum(worth @ weights.T, np.finfo(np.float64).tiny)
    losses: Floats = lowest - params[:, :1] * np.log(total)
    return losses


def _linearise(params: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Losses (K, N) and derivatives by b and l, shape (K, N, D + 1).

    With s_j = p_j tau_j / (tau . p):  dL / dl_j = s_j  and  dL / db = (L - sum_j s_j l_j) / b.
    """
    losses = _predict(params, weights)
    worth, _ = _worth(params)
    parts = weights[None] * worth[:, None, :]
    parts /= np.maximum(parts.sum(axis=2, keepdims=True), np.finfo(np.float64).tiny)
    slope = (losses - np.einsum("knd,kd->kn", parts, params[:, 1:])) / params[:, :1]
    return losses, np.concatenate([slope[:, :, None], parts], axis=2)


def _starts(weights: Floats, losses: Floats, counts: Floats) -> Iterator[Floats]:
    """Closed-form candidates of all refits, shape (R, D + 1) each, for b on its grid."""
    lowest = np.where(counts > 0, losses, np.inf).min(axis=1)[:, None]
    for sharpness in SHARPNESS_GRID:
        target = np.exp((lowest - losses) / sharpness)
        # A step of exp(-L / b) is a step of L times that over b: so weigh by its inverse square.
        importance = counts / np.maximum(target, SMALLEST_WORTH) ** 2
        worth = weighted_least_squares(weights, target, importance)
        corners = lowest - sharpness * np.log(np.maximum(worth, SMALLEST_WORTH))
        yield np.column_stack([np.full(len(counts), sharpness), corners])
