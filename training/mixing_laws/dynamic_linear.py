"""Dynamic linear mixing law: how a stretch of training moves the losses, from forked runs.

    L_i(after) = L_i(before) - sum_j A_ij p_j        i evaluation, j training domain

A checkpoint is forked into several short runs with different weights; each tells the drop of every
evaluation loss. A_ij is the drop of domain i, nats, if the stretch trains on domain j alone. A
holds for the checkpoint and the length of the stretch: fit it again later.

Source: the common form of online mixers in Chen et al. 2024, "Aioli", arXiv:2411.05735 (linear
mixing optimisation, T > 1, factor and offset absorbed in A). Fit: Huber loss, threshold 0.02 nats
(theirs), by iteratively reweighted least squares; it is convex, so one start is enough. Unlike
their fits there is no constant beside A: weights sum to one, and a constant would leave A
determined only up to a number for each row.

The axes carry names, because A transposed is still a matrix and a silent error.
Shapes: F forks, D training domains, E evaluation domains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Ints, require_simplex
from training.robust_fit import HUBER_NATS, RobustProblem, minimise_robustly

LARGEST_DROP = 1e3
"""Bound of the size of A_ij, nats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicLinearLaw:
    """Drops of all evaluation losses over one stretch of training."""

    domains: tuple[str, ...]
    """D training domains: columns of `drops`."""
    eval_domains: tuple[str, ...]
    """E evaluation domains: rows of `drops`."""
    drops: Floats
    """A, shape (E, D), nats per stretch; positive: training on the column lowers the row."""
    explained: Floats
    """Share of the variance of each evaluation domain's drop over the forks, shape (E,), <= 1."""

    def predict(self, before: Floats, weights: Floats) -> Floats:
        """Losses after the stretch, shape (N, E), from losses before (E,) and weights (N, D)."""
        after: Floats = before - weights @ self.drops.T
        return after

    def usefulness(self, importance: Mapping[str, float]) -> dict[str, float]:
        """Importance-weighted drop that each training domain brings, nats.

        Raises:
            ValueError: The names are not those of the evaluation domains.
        """
        if set(importance) != set(self.eval_domains):
            raise ValueError(
                f"importance names {sorted(importance)}, wanted {sorted(self.eval_domains)}"
            )
        total = np.array([importance[name] for name in self.eval_domains]) @ self.drops
        return dict(zip(self.domains, total.tolist(), strict=True))

    def describe(self) -> str:
        """One line per evaluation domain: what helps it, strongest first."""
        lines = []
        for name, row, share in zip(self.eval_domains, self.drops, self.explained, strict=True):
            order = np.argsort(-row)
            terms = ", ".join(f"{self.domains[j]} {row[j]:+.3g}" for j in order)
            lines.append(f"{name}: {terms} (R2 {share:.2f})")
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """Drops keyed by evaluation domain, then training domain."""
        rows = zip(self.eval_domains, self.drops.tolist(), strict=True)
        return {
            "drops": {name: dict(zip(self.domains, row, strict=True)) for name, row in rows},
            "explained": dict(zip(self.eval_domains, self.explained.tolist(), strict=True)),
        }


def fit_dynamic_linear(
    weights: Floats,
    before: Floats,
    after: Floats,
    *,
    domains: Sequence[str],
    eval_domains: Sequence[str],
) -> DynamicLinearLaw:
    """Fit the drops of every evaluation domain.

    Args:
        weights: One row per fork, shape (F, D), rows on the simplex, of full column rank.
        before: Losses of the checkpoint, shape (E,), or of each fork's own one, shape (F, E).
        after: Losses of each fork at the end of the stretch, shape (F, E).
        domains: Names of the columns of the weights.
        eval_domains: Names of the columns of the losses.

    Raises:
        ValueError: Shapes and names do not fit, a loss is not finite, there are not more forks than
            training domains, or the weights do not tell the domains apart.
    """
    num_forks, num_domains = weights.shape
    require_simplex(weights)
    if len(domains) != num_domains or after.shape != (num_forks, len(eval_domains)):
        raise ValueError(
            f"weights {weights.shape} and losses {after.shape} do not fit {len(domains)} training "
            f"and {len(eval_domains)} evaluation domains"
        )
    drop = np.broadcast_to(before, after.shape) - after
    if not np.isfinite(drop).all():
        raise ValueError("losses before and after must be finite")
    if num_forks <= num_domains or np.linalg.matrix_rank(weights) < num_domains:
        raise ValueError(
            f"{num_domains} drops for each evaluation domain need more than {num_domains} forks "
            f"whose weights tell the domains apart, got {num_forks} forks of rank "
            f"{np.linalg.matrix_rank(weights)}"
        )
    fitted = _fit_rows(weights, drop)
    residual = ((drop - weights @ fitted.T) ** 2).sum(axis=0)
    spread = ((drop - drop.mean(axis=0)) ** 2).sum(axis=0)
    return DynamicLinearLaw(
        domains=tuple(domains),
        eval_domains=tuple(eval_domains),
        drops=fitted,
        explained=np.where(spread > 0, 1 - residual / np.where(spread > 0, spread, 1.0), 0.0),
    )


def _fit_rows(weights: Floats, drop: Floats) -> Floats:
    """A, shape (E, D): every evaluation domain is one refit with its own observations."""
    shape = (drop.shape[1], weights.shape[1])

    def linearise(params: Floats, _: Ints) -> tuple[Floats, Floats]:
        return params @ weights.T, np.broadcast_to(weights, (len(params), *weights.shape))

    problem = RobustProblem(
        predict=lambda params, rows: params @ weights.T,
        linearise=linearise,
        losses=drop.T,
        counts=np.ones(drop.T.shape),
        low=np.full(shape, -LARGEST_DROP),
        high=np.full(shape, LARGEST_DROP),
        huber=HUBER_NATS,
    )
    start = np.linalg.lstsq(weights, drop, rcond=None)[0].T
    return minimise_robustly(problem, [start])[0]
