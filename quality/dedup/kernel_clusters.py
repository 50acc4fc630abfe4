"""Compiled: which documents of equal band hash are linked, and which of a cluster stay.

Rows are in order of priority, best first, in all arrays.
"""

import numpy as np
from numpy.typing import NDArray

from quality.kernel_cache import compiled, compiled_with_arrays

MAX_LEADERS = 32
"""Documents of one bucket that a further one is compared with."""
MAX_KEPT = 1000
"""Kept documents of one cluster, the best, that a further one is compared with."""

KEPT, EXACT, NEAR = 0, 1, 2
"""What becomes of a document."""

Rows = NDArray[np.int64]


@compiled
def num_equal(sketches: NDArray[np.uint8], one: int, other: int) -> int:
    """Minima whose last bytes agree."""
    count = 0
    for index in range(sketches.shape[1]):
        count += sketches[one, index] == sketches[other, index]
    return count


@compiled_with_arrays
def link_buckets(
    rows: Rows,
    values: NDArray[np.uint64],
    sketches: NDArray[np.uint8],
    min_equal: int,
    edges: Rows,
) -> int:
    """Link each row of a bucket to the first of its leaders that it resembles.

    A row that resembles none becomes a leader itself, so the best row of a bucket always is one.

    Args:
        rows: Sorted by value, then by row, shape (N,).
        values: Band hash at each place of `rows`, shape (N,).
        sketches: By row, shape (num_rows, J).
        min_equal: Fewest equal bytes of rows that resemble each other.
        edges: Pairs of rows, shape (>= N, 2), filled here.

    Returns:
        Number of pairs.
    """
    leaders = np.empty(MAX_LEADERS, dtype=np.int64)
    num_edges = num_leaders = 0
    for place in range(len(rows)):
        row = rows[place]
        if place == 0 or values[place] != values[place - 1]:
            leaders[0], num_leaders = row, 1
            continue
        is_linked = False
        for index in range(num_leaders):
            if num_equal(sketches, leaders[index], row) >= min_equal:
                edges[num_edges, 0], edges[num_edges, 1] = leaders[index], row
                num_edges += 1
                is_linked = True
                break
        if not is_linked and num_leaders < MAX_LEADERS:
            leaders[num_leaders] = row
            num_leaders += 1
    return num_edges


@compiled_with_arrays
def choose_kept(
    members: Rows,
    clusters: Rows,
    hashes: NDArray[np.uint64],
    has_ngrams: NDArray[np.bool_],
    sketches: NDArray[np.uint8],
    min_equal: int,
    kinds: NDArray[np.int8],
    kept_rows: Rows,
) -> None:
    """Keep, best first, every member of a cluster that is no copy of one already kept.

    Args:
        members: Rows sorted by cluster, then by row, shape (M,).
        clusters: Cluster of each member, shape (M,).
        hashes: Words of the text hash by row, shape (num_rows, 2).
        has_ngrams: Whether a row has bands and sketch, shape (num_rows,).
        sketches: By row, shape (num_rows, J).
        min_equal: Fewest equal bytes of rows that resemble each other.
        kinds: KEPT, EXACT or NEAR of each member, shape (M,), filled here.
        kept_rows: Row that stays instead of each member, or itself, shape (M,), filled here.
    """
    kept = np.empty(MAX_KEPT, dtype=np.int64)
    num_kept = 0
    for place in range(len(members)):
        row = members[place]
        if place == 0 or clusters[place] != clusters[place - 1]:
            num_kept = 0
        kinds[place], kept_rows[place] = KEPT, row
        for index in range(num_kept):
            other = kept[index]
            if hashes[row, 0] == hashes[other, 0] and hashes[row, 1] == hashes[other, 1]:
                kinds[place], kept_rows[place] = EXACT, other
                break
            if kinds[place] == KEPT and has_ngrams[row] and has_ngrams[other]:
                if num_equal(sketches, row, other) >= min_equal:
                    kinds[place], kept_rows[place] = NEAR, other
        if kinds[place] == KEPT and num_kept < MAX_KEPT:
            kept[num_kept] = row
            num_kept += 1
