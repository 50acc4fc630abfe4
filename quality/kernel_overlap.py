"""Compiled: which n-grams of an index stand in which texts, and where.

The index is a sorted array of n-gram hashes with a bit map in front of it: a hash whose bit is not
set is none of them, which settles nearly all n-grams of ordinary text in one look.
"""

import numpy as np
from numpy.typing import NDArray

from quality.dedup.kernel_ngrams import (
    STATE_SIZE,
    Bytes,
    Codes,
    Hashes,
    has_ended,
    next_ngrams,
)
from quality.kernel_cache import compiled, compiled_with_arrays

BUFFER = 512
"""n-grams looked up at a time."""
Rows = NDArray[np.int64]


@compiled
def set_bits(keys: Hashes, bits: NDArray[np.uint8], shift: int) -> None:
    """Set the bit of each key; the bit number is the key's upper 64 - shift bits."""
    for key in keys:
        place = key >> np.uint64(shift)
        bits[place >> np.uint64(3)] |= np.uint8(1 << (place & np.uint64(7)))


@compiled
def _find(key: np.uint64, keys: Hashes, bits: NDArray[np.uint8], shift: int) -> int:
    """Place of a key in the sorted keys, -1 if it is none of them."""
    place = key >> np.uint64(shift)
    if not bits[place >> np.uint64(3)] & np.uint8(1 << (place & np.uint64(7))):
        return -1
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < len(keys) and keys[low] == key else -1


@compiled_with_arrays
def collect_ngrams(
    data: Bytes, offsets: Rows, ngram: int, table: Codes, expansions: Codes, out: Hashes, ends: Rows
) -> None:
    """Write the n-grams of all texts one after the other, and where those of each text end.

    Args:
        data: UTF-8 of the texts.
        offsets: Where each begins and the last one ends, shape (N + 1,).
        ngram: Words of an n-gram.
        table: Folding codes.
        expansions: Folding expansions.
        out: Room for all: two more than the bytes of the texts suffice.
        ends: Shape (N,), filled here.
    """
    total = 0
    for row in range(len(offsets) - 1):
        state = np.zeros(STATE_SIZE, dtype=np.uint64)
        ring = np.zeros(ngram, dtype=np.uint64)
        position = offsets[row]
        while not has_ended(state):
            position, filled = next_ngrams(
                data, position, offsets[row + 1], state, ring, table, expansions, out[total:]
            )
            total += filled
        ends[row] = total


@compiled_with_arrays
def find_hits(
    data: Bytes,
    offsets: Rows,
    first_row: int,
    ngram: int,
    keys: Hashes,
    bits: NDArray[np.uint8],
    shift: int,
    table: Codes,
    expansions: Codes,
    hits: Rows,
) -> tuple[int, int]:
    """Look up every n-gram of the texts from `first_row` on.

    Args:
        data: UTF-8 of the texts.
        offsets: Where each begins and the last one ends, shape (N + 1,).
        first_row: Where to begin.
        ngram: Words of an n-gram.
        keys: Sorted hashes.
        bits: Bit map of `set_bits`.
        shift: Its shift.
        table: Folding codes.
        expansions: Folding expansions.
        hits: Room for pairs (row, place of the key), shape (H, 2); filled from the beginning.

    Returns:
        Row to go on with and the number of pairs. If that row is the first one, no room was left
        for its pairs: call again with more.
    """
    buffer = np.empty(BUFFER + 2, dtype=np.uint64)
    num_hits = 0
    for row in range(first_row, len(offsets) - 1):
        state = np.zeros(STATE_SIZE, dtype=np.uint64)
        ring = np.zeros(ngram, dtype=np.uint64)
        position, before = offsets[row], num_hits
        while not has_ended(state):
            position, filled = next_ngrams(
                data, position, offsets[row + 1], state, ring, table, expansions, buffer
            )
            if num_hits + filled > len(hits):
                return row, before
            for key in buffer[:filled]:
                place = _find(key, keys, bits, shift)
                if place >= 0:
                    hits[num_hits, 0], hits[num_hits, 1] = row, place
                    num_hits += 1
    return len(offsets) - 1, num_hits


@compiled_with_arrays
def locate(
    data: Bytes, start: int, end: int, ngram: int, key: np.uint64, table: Codes, expansions: Codes
) -> int:
    """Byte behind the first n-gram of this hash in one text, -1 if there is none."""
    state = np.zeros(STATE_SIZE, dtype=np.uint64)
    ring = np.zeros(ngram, dtype=np.uint64)
    buffer = np.empty(3, dtype=np.uint64)  # room for one: the position is that of its end
    position = start
    while not has_ended(state):
        position, filled = next_ngrams(data, position, end, state, ring, table, expansions, buffer)
        for index in range(filled):
            if buffer[index] == key:
                return position
    return -1
