"""Gaussian process as a mixing law of one evaluation domain.

    L(p) = mean + k(p, P) (k(P, P) + noise)^-1 (losses - mean)
    k(p, q) = s^2 (1 + r + r^2 / 3) exp(-r),   r^2 = 5 sum_j (sqrt p_j - sqrt q_j)^2 / l_j^2

Matern covariance with exponent 5/2 and one length per domain (Rasmussen and Williams 2006,
"Gaussian Processes for Machine Learning", chapters 2, 4 and 5). Distances are taken between roots
of shares: loss falls steeply near a share of zero, and a root stretches that end. Lengths, signal
and noise minimise the negative log marginal likelihood (L-BFGS with its gradient, one start; later
refits of a stack start where the one before ended, which saves time and tells nothing). A run that
counts c times has a c-th of the noise. Far from all runs the law returns to the mean loss, so it
must not be asked there; it is not convex.
Shapes: N runs, D training domains, R refits; H = D + 2 hyperparameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from training.arrays import Floats
from training.mixing_laws.interface import require_runs

LENGTHS = (0.02, 100.0)
"""Bounds of the lengths, in roots of shares."""
SIGNALS = (1e-2, 1e3)
"""Bounds of the signal's variance, in units of the variance of the losses."""
NOISES = (1e-6, 2.0)
"""Bounds of the noise's variance, in the same units."""
MAX_ITERATIONS = 200


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    mean: float
    lengths: dict[str, float]
    runs: dict[str, list[float]]
    coefficients: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianProcessLaw:
    """A fitted process; the runs are part of it."""

    mean: float
    """Loss far from all runs, nats per token."""
    lengths: Floats
    """l, shape (D,), in roots of shares. Long: the domain's share matters little."""
    runs: Floats
    """Shares of the runs, shape (N, D)."""
    coefficients: Floats
    """s^2 (k + noise)^-1 (losses - mean), shape (N,), nats per token."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        covariance, _ = _matern(_squared_distances(weights, self.runs, self.lengths))
        predicted: Floats = self.mean + covariance @ self.coefficients
        return predicted

    def describe(self, domains: Sequence[str]) -> str:
        """The domains that matter most, with their lengths."""
        order = np.argsort(self.lengths)[:4]
        lengths = ", ".join(f"{domains[j]} {self.lengths[j]:.2g}" for j in order)
        return f"{self.mean:.4g} + Matern over {len(self.runs)} runs; shortest lengths {lengths}"

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters and runs keyed by the names of the training domains."""
        columns = (column.tolist() for column in self.runs.T)
        return {
            "mean": self.mean,
            "lengths": dict(zip(domains, self.lengths.tolist(), strict=True)),
            "runs": dict(zip(domains, columns, strict=True)),
            "coefficients": self.coefficients.tolist(),
        }

    @classmethod
    def from_json(
        cls, fields: Mapping[str, object], domains: Sequence[str]
    ) -> "GaussianProcessLaw":
        """Read what `to_json` wrote, in the order of `domains`.

        Raises:
            ValueError: A field is missing, unknown or no number, or domains or lengths differ.
        """
        record = _Record.model_validate(fields)
        if set(record.lengths) != set(domains) or set(record.runs) != set(domains):
            raise ValueError(f"lengths and runs must name {sorted(domains)} and nothing else")
        if any(len(column) != len(record.coefficients) for column in record.runs.values()):
            raise ValueError(f"every domain needs {len(record.coefficients)} shares of runs")
        return cls(
            mean=record.mean,
            lengths=np.array([record.lengths[name] for name in domains]),
            runs=np.column_stack([record.runs[name] for name in domains]),
            coefficients=np.array(record.coefficients),
        )


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit: one more than lengths, signal, noise and mean."""
    return num_domains + 4


def refit_gaussian_process(
    weights: Floats, losses: Floats, counts: Floats
) -> list[GaussianProcessLaw]:
    """Fit one law per row of counts.

    Args:
        weights: One row per run, shape (N, D), rows on the simplex.
        losses: Held-out losses, shape (N,), nats per token, > 0.
        counts: How often each run counts in each refit, shape (R, N), >= 0; each row counts at
            least `min_runs` different runs.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    num_domains = weights.shape[1]
    require_runs(weights, losses, counts, num_params=min_runs(num_domains) - 1)
    log_params = np.log(np.concatenate([np.ones(num_domains), [1.0, 0.01]]))
    laws = []
    for row in counts:
        seen = row > 0
        law, log_params = _fit(weights[seen], losses[seen], row[seen], log_params)
        laws.append(law)
    return laws


def _fit(
    weights: Floats, losses: Floats, counts: Floats, start: Floats
) -> tuple[GaussianProcessLaw, Floats]:
    """The law, and the logarithms of its hyperparameters."""
    mean = float(np.average(losses, weights=counts))
    scale = float(np.sqrt(np.average((losses - mean) ** 2, weights=counts))) or 1.0
    target = (losses - mean) / scale
    roots = np.sqrt(weights)
    apart = ((roots[:, None] - roots[None]) ** 2).reshape(-1, weights.shape[1]).T.copy()
    limits: Floats = np.log([LENGTHS] * weights.shape[1] + [SIGNALS, NOISES])

    def objective(log_params: Floats) -> tuple[float, Floats]:
        return _negative_log_likelihood(log_params, apart, target, counts)

    found = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(float(low), float(high)) for low, high in limits],
        options={"maxiter": MAX_ITERATIONS},
    )
    params = np.exp(found.x)
    lengths, signal, noise = params[:-2], params[-2], params[-1]
    covariance, _ = _matern(_squared_distances(weights, weights, lengths))
    factor = cho_factor(signal * covariance + np.diag(noise / counts), lower=True)
    law = GaussianProcessLaw(
        mean=mean,
        lengths=lengths,
        runs=weights,
        coefficients=scale * signal * cho_solve(factor, target),
    )
    return law, found.x


def _negative_log_likelihood(
    log_params: Floats, apart: Floats, target: Floats, counts: Floats
) -> tuple[float, Floats]:
    """Value without its constant, and derivative by the logarithms, shape (H,).

    Args:
        log_params: Of lengths, signal and noise, shape (H,).
        apart: Squared differences of roots of shares, shape (D, N * N).
        target: Standardised losses, shape (N,).
        counts: Shape (N,), > 0.
    """
    params = np.exp(log_params)
    lengths, signal, noise = params[:-2], params[-2], params[-1]
    num_runs = len(target)
    squared = ((1 / lengths**2) @ apart).reshape(num_runs, num_runs)
    covariance, slope = _matern(squared)
    factor = cho_factor(signal * covariance + np.diag(noise / counts), lower=True)
    inverse = cho_solve(factor, np.eye(num_runs))
    solved = inverse @ target
    value = 0.5 * float(target @ solved) + float(np.log(np.diag(factor[0])).sum())
    pull = 0.5 * (inverse - np.outer(solved, solved))
    by_length = -2 * signal * (apart @ (pull * slope).ravel()) / lengths**2
    by_signal = signal * float((pull * covariance).sum())
    by_noise = noise * float((np.diag(pull) / counts).sum())
    return value, np.concatenate([by_length, [by_signal, by_noise]])


def _squared_distances(first: Floats, second: Floats, lengths: Floats) -> Floats:
    """Between roots of shares of shapes (N, D) and (M, D), in lengths; shape (N, M)."""
    a, b = np.sqrt(first) / lengths, np.sqrt(second) / lengths
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    nonnegative: Floats = np.maximum(squared, 0.0)
    return nonnegative


def _matern(squared: Floats) -> tuple[Floats, Floats]:
    """Covariance at squared distances, and its derivative by the squared distance."""
    r = np.sqrt(5 * squared)
    decay = np.exp(-r)
    return (1 + r + r**2 / 3) * decay, -(5 / 6) * (1 + r) * decay
