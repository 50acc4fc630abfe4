"""Folds over mixtures: which runs leave a fit together."""

import numpy as np

from training.arrays import Floats, Ints


def assign_folds(weights: Floats, *, num_folds: int | None, seed: int) -> Ints:
    """Fold of each run, shape (N,); runs of one mixture (other seeds) share a fold.

    Args:
        weights: Shape (N, D).
        num_folds: How many folds, at most one per mixture. None: one per mixture up to 64
            mixtures, 10 beyond.
        seed: Decides which mixtures go together.
    """
    mixtures, group = np.unique(np.round(weights, 9), axis=0, return_inverse=True)
    if num_folds is None:
        num_folds = len(mixtures) if len(mixtures) <= 64 else 10
    shuffled = np.random.default_rng(seed).permutation(len(mixtures))
    fold_of_mixture = np.empty(len(mixtures), dtype=np.int64)
    fold_of_mixture[shuffled] = np.arange(len(mixtures)) % num_folds
    folds: Ints = fold_of_mixture[group.ravel()]
    return folds
