"""The Huber loss of log-linear fits with exact second derivatives, many fits at once.

    sum_n counts[r, n] * huber(c + exp(t . p_n) - losses[e, n])

With y = exp(t . p), psi = clip(residual, -h, h) and inside = |residual| < h, the second
derivatives are

    by c and c: inside      by c and t: inside y p      by t and t: (inside y^2 + psi y) p p'

summed over runs. Sums of p p' over runs with K different weightings are one product of the
weightings with the N x D (D + 1) / 2 products of shares, which all losses, refits and starts have
in common: most of the time of a search is spent in that product.
Shapes: N runs, D training domains, E evaluation domains, R refits, K fits, M = 1 + D parameters.
"""

from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLinearProblem:
    """What is minimised."""

    weights: Floats
    """Shape (N, D)."""
    losses: Floats
    """Shape (E, N)."""
    counts: Floats
    """Shape (R, N)."""
    low: Floats
    """Lowest parameters, shape (E, R, M)."""
    high: Floats
    """Highest parameters, shape (E, R, M)."""
    huber: float
    """Threshold h, nats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalModel:
    """Value (K,), slope (K, M) and second derivatives (K, M, M)."""

    value: Floats
    slope: Floats
    curve: Floats

    def take(self, rows: Ints) -> "LocalModel":
        """The model of some of the fits."""
        return LocalModel(value=self.value[rows], slope=self.slope[rows], curve=self.curve[rows])


class LogLinearObjective:
    """The objective with its second-order model."""

    def __init__(self, problem: LogLinearProblem) -> None:
        self._problem = problem
        self._weights = problem.weights
        num_domains = problem.weights.shape[1]
        first, second = np.triu_indices(num_domains)
        self._products = problem.weights[:, first] * problem.weights[:, second]
        self._place = np.empty((num_domains, num_domains), dtype=np.int64)
        self._place[first, second] = self._place[second, first] = np.arange(len(first))
        self._plain = bool((problem.counts == 1).all())

    def gram(self, weighting: Floats) -> Floats:
        """Sums of p p' over runs with weights of shape (K, N), shape (K, D, D)."""
        sums: Floats = (weighting @ self._products)[:, self._place]
        return sums

    def value(self, params: Floats, target: Ints, refit: Ints) -> Floats:
        """Value alone, shape (K,); arguments as for `at`."""
        residuals = self._residuals(params, target)[1]
        psi = np.clip(residuals, -self._problem.huber, self._problem.huber)
        counted = psi if self._plain else psi * self._problem.counts[refit]
        return _huber_sum(counted, residuals, psi)

    def at(self, params: Floats, target: Ints, refit: Ints, outer: Floats) -> LocalModel:
        """Value and derivatives at parameters.

        Args:
            params: Shape (K, M).
            target: Evaluation domain of each, shape (K,).
            refit: Row of counts of each, shape (K,).
            outer: What residuals beyond the threshold add to the second derivatives: this share of
                the weight h / |residual| of iterative reweighting, shape (K,), in [0, 1]. 0: exact.
        """
        curve, residuals = self._residuals(params, target)
        psi = np.clip(residuals, -self._problem.huber, self._problem.huber)
        inside = psi == residuals
        if outer.any():
            share = np.where(inside, 1.0, outer[:, None] * psi / np.where(inside, 1.0, residuals))
        else:
            share = inside.astype(np.float64)
        if not self._plain:
            counts = self._problem.counts[refit]
            share *= counts
            counted = psi * counts
        else:
            counted = psi
        value = _huber_sum(counted, residuals, psi)
        slope = np.empty_like(params)
        slope[:, 0] = counted.sum(axis=1)
        bent = counted * curve
        slope[:, 1:] = bent @ self._weights
        second = np.empty((*params.shape, params.shape[1]))
        second[:, 0, 0] = share.sum(axis=1)
        share *= curve
        second[:, 0, 1:] = second[:, 1:, 0] = share @ self._weights
        share *= curve
        share += bent
        second[:, 1:, 1:] = self.gram(share)
        return LocalModel(value=value, slope=slope, curve=second)

    def _residuals(self, params: Floats, target: Ints) -> tuple[Floats, Floats]:
        """exp(t . p) and the residuals, shape (K, N) each."""
        curve = np.exp(params[:, 1:] @ self._weights.T)
        residuals = curve + params[:, :1]
        residuals -= self._problem.losses[target]
        return curve, residuals


def _huber_sum(counted: Floats, residuals: Floats, psi: Floats) -> Floats:
    """Sum of psi (r - psi / 2), the Huber loss on either side of the threshold."""
    value: Floats = np.einsum("kn,kn->k", counted, residuals)
    value -= 0.5 * np.einsum("kn,kn->k", counted, psi)
    return value
