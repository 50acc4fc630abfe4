"""What a mixing law offers, and what a family of laws offers.

A law maps weights to the held-out loss of one evaluation domain. A family fits laws. Refitting
takes a stack of counts, because leaving runs out and drawing runs with replacement are both ways
of counting each run 0, 1, 2 ... times, and a family can then fit the whole stack at once. It takes
the losses of all evaluation domains, because a family may share parameters between them; one that
does not is written for a single domain and wrapped by `each_domain`.

A law of a convex family is a `ConvexLaw`: only those can be minimised on the simplex to a global
optimum. A family says which it is; a consumer that needs convexity asks and refuses.
Shapes: N runs, D training domains, E evaluation domains, R refits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from training.arrays import Floats, require_simplex


class Law(Protocol):
    """Held-out loss of one evaluation domain as a function of the weights."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        ...

    def describe(self, domains: Sequence[str]) -> str:
        """One line for a reader: the formula with its numbers, by the training domains' names."""
        ...

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        ...


@runtime_checkable
class ConvexLaw(Law, Protocol):
    """A law that is convex on the simplex, with the derivatives that a minimiser needs."""

    def gradient(self, weights: Floats) -> Floats:
        """Derivative of the loss at one mixture of shape (D,); shape (D,)."""
        ...

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture of shape (D,); shape (D, D), positive semidefinite."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """What a family fits."""

    weights: Floats
    """One row per run, shape (N, D), rows on the simplex."""
    losses: Floats
    """Held-out losses, shape (N, E), nats per token."""
    own_columns: tuple[int | None, ...]
    """For each evaluation domain its column of the weights; None: it is no training domain."""


Refit = Callable[[Runs, Floats], Sequence[Sequence[Law]]]
"""(runs, counts (R, N)) -> for each row of counts the laws of all E evaluation domains."""


def _as_drawn(_runs: int, _domains: int, _eval_domains: int) -> float:
    return 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LawFamily:
    """One entry of `LAWS`. Calling it fits one law."""

    refit: Refit
    """Fits every evaluation domain once per row of counts."""
    from_json: Callable[[Mapping[str, object], Sequence[str]], Law]
    """Inverse of `Law.to_json`, given the names in the order of the weights."""
    min_runs: Callable[[int], int]
    """Number of domains -> fewest runs that a fit accepts."""
    convex: bool
    """Every law of the family is a `ConvexLaw`."""
    formula: str
    """The form in one line."""
    intervals: Literal["bootstrap", "heldout"] = "bootstrap"
    """Where intervals of predictions come from: refits on drawn runs, for laws with few numbers,
    or the errors on left-out runs, for laws that are too large to be kept hundreds of times."""
    widening: Callable[[int, int, int], float] = _as_drawn
    """(runs, training domains, evaluation domains) -> how much wider than refits on drawn runs an
    interval has to be, >= 1."""

    def __call__(self, weights: Floats, losses: Floats) -> Law:
        """Fit one law to weights (N, D) and losses (N,)."""
        runs = Runs(weights=weights, losses=np.reshape(losses, (-1, 1)), own_columns=(None,))
        return self.refit(runs, np.ones((1, len(weights))))[0][0]


def each_domain(refit: Callable[[Floats, Floats, Floats], Sequence[Law]]) -> Refit:
    """Turn (weights (N, D), losses (N,), counts (R, N)) -> R laws into a fit of all domains."""

    def refit_all(runs: Runs, counts: Floats) -> list[tuple[Law, ...]]:
        columns = [refit(runs.weights, losses, counts) for losses in runs.losses.T]
        return list(zip(*columns, strict=True))

    return refit_all


def named_vector(what: str, values: Mapping[str, float], domains: Sequence[str]) -> Floats:
    """Values in the order of the domains, shape (D,).

    Raises:
        ValueError: The names differ from the domains; the message starts with `what`.
    """
    if set(values) != set(domains):
        raise ValueError(f"{what} of {sorted(values)}, wanted {sorted(domains)}")
    return np.array([values[domain] for domain in domains], dtype=np.float64)


def require_runs(weights: Floats, losses: Floats, counts: Floats, *, num_params: int) -> None:
    """Refuse runs that no fit of one evaluation domain can use.

    Args:
        weights: Shape (N, D).
        losses: Shape (N,).
        counts: Shape (R, N).
        num_params: Free parameters of the law: each refit must count more different runs.

    Raises:
        ValueError: Weights off the simplex, losses that are not positive and finite or whose
            number differs, counts that are negative or of another shape, or too few runs.
    """
    num_runs = len(weights)
    require_simplex(weights)
    if losses.shape != (num_runs,) or not (np.isfinite(losses) & (losses > 0)).all():
        raise ValueError(f"losses must be positive and finite, shape ({num_runs},), got {losses}")
    if counts.ndim != 2 or counts.shape[1] != num_runs or not (counts >= 0).all():
        raise ValueError(f"counts must be >= 0 with shape (R, {num_runs}), got {counts.shape}")
    fewest = int((counts > 0).sum(axis=1).min())
    if fewest <= num_params:
        raise ValueError(f"{num_params} parameters need more than {num_params} runs, got {fewest}")
