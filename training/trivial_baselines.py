"""Predictors that know nothing of mixing: what a law has to beat.

    mean          the average loss of the training runs; has no rank
    own_share     a + b * share of the evaluation domain itself; ranked by that share, more is
                  better, without any fit
    entropy       a + b * entropy of the mixture
    nearest_run   loss of the training run with the nearest mixture (sum of absolute differences)
    linear        t . p, least squares

"More of the target domain" ranked 1B runs at Spearman 0.981 where a fitted law had 0.986, so a
rank alone proves little. Shapes: N training runs, M held-out mixtures, D domains, E evaluation
domains.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from training.arrays import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """What a baseline may see: training runs with losses, held-out mixtures without."""

    weights: Floats
    """Shares of the training runs, shape (N, D)."""
    losses: Floats
    """Their losses, shape (N, E)."""
    heldout_weights: Floats
    """Shares to predict for, shape (M, D)."""
    own_columns: tuple[int | None, ...]
    """For each evaluation domain its column of the weights; None: it is no training domain."""


def predict_mean(fold: Fold) -> Floats:
    """Average training loss, shape (M, E)."""
    return np.repeat(fold.losses.mean(axis=0)[None], len(fold.heldout_weights), axis=0)


def predict_own_share(fold: Fold) -> Floats:
    """Line through the domain's own share; NaN for a domain that is not trained on."""
    predicted = np.full((len(fold.heldout_weights), fold.losses.shape[1]), np.nan)
    for target, column in enumerate(fold.own_columns):
        if column is not None:
            train, heldout = fold.weights[:, column], fold.heldout_weights[:, column]
            predicted[:, target] = _line(train, fold.losses[:, [target]], heldout)[:, 0]
    return predicted


def predict_entropy(fold: Fold) -> Floats:
    """Line through the entropy of the mixture (nats), shape (M, E)."""
    train, heldout = (entr(shares).sum(axis=1) for shares in (fold.weights, fold.heldout_weights))
    return _line(train, fold.losses, heldout)


def predict_nearest_run(fold: Fold) -> Floats:
    """Loss of the nearest training run, the first of equals, shape (M, E)."""
    distance = np.abs(fold.heldout_weights[:, None] - fold.weights[None]).sum(axis=2)
    nearest: Floats = fold.losses[distance.argmin(axis=1)]
    return nearest


def predict_linear(fold: Fold) -> Floats:
    """Least squares in the shares, shape (M, E)."""
    coefficients = np.linalg.lstsq(fold.weights, fold.losses, rcond=None)[0]
    predicted: Floats = fold.heldout_weights @ coefficients
    return predicted


def _line(train: Floats, losses: Floats, heldout: Floats) -> Floats:
    design = np.column_stack([np.ones_like(train), train])
    coefficients = np.linalg.lstsq(design, losses, rcond=None)[0]
    predicted: Floats = np.column_stack([np.ones_like(heldout), heldout]) @ coefficients
    return predicted


BASELINES: dict[str, Callable[[Fold], Floats]] = {
    "mean": predict_mean,
    "own_share": predict_own_share,
    "entropy": predict_entropy,
    "nearest_run": predict_nearest_run,
    "linear": predict_linear,
}
