"""A random order of n things without storing it: position -> thing, in O(1) memory.

A Feistel network of balanced rounds permutes [0, 2^b) for the smallest b with 2^b >= n (at least
2). Values outside [0, n) are sent through it again until they fall inside (cycle walking): a
permutation of the larger set maps [0, n) onto itself that way, with fewer than two passes expected.
Source: Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains".
The round function is the finaliser of SplitMix64 (Steele, Lea, Flood 2014), not a cipher: the order
has to look random, not to withstand an attack. The halves may differ by one bit and swap in every
round; the number of rounds is even, so that they end as they began.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from training.arrays import Ints

_ROUNDS = 8
_Words = NDArray[np.uint64]


def permutation_key(*parts: str | int) -> int:
    """Return a 64-bit key of what names a permutation."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def permute(positions: Ints, sizes: Ints, keys: NDArray[np.uint64]) -> Ints:
    """Map each position to a place in its own permutation.

    Args:
        positions: Each in [0, size), shape (B,).
        sizes: n of each permutation, >= 1, shape (B,).
        keys: Key of each permutation, shape (B,).

    Raises:
        ValueError: A position outside its permutation.
    """
    if ((positions < 0) | (positions >= sizes)).any():
        raise ValueError("a position lies outside its permutation")
    # Bits of n - 1: exact for all n below 2^53 because frexp is exact on integers of that size.
    bits = np.maximum(np.frexp((sizes - 1).astype(np.float64))[1], 2).astype(np.uint64)
    out = positions.astype(np.uint64)
    limits = sizes.astype(np.uint64)
    round_keys = _mix(keys + np.arange(_ROUNDS, dtype=np.uint64)[:, np.newaxis])
    walking = np.arange(len(out))
    while walking.size:
        out[walking] = _feistel(out[walking], bits[walking], round_keys[:, walking])
        walking = walking[out[walking] >= limits[walking]]
    return out.astype(np.int64)


def _feistel(values: _Words, bits: _Words, round_keys: _Words) -> _Words:
    one = np.uint64(1)
    right_bits = bits >> one
    left_bits = bits - right_bits
    left = values >> right_bits
    right = values & ((one << right_bits) - one)
    for key in round_keys:
        left, right = right, left ^ (_mix(right ^ key) & ((one << left_bits) - one))
        left_bits, right_bits = right_bits, left_bits
    return np.asarray((left << right_bits) | right)


def _mix(words: _Words) -> _Words:
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
