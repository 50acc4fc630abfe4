"""Compiled: MinHash band hashes of many texts, from the bytes of their Arrow array.

minimum  m_j = min over n-grams g of (a_j g + b_j) mod 2^64           j = 1 .. bands * rows
band     h_k = mix(... mix(mix(m_k1) + m_k2) ... + m_kr)
"""

import numpy as np
from numpy.typing import NDArray

from quality.dedup.kernel_ngrams import (
    STATE_SIZE,
    Bytes,
    Codes,
    Hashes,
    has_ended,
    mix,
    next_ngrams,
)
from quality.kernel_cache import compiled, compiled_with_arrays

BUFFER = 512
"""n-grams hashed at a time; with the minima they stay in the first-level cache."""


@compiled_with_arrays
def lower_minima(
    data: Bytes,
    offsets: NDArray[np.int64],
    ngram: int,
    slopes: Hashes,
    intercepts: Hashes,
    table: Codes,
    expansions: Codes,
    minima: Hashes,
    num_ngrams: NDArray[np.int64],
) -> None:
    """Fill the minima, shape (N, J), and the number of n-grams of each text, shape (N,).

    A text with fewer words than an n-gram has none; its minima are the largest 64-bit word.
    """
    buffer = np.empty(BUFFER + 2, dtype=np.uint64)
    for row in range(len(offsets) - 1):
        state = np.zeros(STATE_SIZE, dtype=np.uint64)
        ring = np.zeros(ngram, dtype=np.uint64)
        minima[row] = np.uint64(0xFFFFFFFFFFFFFFFF)
        position, end, count = offsets[row], offsets[row + 1], 0
        while not has_ended(state):
            position, filled = next_ngrams(
                data, position, end, state, ring, table, expansions, buffer
            )
            count += filled
            _lower(minima[row], buffer[:filled], slopes, intercepts)
        num_ngrams[row] = count


@compiled
def _lower(minima: Hashes, ngrams: Hashes, slopes: Hashes, intercepts: Hashes) -> None:
    """Take some more n-grams into the minima.

    Four n-grams at a time: each pass over the 112 minima then does four times the work, which made
    it six times faster than one hash function after the other.
    """
    whole = len(ngrams) // 4 * 4
    for first in range(0, whole, 4):
        one, two = ngrams[first], ngrams[first + 1]
        three, four = ngrams[first + 2], ngrams[first + 3]
        for index in range(len(minima)):
            slope, intercept = slopes[index], intercepts[index]
            least = min(slope * one + intercept, slope * two + intercept)
            other = min(slope * three + intercept, slope * four + intercept)
            minima[index] = min(minima[index], least, other)
    for ngram in ngrams[whole:]:
        for index in range(len(minima)):
            minima[index] = min(minima[index], slopes[index] * ngram + intercepts[index])


@compiled
def fold_bands(minima: Hashes, num_bands: int, bands: Hashes) -> None:
    """Hash the rows of each band of minima, shape (N, B * rows), into bands, shape (N, B)."""
    num_rows = minima.shape[1] // num_bands
    for row in range(len(minima)):
        for band in range(num_bands):
            hashed = np.uint64(0)
            for index in range(band * num_rows, (band + 1) * num_rows):
                hashed = mix(hashed + minima[row, index])
            bands[row, band] = hashed
