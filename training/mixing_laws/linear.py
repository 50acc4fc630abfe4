"""Linear mixing law of one evaluation domain: the least that a law can say.

    L(p) = t . p                   p on the simplex; t_j is the loss at corner j, nats per token

Least squares. There is no constant: since p sums to 1, it would only be added to every t_j. The
law cannot say that the first per cent of a domain helps more than the second, so its best mixture
is always a corner; it is here to be beaten.
Shapes: N runs, D training domains, R refits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats
from training.mixing_laws.interface import require_runs


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    corner_losses: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearLaw:
    """Fitted parameters."""

    corner_losses: Floats
    """t, shape (D,), nats per token."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        predicted: Floats = weights @ self.corner_losses
        return predicted

    def gradient(self, weights: Floats) -> Floats:
        """Derivative at one mixture of shape (D,): the same everywhere."""
        del weights
        return self.corner_losses.copy()

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture of shape (D,): zero, shape (D, D)."""
        return np.zeros((len(weights), len(weights)))

    def describe(self, domains: Sequence[str]) -> str:
        """The formula with its numbers, most helpful domain first."""
        order = np.argsort(self.corner_losses)
        return " ".join(f"{self.corner_losses[j]:+.3g} {domains[j]}" for j in order)

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        return {"corner_losses": dict(zip(domains, self.corner_losses.tolist(), strict=True))}

    @classmethod
    def from_json(cls, fields: Mapping[str, object], domains: Sequence[str]) -> "LinearLaw":
        """Read what `to_json` wrote, in the order of `domains`.

        Raises:
            ValueError: A field is missing, unknown or no number, or the domains differ.
        """
        record = _Record.model_validate(fields)
        if set(record.corner_losses) != set(domains):
            raise ValueError(
                f"corner_losses of {sorted(record.corner_losses)}, wanted {sorted(domains)}"
            )
        return cls(corner_losses=np.array([record.corner_losses[name] for name in domains]))


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit: one more than the D parameters."""
    return num_domains + 1


def refit_linear(weights: Floats, losses: Floats, counts: Floats) -> list[LinearLaw]:
    """Fit one law per row of counts.

    Args:
        weights: One row per run, shape (N, D), rows on the simplex.
        losses: Held-out losses, shape (N,), nats per token, > 0.
        counts: How often each run counts in each refit, shape (R, N), >= 0; each row counts more
            than D different runs.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    require_runs(weights, losses, counts, num_params=weights.shape[1])
    laws = []
    for row in np.sqrt(counts):
        corner_losses = np.linalg.lstsq(row[:, None] * weights, row * losses, rcond=None)[0]
        laws.append(LinearLaw(corner_losses=corner_losses))
    return laws
