"""A smooth law, and boosted trees for what it leaves over; one evaluation domain.

    L(p) = base(p) + sum of regression trees in the shares

The base extrapolates, the trees correct it where there are runs. The number of trees is chosen on
left-out runs, with the base refitted without them, so that trees do not learn what an overfitted
base leaves over; when nothing repeatable is left it is zero and the law is its base. The base is
any family for one domain; `LAWS` says which.
Shapes: N runs, D training domains, R refits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats
from training.mixing_laws.interface import Law, LawFamily, each_domain, require_runs
from training.tree_ensemble import (
    INNER_FOLDS,
    TreeEnsemble,
    choose_num_trees,
    grow_trees,
    inner_folds,
)

Refit = Callable[[Floats, Floats, Floats], Sequence[Law]]
"""(weights (N, D), losses (N,), counts (R, N)) -> R laws of one domain."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    base: dict[str, object]
    trees: dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class BoostedResidualLaw:
    """A fitted base with its correction."""

    base: Law
    """The smooth part."""
    trees: TreeEnsemble
    """The correction, nats per token."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        return self.base.predict(weights) + self.trees.predict(weights)

    def describe(self, domains: Sequence[str]) -> str:
        """The base, and how many trees correct it."""
        return f"{self.base.describe(domains)} + {len(self.trees.value)} trees"

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters of both parts."""
        return {"base": self.base.to_json(domains), "trees": self.trees.to_json(domains)}


def boosted_residual(
    refit: Refit,
    *,
    from_json: Callable[[Mapping[str, object], Sequence[str]], Law],
    min_runs: Callable[[int], int],
    formula: str,
) -> LawFamily:
    """The family with a given base.

    Args:
        refit: Fits the base for one domain.
        from_json: Reads the base.
        min_runs: Number of domains -> fewest runs of the base.
        formula: Of the base.
    """

    def fewest(num_domains: int) -> int:
        # Three quarters of the runs must still be enough for the base.
        return max(20, -(-min_runs(num_domains) * INNER_FOLDS // (INNER_FOLDS - 1)) + 1)

    def refit_all(weights: Floats, losses: Floats, counts: Floats) -> list[BoostedResidualLaw]:
        require_runs(weights, losses, counts, num_params=fewest(weights.shape[1]) - 1)
        return [_fit(refit, weights, losses, row) for row in counts]

    def read(fields: Mapping[str, object], domains: Sequence[str]) -> BoostedResidualLaw:
        record = _Record.model_validate(fields)
        return BoostedResidualLaw(
            base=from_json(record.base, domains),
            trees=TreeEnsemble.from_json(record.trees, domains),
        )

    return LawFamily(
        refit=each_domain(refit_all),
        from_json=read,
        min_runs=fewest,
        convex=False,
        formula=f"{formula} + trees(p)",
        intervals="heldout",
    )


def _fit(refit: Refit, weights: Floats, losses: Floats, counts: Floats) -> BoostedResidualLaw:
    """Base on all runs, trees on its residuals, as many as help bases that saw fewer runs."""
    folds = inner_folds(weights, counts)
    without = [np.where(folds == fold, 0.0, counts) for fold in range(int(folds.max()) + 1)]
    *partial, base = refit(weights, losses, np.array([*without, counts]))
    left_out = np.column_stack([losses - law.predict(weights) for law in partial])
    residuals = losses - base.predict(weights)
    num_trees = choose_num_trees(weights, residuals, counts, left_out=left_out)
    trees = grow_trees(weights, residuals, counts, num_trees=num_trees)
    if num_trees == 0:  # the mean residual is noise as well
        trees = TreeEnsemble(
            offset=0.0,
            feature=trees.feature,
            threshold=trees.threshold,
            left=trees.left,
            right=trees.right,
            value=trees.value,
        )
    return BoostedResidualLaw(base=base, trees=trees)
