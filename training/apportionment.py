"""Whole rows of a batch from mixture weights, with the rounding carried to the next batch.

    want_j = carry_j + w_j * B      then B times: one row to the domain with the largest want
    carry_j <- want_j - rows_j      what domain j is owed (negative: it had too much)

As long as no want is negative this is the largest-remainder method (Hamilton). Served row by row
it also stays right when the carry makes a want negative or the whole parts exceed the batch.

How far the cumulative rows can be from the cumulative request, for *any* sequence of weights:

    |carry_j| < 1                   if every weight is zero or at least 1 / B: no want is negative
    -1 < carry_j <= H_D - 1         always; H_D - 1 = 1/2 + 1/3 + ... + 1/D
                                    (D = 2: 0.5, 3: 0.83, 4: 1.08, 7: 1.59)

Upper side: let m_k be the mean carry of the k largest. Either all rows went to these k, then m_k
did not grow; or one went to another domain, which had at least as much want, so m_k <= m_(k+1) +
1/(k+1); and m_D = 0. The bound is attained by an adversary who always requests only the domains
not yet served, so no rule that does not know the future can keep |carry| < 1 for D >= 4. Lower
side: a row goes to the largest want, and the wants sum to the rows that are left, so the largest
is positive.

A domain with weight zero gets no row, and what it was owed is forgotten: the user switched it off,
and a stray row in a later batch would break the promise "zero weight, zero rows". The others take
over its carry in proportion to their weights, so that the carry always sums to zero.

Shapes: D domains, B rows.
"""

import math

import numpy as np

from training.arrays import Floats, Ints, require_simplex

_SURELY_A_MIXTURE = 1e-7
"""Sums this close to one need no closer look; the real check is slower."""


def apportion(weights: Floats, batch_rows: int, carry: Floats) -> tuple[Ints, Floats]:
    """Split a batch over the domains; return the rows of each and the new carry.

    Args:
        weights: Requested mixture, shape (D,), on the simplex.
        batch_rows: Rows of the batch, >= 1.
        carry: Rows owed from the batches before, shape (D,), summing to zero; zeros at the start.

    Raises:
        ValueError: The weights are no mixture, the shapes differ, or the batch is empty.
    """
    if weights.ndim != 1 or carry.shape != weights.shape:
        require_simplex(weights)
        raise ValueError(f"weights {weights.shape} and carry {carry.shape} must both be (D,)")
    if batch_rows < 1:
        raise ValueError(f"batch_rows must be at least 1, got {batch_rows}")
    # Lists: with the few domains there are, plain numbers are several times faster than arrays.
    given = weights.tolist()
    total = sum(given)
    if not (given and min(given) >= 0 and abs(total - 1) <= _SURELY_A_MIXTURE):
        require_simplex(weights)
    total = math.fsum(given)
    shares, owed = (weights / total).tolist(), carry.tolist()
    active = [domain for domain, share in enumerate(shares) if share > 0]
    dropped = math.fsum(owed[domain] for domain, share in enumerate(shares) if share == 0)
    want = [owed[domain] + (batch_rows + dropped) * shares[domain] for domain in active]

    rows = [max(math.floor(wanted), 0) for wanted in want]
    while (missing := batch_rows - sum(rows)) != 0:
        left = [wanted - given for wanted, given in zip(want, rows, strict=True)]
        if missing > 0:
            by_want = sorted(range(len(rows)), key=left.__getitem__, reverse=True)
            for place in by_want[:missing]:
                rows[place] += 1
        else:  # the carry of others owes more than this batch holds: the least urgent rows wait
            served = [place for place, given in enumerate(rows) if given > 0]
            for place in sorted(served, key=left.__getitem__)[:-missing]:
                rows[place] -= 1

    counts, new_carry = [0] * len(shares), [0.0] * len(shares)
    for domain, wanted, served_rows in zip(active, want, rows, strict=True):
        counts[domain], new_carry[domain] = served_rows, wanted - served_rows
    return np.array(counts, dtype=np.int64), np.array(new_carry)
