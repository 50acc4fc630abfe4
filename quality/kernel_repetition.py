"""Native counting of what repeats: equal lines, the most frequent n-gram, n-grams seen before.

Equality is that of 64-bit hashes: a false one among a million strings has probability 3e-8.

An n-gram can repeat only if the (n-1)-grams at its first and at its second word both do. So each
length looks only at the places that the length before has left, and text without repetition costs
one look per word instead of nine.
Source of the n-gram rules: Rae et al. 2021, arXiv:2112.11446, table A1, counted as FineWeb counts
them (Penedo et al. 2024, arXiv:2406.17557): the most frequent n-gram is the first of those with the
most copies, overlapping copies count; a run seen before is skipped as a whole.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quality.kernel_cache import compiled
from quality.text_counts import Count

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Positions = NDArray[np.int32]

MAX_N = 10
"""Longest n-gram."""
MAX_TOP_N = 4
"""Longest n-gram of which the most frequent one is looked for."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)
_TOP = int(Count.TOP_2GRAM_CHARS) - 2
_REPEATED = int(Count.REPEATED_5GRAM_CHARS) - 5


class Tally(NamedTuple):
    """A hash table with room for twice the strings of a document; `used` is 0 between calls."""

    keys: Hashes
    """Hash in each slot, where used."""
    copies: Positions
    """How often it came; 0 marks a free slot."""
    first: Positions
    """Place of its first copy, where asked for."""
    slots: Positions
    """Slot of each string."""
    places: Positions
    """Places of the n-grams still looked at."""
    grams: Hashes
    """Their hashes."""


@compiled
def note(keys: Hashes, copies: Positions, mask: int, key: np.uint64) -> int:
    """Count a hash; return its slot."""
    slot = np.int64((key * _FACTOR) >> _SHIFT) & mask
    while copies[slot] and keys[slot] != key:
        slot = (slot + 1) & mask
    keys[slot] = key
    copies[slot] += 1
    return slot


@compiled
def mask_for(count: int) -> int:
    """One less than the power of two that is at least twice the count."""
    size = 16
    while size < 2 * count:
        size *= 2
    return size - 1


@compiled
def count_repeats(
    tally: Tally, hashes: Hashes, lengths: Positions, count: int
) -> tuple[int, int, int]:
    """Strings equal to an earlier one, their characters, and copies of the most frequent one."""
    repeats = chars = top = 0
    mask = mask_for(count)
    for index in range(count):
        slot = note(tally.keys, tally.copies, mask, hashes[index])
        tally.slots[index] = slot
        copies = tally.copies[slot]
        top = max(top, copies)
        if copies > 1:
            repeats += 1
            chars += lengths[index]
    for index in range(count):
        tally.copies[tally.slots[index]] = 0
    return repeats, chars, top


@compiled
def count_ngrams(
    tally: Tally, hashes: Hashes, offsets: Positions, count: int, counts: Numbers
) -> None:
    """Fill the rows of n-grams in the counts of one document.

    Args:
        tally: Scratch; room for count + 1 places, and for a table of `mask_for(count)` + 1 slots.
        hashes: Hash of each token.
        offsets: Characters of all tokens before each one; count + 1 numbers.
        count: Number of tokens.
        counts: Row of the document.
    """
    mask = mask_for(count)
    num_places = count
    for place in range(count):
        tally.places[place] = place
        tally.grams[place] = hashes[place]
    for n in range(2, MAX_N + 1):
        if count < n:
            break
        if num_places:
            num_places = _extend(tally, hashes, count, n, mask, num_places)
        if n <= MAX_TOP_N:
            chars = offsets[n] + n - 1  # where nothing repeats, the first n-gram is the top one
            best = 1
            for index in range(num_places):
                slot = tally.slots[index]
                if tally.copies[slot] > best:  # in order of places, so the earliest one wins
                    best = tally.copies[slot]
                    place = tally.places[index]
                    chars = best * (offsets[place + n] - offsets[place] + n - 1)
            counts[_TOP + n] = chars
        else:
            counts[_REPEATED + n] = _seen_before(tally, offsets, n, num_places)
        for index in range(num_places):
            tally.copies[tally.slots[index]] = 0


@compiled
def _extend(tally: Tally, hashes: Hashes, count: int, n: int, mask: int, num_places: int) -> int:
    """Lengthen the n-grams by one word and drop those that come once; return how many stay."""
    places, grams, slots = tally.places, tally.grams, tally.slots
    keys, copies = tally.keys, tally.copies
    kept = 0
    for index in range(num_places):
        place = places[index]
        if index + 1 == num_places or places[index + 1] != place + 1 or place + n > count:
            continue
        gram = grams[index] * _FACTOR + hashes[place + n - 1]
        gram ^= gram >> _SHIFT
        places[kept], grams[kept] = place, gram
        slots[kept] = note(keys, copies, mask, gram)
        kept += 1
    repeated = 0
    for index in range(kept):
        slot = slots[index]
        if copies[slot] > 1:
            places[repeated], grams[repeated], slots[repeated] = places[index], grams[index], slot
            repeated += 1
        else:
            copies[slot] = 0
    return repeated


@compiled
def _seen_before(tally: Tally, offsets: Positions, n: int, num_places: int) -> int:
    chars = 0
    free = 0  # places before it lie in a run that was counted
    for index in range(num_places):
        tally.first[tally.slots[index]] = -1
    for index in range(num_places):
        place = tally.places[index]
        if place < free:
            continue
        slot = tally.slots[index]
        if tally.first[slot] >= 0:
            chars += offsets[place + n] - offsets[place]
            free = place + n
        else:
            tally.first[slot] = place
    return chars
