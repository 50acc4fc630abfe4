"""What one round of Aioli's probes says: the mixing matrix, its errors, and the tilted weights.

    drop_i = sum_j A_ij p_j        A[eval i, train j], nats per token; p: mixture of a probe
    A^(r) = (W_r^-1 G_r)^T         sweep r: W_r[probe, train] shares, G_r[probe, eval] drops
    A = mean_r A^(r),  SE(A) = sd_r(A^(r)) / sqrt(R)
    s = column sums of A: what training on domain j does for all evaluation domains together
    memoryless:  p_j ~ exp(eta * S_j)          S <- ema * S + (1 - ema) * normalised s
    cumulative:  p_j ~ p_j * exp(eta * s_j)    s normalised

Normalising subtracts the smallest entry of A if it is negative and divides by the sum of all
entries, so that the column sums lie in [0, 1] and sum to one.
Source: Chen et al. 2024, "Aioli", arXiv:2411.05735. Deviations are listed in training.mixers.aioli.
Shapes: D domains, R sweeps of D probes each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats

# Beyond this, a share that is off by one per cent changes A by its own size.
MAX_CONDITION = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingEstimate:
    """The mixing matrix of one round."""

    matrix: Floats
    """A, shape (D eval, D train): nats per token that a probe on one train domain would save."""
    standard_errors: Floats | None
    """Of each entry of A, over the sweeps; None with one sweep."""
    contrasts: Floats
    """Column sums of A less their mean, shape (D,): only differences can move weights."""
    contrast_error: float | None
    """Standard error of a contrast, pooled over the domains; None with one sweep."""

    def significant(self, min_signal: float) -> NDArray[np.bool_]:
        """Return which domains are min_signal standard errors off the average, shape (D,)."""
        if min_signal == 0:
            return np.ones(len(self.contrasts), dtype=bool)
        assert self.contrast_error is not None
        return np.asarray(np.abs(self.contrasts) > min_signal * self.contrast_error)


def estimate_mixing_matrix(drops: Floats, shares: Floats) -> MixingEstimate | None:
    """Solve each sweep for A and average; None if the realised shares do not determine it.

    The error of a contrast is pooled over the domains because a few sweeps alone give it too few
    degrees of freedom, R - 1 against (R - 1)(D - 1): with two sweeps, noise exceeds two of its own
    standard errors in 30 % of the cases. With the pooled error, noise alone takes a given domain
    past two errors in 32 % of the rounds for D = 2, R = 2; 14 % for D = 2, R = 4; 9 % for D = 3,
    R = 4; 7 % for D = 7, R = 4; and one of them at least in 18 % for D = 3 and 33 % for D = 7
    (2000 simulated rounds each). So take four sweeps or more.

    Args:
        drops: Fall of the held-out losses in each probe, shape (R, D probe, D eval).
        shares: Realised mixture of each probe, shape (R, D probe, D train), rows on the simplex.
    """
    num_sweeps = len(drops)
    if not (np.linalg.cond(shares) < MAX_CONDITION).all():
        return None
    matrices = np.linalg.solve(shares, drops).transpose(0, 2, 1)
    scores = matrices.sum(axis=1)
    contrasts = scores - scores.mean(axis=1, keepdims=True)
    errors, pooled = None, None
    if num_sweeps > 1:
        errors = matrices.std(axis=0, ddof=1) / np.sqrt(num_sweeps)
        pooled = float(np.sqrt(contrasts.var(axis=0, ddof=1).mean() / num_sweeps))
    return MixingEstimate(
        matrix=matrices.mean(axis=0),
        standard_errors=errors,
        contrasts=contrasts.mean(axis=0),
        contrast_error=pooled,
    )


def normalised_scores(matrix: Floats) -> Floats:
    """Column sums of the normalised matrix, shape (D,), in [0, 1], summing to one."""
    shifted = matrix - min(float(matrix.min()), 0.0)
    total = shifted.sum()
    if total == 0:  # nothing changed, or everything by the same: no domain is better
        return np.full(matrix.shape[1], 1 / matrix.shape[1])
    return np.asarray(shifted.sum(axis=0) / total)


def tilt(base: Floats, scores: Floats, eta: float) -> Floats:
    """Return base_j * exp(eta * scores_j), divided by the sum."""
    tilted = base * np.exp(eta * (scores - scores.max()))
    return np.asarray(tilted / tilted.sum())
