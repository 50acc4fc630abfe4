"""Quadratic mixing law of one evaluation domain.

    L(p) = sum_i t_i p_i + sum_{i<j} b_ij p_i p_j          p on the simplex, nats per token

The canonical polynomial of mixtures (Scheffe 1958, "Experiments with Mixtures", J. R. Stat. Soc. B
20): constant and squares are left out, because p sums to 1 and p_i^2 = p_i - sum_{j!=i} p_i p_j.
Deviation: D(D - 1)/2 interactions are often more than there are runs, so they carry a ridge
penalty; its strength is the one with the smallest leave-one-out error, which a linear fit gives
in closed form. b_ij < 0 means that the two domains help each other. Not convex.
Shapes: N runs, D training domains, M = D(D + 1)/2 terms, R refits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats
from training.mixing_laws.interface import require_runs

PENALTIES = np.logspace(-8, 2, 21)
"""Strengths of the ridge, per run, on interactions divided by their standard deviation."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    corner_losses: dict[str, float]
    interactions: dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class QuadraticLaw:
    """Fitted parameters."""

    corner_losses: Floats
    """t, shape (D,), nats per token."""
    interactions: Floats
    """b, shape (D, D), symmetric with a zero diagonal; b_ij counts once per pair."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        pairs = 0.5 * np.einsum("ni,ij,nj->n", weights, self.interactions, weights)
        predicted: Floats = weights @ self.corner_losses + pairs
        return predicted

    def describe(self, domains: Sequence[str]) -> str:
        """The corner losses, most helpful domain first, and the strongest interactions."""
        order = np.argsort(self.corner_losses)
        text = " ".join(f"{self.corner_losses[j]:+.3g} {domains[j]}" for j in order)
        first, second = np.triu_indices(len(domains), k=1)
        strongest = np.argsort(-np.abs(self.interactions[first, second]))[:3]
        pairs = " ".join(
            f"{self.interactions[i, j]:+.3g} {domains[i]}*{domains[j]}"
            for i, j in zip(first[strongest], second[strongest], strict=True)
        )
        return f"{text}; {pairs} ..."

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        rows = (dict(zip(domains, row.tolist(), strict=True)) for row in self.interactions)
        return {
            "corner_losses": dict(zip(domains, self.corner_losses.tolist(), strict=True)),
            "interactions": dict(zip(domains, rows, strict=True)),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object], domains: Sequence[str]) -> "QuadraticLaw":
        """Read what `to_json` wrote, in the order of `domains`.

        Raises:
            ValueError: A field is missing, unknown or no number, or the domains differ.
        """
        record = _Record.model_validate(fields)
        named = [set(record.corner_losses), set(record.interactions)]
        named += [set(row) for row in record.interactions.values()]
        if any(one != set(domains) for one in named):
            raise ValueError(
                f"corner_losses and interactions must name {sorted(domains)} and nothing else"
            )
        return cls(
            corner_losses=np.array([record.corner_losses[name] for name in domains]),
            interactions=np.array(
                [[record.interactions[row][name] for name in domains] for row in domains]
            ),
        )


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit: two more than the D terms without a penalty."""
    return num_domains + 2


def refit_quadratic(weights: Floats, losses: Floats, counts: Floats) -> list[QuadraticLaw]:
    """Fit one law per row of counts; each chooses its own penalty from the runs it counts.

    Args:
        weights: One row per run, shape (N, D), rows on the simplex.
        losses: Held-out losses, shape (N,), nats per token, > 0.
        counts: How often each run counts in each refit, shape (R, N), >= 0; each row counts more
            than D + 1 different runs.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    num_domains = weights.shape[1]
    require_runs(weights, losses, counts, num_params=num_domains + 1)
    first, second = np.triu_indices(num_domains, k=1)
    products = weights[:, first] * weights[:, second]
    laws = []
    for row in counts:
        seen = row > 0
        corner_losses, pairs = _ridge(weights[seen], products[seen], losses[seen], row[seen])
        interactions = np.zeros((num_domains, num_domains))
        interactions[first, second] = interactions[second, first] = pairs
        laws.append(QuadraticLaw(corner_losses=corner_losses, interactions=interactions))
    return laws


def _ridge(
    weights: Floats, products: Floats, losses: Floats, counts: Floats
) -> tuple[Floats, Floats]:
    """Linear terms, shape (D,), and interactions, shape (M - D,), at the best penalty.

    The linear terms are free, so they are projected out first; what is left of the products is
    decomposed once, and every penalty costs only a scaling of its singular values. A run with a
    count of 2 leaves as a whole, so that its copy tells nothing.
    """
    root = np.sqrt(counts)[:, None]
    scale = products.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    basis, triangle = np.linalg.qr(root * weights, mode="reduced")
    pairs = root * products / scale
    target = root[:, 0] * losses
    across = basis.T @ pairs
    left, sizes, right = np.linalg.svd(pairs - basis @ across, full_matrices=False)
    inside = basis.T @ target
    rest = target - basis @ inside
    along = left.T @ rest
    best_error, best_shrink = np.inf, np.zeros_like(sizes)
    for penalty in PENALTIES * counts.sum():
        kept = sizes**2 / (sizes**2 + penalty)
        leverage = (basis**2).sum(axis=1) + (left**2) @ kept
        residual = (rest - left @ (kept * along)) / np.maximum(1 - leverage, 1e-9)
        error = float((residual**2).sum())
        if error < best_error:
            best_error, best_shrink = error, sizes / (sizes**2 + penalty)
    scaled = right.T @ (best_shrink * along)
    corner_losses = np.linalg.lstsq(triangle, inside - across @ scaled, rcond=None)[0]
    return corner_losses, scaled / scale
