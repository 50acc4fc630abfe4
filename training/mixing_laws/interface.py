"""What a mixing law offers, and what a family of laws offers.

A law maps weights to the held-out loss of one evaluation domain. A family fits laws. Refitting
takes a stack of counts, because leaving runs out and drawing runs with replacement are both ways
of counting each run 0, 1, 2 ... times, and a family can then fit the whole stack at once.
Shapes: N runs, D training domains, R refits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from training.arrays import Floats


class Law(Protocol):
    """Held-out loss of one evaluation domain as a convex function of the weights."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        ...

    def gradient(self, weights: Floats) -> Floats:
        """Derivative of the loss at one mixture of shape (D,); shape (D,)."""
        ...

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture of shape (D,); shape (D, D), positive semidefinite."""
        ...

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LawFamily:
    """One entry of `LAWS`. Calling it fits one law."""

    refit: Callable[[Floats, Floats, Floats], Sequence[Law]]
    """(weights (N, D), losses (N,), counts (R, N)) -> R laws."""
    fit: Callable[[Floats, Floats], Law]
    """(weights (N, D), losses (N,)) -> the law of all runs."""
    from_json: Callable[[Mapping[str, object], Sequence[str]], Law]
    """Inverse of `Law.to_json`, given the names in the order of the weights."""
    min_runs: Callable[[int], int]
    """Number of domains -> fewest runs that a fit accepts."""

    def __call__(self, weights: Floats, losses: Floats) -> Law:
        """Fit one law to weights (N, D) and losses (N,)."""
        return self.fit(weights, losses)
