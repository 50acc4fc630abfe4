"""Laws in mixture, parameters and tokens together: for extrapolation across scale.

    additive      L(p, N, D) = E + exp(t . p) + A / N^a + B / D^b
    log_linear    L(p, N, D) = E + exp(u . p) / N^a + exp(v . p) / D^b

In the additive form the mixture moves the loss by the same amount at every scale; in the log-linear
one it multiplies what parameters and tokens still have to give, so its effect shrinks as the loss
nears E. Both are convex in p: at fixed N and D each is a mixing law, which `at` returns, so all
that consumes a mixing law consumes these.

Source: L = E + A / N^a + B / D^b of Hoffmann et al. 2022, "Training Compute-Optimal Large Language
Models", arXiv:2203.15556; mixture terms as in the additive and joint laws of Shukor et al. 2025,
"Scaling Laws for Optimal Data Mixtures", arXiv:2507.09404. Deviation: their mixture terms are
powers of a linear form; here they are exponentials of one, as in the mixing law that is fitted at a
single scale. N and D are divided by the geometric means of the runs: A, B, exp(u_j) and exp(v_j)
are nats at that reference. Huber loss, threshold 0.02 nats; starts: exponents on a grid, the rest
in closed form, each followed to its end (`training.robust_fit`). Nothing is random. a, b in
[0.02, 2]; E >= 0.
Shapes: K runs, D training domains (D in the formulas: tokens).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from training.arrays import Floats, Ints
from training.mixing_laws.interface import require_runs
from training.robust_fit import RobustProblem, minimise_robustly, weighted_least_squares

EXPONENT_RANGE = (0.02, 2.0)
START_EXPONENTS = (0.15, 0.35, 0.7)
LIMIT_SHARES = (0.3, 0.6, 0.9)
"""Starting values of E as shares of the lowest loss."""
DEPTH = 50.0
"""Bound of the size of t, u and v."""
Form = Literal["additive", "log_linear"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentialSum:
    """A mixing law at one scale: constant plus exponentials of the weights."""

    constant: float
    """Nats per token, >= 0."""
    exponents: Floats
    """One row per exponential, shape (T, D)."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        total: Floats = self.constant + np.exp(weights @ self.exponents.T).sum(axis=1)
        return total

    def gradient(self, weights: Floats) -> Floats:
        """Derivative at one mixture of shape (D,)."""
        slope: Floats = np.exp(self.exponents @ weights) @ self.exponents
        return slope

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture of shape (D,), shape (D, D)."""
        sizes = np.exp(self.exponents @ weights)
        bend: Floats = (self.exponents.T * sizes) @ self.exponents
        return bend

    def describe(self, domains: Sequence[str]) -> str:
        """The formula with its numbers."""
        terms = [
            "exp(" + " ".join(f"{t:+.3g} {d}" for t, d in zip(row, domains, strict=True)) + ")"
            for row in self.exponents
        ]
        return " + ".join([f"{self.constant:.4g}", *terms])

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        rows = [dict(zip(domains, row.tolist(), strict=True)) for row in self.exponents]
        return {"constant": self.constant, "exponents": rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaledLaw:
    """Loss of one evaluation domain as a function of mixture, parameters and tokens."""

    form: Form
    """Which formula."""
    limit: float
    """E, nats per token."""
    exponents: tuple[float, float]
    """a of the parameters, b of the tokens."""
    references: tuple[float, float]
    """Parameters and tokens that the amplitudes belong to."""
    amplitudes: tuple[float, float]
    """A and B at the references, nats; ones in the log-linear form, whose u and v hold them."""
    sensitivities: Floats
    """t, shape (1, D), or u and v, shape (2, D)."""

    def at(self, *, params: float, tokens: float) -> ExponentialSum:
        """Return the mixing law of runs of this size and length.

        Raises:
            ValueError: Parameters or tokens are not positive.
        """
        if not (params > 0 and tokens > 0):
            raise ValueError(f"params and tokens must be positive, got {params} and {tokens}")
        scale = np.array([params, tokens]) / self.references
        terms = np.array(self.amplitudes) * scale ** -np.array(self.exponents)
        if self.form == "additive":
            return ExponentialSum(
                constant=self.limit + float(terms.sum()), exponents=self.sensitivities
            )
        shifted = self.sensitivities + np.log(terms)[:, None]
        return ExponentialSum(constant=self.limit, exponents=shifted)

    def predict(self, weights: Floats, params: Floats, tokens: Floats) -> Floats:
        """Map K mixtures, shape (K, D), with their sizes and lengths to losses, shape (K,)."""
        rows = zip(weights, params.tolist(), tokens.tolist(), strict=True)
        return np.array([self.at(params=n, tokens=d).predict(row[None])[0] for row, n, d in rows])


def fit_scaled_law(
    weights: Floats, params: Floats, tokens: Floats, losses: Floats, *, form: Form = "log_linear"
) -> ScaledLaw:
    """Fit one evaluation domain.

    Args:
        weights: One row per run, shape (K, D), rows on the simplex.
        params: Parameters of each run, shape (K,), > 0, at least two values.
        tokens: Training tokens of each run, shape (K,), > 0, at least two values.
        losses: Held-out losses, shape (K,), nats per token, > 0.
        form: Which formula.

    Raises:
        ValueError: An argument breaks one of the conditions above, the form is unknown, or there
            are no more runs than free parameters.
    """
    num_domains = weights.shape[1]
    if form not in ("additive", "log_linear"):
        raise ValueError(f"form must be additive or log_linear, got {form!r}")
    num_free = {"additive": num_domains + 4, "log_linear": 2 * num_domains + 3}[form]
    counts = np.ones((1, len(weights)))
    require_runs(weights, losses, counts, num_params=num_free)
    for name, sizes in (("params", params), ("tokens", tokens)):
        if sizes.shape != losses.shape or not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(f"{name} must be positive, shape {losses.shape}, got {sizes}")
        if len(np.unique(sizes)) < 2:
            raise ValueError(f"{name} is {sizes[0]} in every run: no exponent can be fitted")
    references = tuple(float(np.exp(np.log(sizes).mean())) for sizes in (params, tokens))
    logs = np.column_stack([np.log(params / references[0]), np.log(tokens / references[1])])
    build = _additive if form == "additive" else _log_linear
    problem, starts = build(weights, logs, losses)
    row = minimise_robustly(problem, starts)[0][0]
    amplitudes = (float(row[3]), float(row[4])) if form == "additive" else (1.0, 1.0)
    return ScaledLaw(
        form=form,
        limit=float(row[0]),
        exponents=(float(row[1]), float(row[2])),
        references=(references[0], references[1]),
        amplitudes=amplitudes,
        sensitivities=row[5 if form == "additive" else 3 :].reshape(-1, num_domains),
    )


Built = tuple[RobustProblem, Iterator[Floats]]


def _additive(weights: Floats, logs: Floats, losses: Floats) -> Built:
    """Parameters E, a, b, A, B, t; A and B are the sizes of the two scale terms."""

    def linearise(q: Floats, _: Ints) -> tuple[Floats, Floats]:
        powers = np.exp(-q[:, None, 1:3] * logs)
        mixture = np.exp(q[:, 5:] @ weights.T)
        sized = q[:, None, 3:5] * powers
        ones = np.ones((*mixture.shape, 1))
        design = np.concatenate(
            [ones, -logs * sized, powers, mixture[:, :, None] * weights], axis=2
        )
        return q[:, :1] + sized.sum(axis=2) + mixture, design

    def starts() -> Iterator[Floats]:
        for share, a, b in product(LIMIT_SHARES, START_EXPONENTS, START_EXPONENTS):
            # Shares stand in for the mixture term: its mean over the runs is a third of the gap.
            powers = np.exp(-np.array([a, b]) * logs)
            gap = (1 - share) * losses.min()
            design = np.column_stack([powers, weights])
            line = weighted_least_squares(design, losses[None], np.ones((1, len(losses))))[0]
            level = line[2:] - line[2:].min() + gap / 3
            limit = max(line[2:].min() - gap / 3, 0.0)
            yield np.r_[limit, a, b, np.maximum(line[:2], 1e-3), np.log(level)][None]

    width = weights.shape[1]
    ceiling = losses.max()
    low = np.r_[0.0, EXPONENT_RANGE[0], EXPONENT_RANGE[0], 0.0, 0.0, np.full(width, -DEPTH)]
    top = np.log(10 * ceiling)
    high = np.r_[ceiling, EXPONENT_RANGE[1], EXPONENT_RANGE[1], np.full(2, 10 * ceiling)]
    return _problem(linearise, losses, low, np.r_[high, np.full(width, top)]), starts()


def _log_linear(weights: Floats, logs: Floats, losses: Floats) -> Built:
    """Parameters E, a, b, u, v."""
    width = weights.shape[1]

    def linearise(q: Floats, _: Ints) -> tuple[Floats, Floats]:
        u, v = q[:, 3 : 3 + width] @ weights.T, q[:, 3 + width :] @ weights.T
        terms = np.exp(np.stack([u, v], axis=2) - q[:, None, 1:3] * logs)
        ones = np.ones((*u.shape, 1))
        design = np.concatenate(
            [ones, -logs * terms, terms[:, :, :1] * weights, terms[:, :, 1:] * weights], axis=2
        )
        return q[:, :1] + terms.sum(axis=2), design

    def starts() -> Iterator[Floats]:
        for share, a, b in product(LIMIT_SHARES, START_EXPONENTS, START_EXPONENTS):
            # Half of the gap for each term, both with the mixture's effect on the whole gap.
            half = (losses - share * losses.min()) / 2
            by_size = (np.log(half) + a * logs[:, 0])[None]
            by_length = (np.log(half) + b * logs[:, 1])[None]
            u, v = (
                weighted_least_squares(weights, target, half[None] ** 2)[0]
                for target in (by_size, by_length)
            )
            yield np.r_[share * losses.min(), a, b, u, v][None]

    low = np.r_[0.0, EXPONENT_RANGE[0], EXPONENT_RANGE[0], np.full(2 * width, -DEPTH)]
    ceiling = losses.max()
    high = np.r_[
        ceiling, EXPONENT_RANGE[1], EXPONENT_RANGE[1], np.full(2 * width, np.log(10 * ceiling))
    ]
    return _problem(linearise, losses, low, high), starts()


def _problem(
    linearise: Callable[[Floats, Ints], tuple[Floats, Floats]],
    losses: Floats,
    low: Floats,
    high: Floats,
) -> RobustProblem:
    return RobustProblem(
        predict=lambda params, rows: linearise(params, rows)[0],
        linearise=linearise,
        losses=losses,
        counts=np.ones((1, len(losses))),
        low=low[None],
        high=high[None],
    )
