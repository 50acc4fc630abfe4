"""Boosted trees as a mixing law of one evaluation domain.

    L(p) = mean loss + sum of regression trees in the shares

Source: Liu et al. 2024, "RegMix", arXiv:2407.01492, who fit LightGBM with a learning rate of .01
and 1000 trees and stop early by the *test* rows. Deviation: the number of trees is chosen by folds
of the runs themselves, and trees are smaller and bagged (see `tree_ensemble`): on their 512 runs
that ranks as well at a fraction of the cost. Trees are constant outside the runs, so the law
cannot see beyond them, and it is not convex: no proof of an optimum.
Shapes: N runs, D training domains, R refits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats
from training.mixing_laws.interface import require_runs
from training.tree_ensemble import TreeEnsemble, choose_num_trees, grow_trees

FEWEST_RUNS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class BoostedTreesLaw:
    """A fitted ensemble."""

    trees: TreeEnsemble
    """Over the shares."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        return self.trees.predict(weights)

    def describe(self, domains: Sequence[str]) -> str:
        """How many trees, and the domains that they ask for most."""
        return f"{self.trees.offset:.4g} + {len(self.trees.value)} trees; " + most_asked(
            self.trees, domains
        )

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Trees with the names of the training domains."""
        return self.trees.to_json(domains)

    @classmethod
    def from_json(cls, fields: Mapping[str, object], domains: Sequence[str]) -> "BoostedTreesLaw":
        """Read what `to_json` wrote, for weights in the order of `domains`.

        Raises:
            ValueError: As `TreeEnsemble.from_json`.
        """
        return cls(trees=TreeEnsemble.from_json(fields, domains))


def most_asked(trees: TreeEnsemble, domains: Sequence[str], *, how_many: int = 3) -> str:
    """The domains that most splits ask for, with their share of the splits."""
    splits = trees.feature[trees.left != np.arange(trees.left.shape[1])]
    asked = np.bincount(splits, minlength=len(domains)) / max(len(splits), 1)
    order = np.argsort(-asked)[:how_many]
    return "splits on " + ", ".join(f"{domains[j]} {asked[j]:.0%}" for j in order)


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit: four leaves of runs, and more than a line would need."""
    return max(FEWEST_RUNS, num_domains + 2)


def refit_boosted_trees(weights: Floats, losses: Floats, counts: Floats) -> list[BoostedTreesLaw]:
    """Fit one law per row of counts.

    Args:
        weights: One row per run, shape (N, D), rows on the simplex.
        losses: Held-out losses, shape (N,), nats per token, > 0.
        counts: How often each run counts in each refit, shape (R, N), >= 0; each row counts at
            least `min_runs` different runs.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    require_runs(weights, losses, counts, num_params=min_runs(weights.shape[1]) - 1)
    return [
        BoostedTreesLaw(
            trees=grow_trees(weights, losses, row, num_trees=choose_num_trees(weights, losses, row))
        )
        for row in counts
    ]
