"""Additive mixing law of one evaluation domain: a power of each share, and a line.

    L(p) = b + t . p + sum_j k_j phi(p_j)          phi(x) = ((x + s)^-a - 1) / a,   k_j >= 0

For domains whose loss falls steeply with the first per cents of their own data, more steeply than
an exponential can follow, and stays finite without any: phi(0) is finite because s > 0. a = 0 is
the limit -log(x + s). Convex in p: phi is convex and k_j is not negative; a domain that harms does
so through t.

Source: power laws in the share, as in BiMix (Ge et al. 2024, arXiv:2405.14908: A / p^a of the own
domain), with an offset s instead of a pole at zero, and with the other domains. Deviation: the law
has more parameters than most swarms can pay for, so t and the k of other domains are shrunk to zero
by a ridge in units of standardised columns; the domain's own k is free. The strength of the ridge,
s and a are shared by all evaluation domains and chosen by the sum of their leave-one-out errors in
closed form (Allen 1974, PRESS; Huber loss), computed from the runs of the refit alone, so a run
that is held out has no part in the choice. With these fixed, the others are refined on the Huber
loss (`training.robust_fit`). A fit without ridge and with a shape for each domain is taken instead
where it cuts the leave-one-out error to less than a third (runs without noise). The threshold is
0.02 nats or, if larger, fits the residuals: runs of one seed scatter by more, and a sum of absolute
errors wastes a third of them. Nothing is random.

`refit_signed_additive` leaves the sign of k free: it predicted held-out runs of small noisy swarms
best of all forms tried, but may be concave in a share.
Shapes: N runs, D training domains, E evaluation domains, R refits, M = 2 D + 3 parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats, Ints
from training.mixing_laws.interface import Runs, named_vector, require_runs
from training.robust_fit import (
    HUBER_NATS,
    RobustProblem,
    huber_loss,
    minimise_robustly,
)

OFFSETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
EXPONENTS = (0.0, 1.0)
RIDGES = (1e-10, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)
"""Per run, of standardised coefficients."""
FREE = 1e-10
"""What is left of the ridge for the power of the domain's own share."""
SHAPE_PULL = 1e4
"""Ridge on log s and a, in variances of the loss: they stay where they are unless it is tiny."""
ROUNDS = 2
"""Steps of the shape away from the grid."""
CLEAR_GAIN = 0.3
"""What a shape of its own must leave of the leave-one-out error: it has been fitted to all runs."""
ROBUST_SCALE = 1.345 * 1.4826
"""Times the median absolute residual: the Huber threshold with 95 % efficiency on normal noise."""
OFFSET_RANGE = (1e-4, 1.0)
EXPONENT_RANGE = (0.0, 3.0)
WIDENING = 1.12
"""Of intervals from refits: shrunken numbers scatter less than they are wrong. Measured on
generated laws, where intervals of 90 % held 85 % (50 runs, 9 domains) and 87 % (9 runs, 3)."""
SERIES_BELOW = 1e-5
"""Exponent below which the limit for zero is used, with its first correction."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    intercept: float
    slopes: dict[str, float]
    strengths: dict[str, float]
    offset: float
    exponent: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AdditiveLaw:
    """Fitted parameters."""

    intercept: float
    """b, nats per token."""
    slopes: Floats
    """t, shape (D,), nats per token per unit of share."""
    strengths: Floats
    """k, shape (D,), >= 0."""
    offset: float
    """s, share, in [0.0001, 1]."""
    exponent: float
    """a, in [0, 3]."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        curve = _phi(weights, self.offset, self.exponent)[0]
        return self.intercept + weights @ self.slopes + curve @ self.strengths

    def gradient(self, weights: Floats) -> Floats:
        """Derivative at one mixture of shape (D,)."""
        steepness: Floats = (weights + self.offset) ** (-self.exponent - 1)
        return self.slopes - self.strengths * steepness

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture of shape (D,), shape (D, D)."""
        bend = (self.exponent + 1) * (weights + self.offset) ** (-self.exponent - 2)
        return np.diag(self.strengths * bend)

    def describe(self, domains: Sequence[str]) -> str:
        """The formula with its numbers, strongest domain first."""
        order = np.argsort(-self.strengths)
        powers = " ".join(
            f"{self.strengths[j]:+.3g} phi({domains[j]})" for j in order if self.strengths[j] > 0
        )
        line = " ".join(f"{self.slopes[j]:+.3g} {domains[j]}" for j in order)
        shape = f"phi(x) = ((x + {self.offset:.3g})^-{self.exponent:.3g} - 1) / {self.exponent:.3g}"
        return f"{self.intercept:.4g} {line} {powers}; {shape}"

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        return {
            "intercept": self.intercept,
            "slopes": dict(zip(domains, self.slopes.tolist(), strict=True)),
            "strengths": dict(zip(domains, self.strengths.tolist(), strict=True)),
            "offset": self.offset,
            "exponent": self.exponent,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object], domains: Sequence[str]) -> "AdditiveLaw":
        """Read what `to_json` wrote, in the order of `domains`.

        Raises:
            ValueError: A field is missing, unknown or no number, or the domains differ.
        """
        record = _Record.model_validate(fields)
        return cls(
            intercept=record.intercept,
            slopes=named_vector("slopes", record.slopes, domains),
            strengths=named_vector("strengths", record.strengths, domains),
            offset=record.offset,
            exponent=record.exponent,
        )


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit: one more than b, t, the own k, s and a. The ridge holds the rest."""
    return num_domains + 4


def interval_widening(_runs: int, _domains: int, _eval_domains: int) -> float:
    """How much wider than drawn runs say an interval has to be."""
    return WIDENING


def refit_signed_additive(runs: Runs, counts: Floats) -> list[tuple[AdditiveLaw, ...]]:
    """As `refit_additive`, with k of either sign: laws that need not be convex."""
    return refit_additive(runs, counts, lowest_strength=-np.inf)


def refit_additive(
    runs: Runs, counts: Floats, *, lowest_strength: float = 0.0
) -> list[tuple[AdditiveLaw, ...]]:
    """Fit every evaluation domain once per row of counts.

    Args:
        runs: Weights, losses, and which share is a domain's own.
        counts: How often each run counts in each refit, shape (R, N), >= 0; each row counts at
            least D + 4 different runs.
        lowest_strength: Bound of every k.

    Raises:
        ValueError: The runs or counts cannot be used (see `require_runs`).
    """
    num_domains = runs.weights.shape[1]
    for losses in runs.losses.T:
        require_runs(runs.weights, losses, counts, num_params=num_domains + 3)
    shared = _grid_choice(runs, counts)
    free = shared
    for _ in range(ROUNDS):
        free = _refined(runs, counts, free, np.full(len(counts), RIDGES[0]), lowest_strength)
    (error, strength), (free_error, _) = (
        _best_ridge(runs, counts, each) for each in (shared, free)
    )
    params = _refined(runs, counts, shared, strength, lowest_strength)
    clear = free_error < CLEAR_GAIN * error
    params[clear] = free[clear]
    return [tuple(_law(row, num_domains) for row in refit) for refit in params]


def _law(row: Floats, num_domains: int) -> AdditiveLaw:
    return AdditiveLaw(
        intercept=float(row[0]),
        slopes=row[1 : num_domains + 1],
        strengths=row[num_domains + 1 : -2],
        offset=float(np.exp(row[-2])),
        exponent=float(row[-1]),
    )


def _phi(shares: Floats, offset: Floats | float, exponent: Floats | float) -> tuple[Floats, Floats]:
    """Value of phi and its derivative in the exponent."""
    log = np.log(shares + offset)
    series = np.abs(exponent) < SERIES_BELOW
    safe = np.where(series, 1.0, exponent)
    excess = np.expm1(-safe * log)
    value = np.where(series, -log + exponent * log**2 / 2, excess / safe)
    slope = np.where(series, log**2 / 2, (-log * (excess + 1) - excess / safe) / safe)
    return value, slope


def _design(weights: Floats, offset: Floats, exponent: Floats) -> Floats:
    """Columns 1, p, phi(p) of each refit: shape (R, N, 2 D + 1)."""
    curve = _phi(weights, offset[:, None, None], exponent[:, None, None])[0]
    line = np.column_stack([np.ones(len(weights)), weights])
    return np.concatenate([np.broadcast_to(line, (*curve.shape[:2], line.shape[1])), curve], axis=2)


def _pull(design: Floats, num_domains: int, own: int | None) -> Floats:
    """Ridge of a strength of one, per counted run: variance of each column, shape (R, 2 D + 1)."""
    pull: Floats = design.var(axis=1)
    pull[:, 0] = 0.0
    if own is not None:
        pull[:, 1 + num_domains + own] *= FREE
    return pull


def _grid_choice(runs: Runs, counts: Floats) -> Floats:
    """Best offset, exponent and ridge on the grid for all domains together, shape (R, E, M)."""
    num_refits, num_domains = len(counts), runs.weights.shape[1]
    best = np.full(num_refits, np.inf)
    chosen = np.zeros((num_refits, runs.losses.shape[1], 2 * num_domains + 3))
    for offset, exponent in product(OFFSETS, EXPONENTS):
        tail = np.tile([np.log(offset), exponent], (num_refits, runs.losses.shape[1], 1))
        for strength in RIDGES:
            fits = [
                _ridge_fit(runs, counts, target, strength, tail[:, target])
                for target in range(runs.losses.shape[1])
            ]
            error = np.sum([fit[1] for fit in fits], axis=0)
            better = error < best
            best = np.where(better, error, best)
            params = np.concatenate([np.stack([fit[0] for fit in fits], axis=1), tail], axis=2)
            chosen[better] = params[better]
    return chosen


def _best_ridge(runs: Runs, counts: Floats, params: Floats) -> tuple[Floats, Floats]:
    """Smallest summed leave-one-out error at these shapes, and its ridge, shape (R,) each."""
    targets = range(runs.losses.shape[1])
    errors = np.array(
        [
            np.sum(
                [_ridge_fit(runs, counts, t, ridge, params[:, t, -2:])[1] for t in targets], axis=0
            )
            for ridge in RIDGES
        ]
    )
    return errors.min(axis=0), np.array(RIDGES)[errors.argmin(axis=0)]


def _refined(
    runs: Runs, counts: Floats, params: Floats, strength: Floats, lowest_strength: float
) -> Floats:
    """Minimise the Huber loss of each domain with the ridge `strength`, shape (R,), per run."""
    columns = []
    for target in range(runs.losses.shape[1]):
        start = params[:, target]
        design = _design(runs.weights, np.exp(start[:, -2]), start[:, -1])
        pull = _pull(design, runs.weights.shape[1], runs.own_columns[target])
        tail = np.full((len(counts), 2), SHAPE_PULL * runs.losses[:, target].var())
        ridge = (strength * counts.sum(axis=1))[:, None] * np.concatenate([pull, tail], axis=1)
        problem = _problem(runs.weights, runs.losses[:, target], counts, ridge, start)
        problem.low[:, runs.weights.shape[1] + 1 : -2] = lowest_strength
        columns.append(minimise_robustly(problem, [start])[0])
    return np.stack(columns, axis=1)


def _ridge_fit(
    runs: Runs, counts: Floats, target: int, strength: float, shape: Floats
) -> tuple[Floats, Floats]:
    """Ridge regression of one domain, shape (R, 2 D + 1), and its leave-one-run-out error, (R,).

    `shape` holds log s and a of each refit, shape (R, 2). All copies of a run leave together.
    """
    design = _design(runs.weights, np.exp(shape[:, 0]), shape[:, 1])
    losses = runs.losses[:, target]
    pull = _pull(design, runs.weights.shape[1], runs.own_columns[target])
    ridge = strength * counts.sum(axis=1)[:, None] * pull + 1e-12
    weighted = design * counts[:, :, None]
    normal = np.matmul(design.transpose(0, 2, 1), weighted)
    inverse = np.linalg.inv(normal + ridge[:, :, None] * np.eye(design.shape[2]))
    vector = np.einsum("rnm,n->rm", weighted, losses)
    coefficients = np.einsum("rij,rj->ri", inverse, vector)
    leverage = counts * (np.matmul(design, inverse) * design).sum(axis=2)
    fitted = np.einsum("rnm,rm->rn", design, coefficients)
    left_out = (losses - fitted) / np.maximum(1 - leverage, 1e-9)
    return coefficients, (counts * huber_loss(left_out, HUBER_NATS)).sum(axis=1)


def _problem(
    weights: Floats, losses: Floats, counts: Floats, ridge: Floats, start: Floats
) -> RobustProblem:
    """Parameters b, t, k, log s, a of each refit, their bounds, and the pull to zero and start."""
    num_domains = weights.shape[1]

    def curve(params: Floats) -> tuple[Floats, Floats]:
        return _phi(weights, np.exp(params[:, -2, None, None]), params[:, -1, None, None])

    def predict(params: Floats, _: Ints) -> Floats:
        return _level(params, curve(params)[0])

    def _level(params: Floats, values: Floats) -> Floats:
        line = params[:, :1] + params[:, 1 : num_domains + 1] @ weights.T
        predicted: Floats = line + np.einsum("rnd,rd->rn", values, params[:, num_domains + 1 : -2])
        return predicted

    def linearise(params: Floats, _: Ints) -> tuple[Floats, Floats]:
        values, by_exponent = curve(params)
        k, s = params[:, num_domains + 1 : -2], np.exp(params[:, -2, None, None])
        by_offset = -s * (weights + s) ** (-params[:, -1, None, None] - 1)
        design = np.concatenate(
            [
                np.ones((len(params), len(weights), 1)),
                np.broadcast_to(weights, values.shape),
                values,
                np.einsum("rnd,rd->rn", by_offset, k)[:, :, None],
                np.einsum("rnd,rd->rn", by_exponent, k)[:, :, None],
            ],
            axis=2,
        )
        return _level(params, values), design

    fitted = np.einsum(
        "rnm,rm->rn", _design(weights, np.exp(start[:, -2]), start[:, -1]), start[:, :-2]
    )
    size = np.where(counts > 0, np.abs(losses - fitted), np.nan)
    prior = np.zeros_like(ridge)
    prior[:, -2:] = start[:, -2:]
    low = np.full((len(counts), 2 * num_domains + 3), -np.inf)
    low[:, -2:] = np.log(OFFSET_RANGE[0]), EXPONENT_RANGE[0]
    high = np.full_like(low, np.inf)
    high[:, -2:] = np.log(OFFSET_RANGE[1]), EXPONENT_RANGE[1]
    return RobustProblem(
        predict=predict,
        linearise=linearise,
        losses=losses,
        counts=counts,
        low=low,
        high=high,
        huber=np.maximum(HUBER_NATS, ROBUST_SCALE * np.nanmedian(size, axis=1)),
        ridge=ridge,
        prior=prior,
    )
