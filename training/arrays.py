"""Array types of the numerical code, and the check every mixture passes."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def require_simplex(weights: Floats, *, name: str = "weights", tolerance: float = 1e-6) -> None:
    """Refuse weights that are no mixture.

    Args:
        weights: One mixture, shape (D,), or one per row, shape (N, D).
        name: What the weights are, for the message.
        tolerance: How far a sum may be from one.

    Raises:
        ValueError: No entries, a negative or non-finite entry, or a sum that is not one.
    """
    if weights.ndim not in (1, 2) or weights.size == 0:
        raise ValueError(f"{name} must have shape (D,) or (N, D) and entries, got {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"{name} must be finite and not negative, got {weights.tolist()}")
    sums = weights.sum(axis=-1)
    if (np.abs(sums - 1) > tolerance).any():
        raise ValueError(f"{name} must sum to 1, got the sum {sums.tolist()}; divide by it")
