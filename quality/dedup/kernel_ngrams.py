"""Compiled: hashes of the word n-grams of one text, a buffer at a time.

The text is UTF-8; it is folded (quality.dedup.kernel_folding) and hashed in one pass:

    word    w = mix(fold of (w + c) * K1 over its code points c)
    n-gram  g = mix(sum_i w_i K2^(n-1-i))                              modulo 2^64

mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators"). The sum is rolled on from word to word, so any n costs the same.
Bytes that are no UTF-8 end a word; nothing beyond the end of the text is read.
"""

import numpy as np
from numpy.typing import NDArray

from quality.dedup.kernel_folding import ALONE, DIGIT, DROPPED, POINT, SEPARATOR, SEVERAL
from quality.kernel_cache import compiled

Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint32]
Hashes = NDArray[np.uint64]

K1 = np.uint64(0x9E3779B97F4A7C15)
K2 = np.uint64(0xD6E8FEB86659FD93)
STATE_SIZE = 6
"""Entries of the state: hash of the open word, whether one is open, number state (1 in a number, 2
behind its decimal separator), words so far, rolling sum, whether the text has ended."""
_WORD, _OPEN, _NUMBER, _COUNT, _SUM, _ENDED = range(STATE_SIZE)
_CODE_POINT = 0xFFFFFF
_ZERO = 48  # the digit that stands for every number


@compiled
def mix(value: np.uint64) -> np.uint64:
    """Finaliser of SplitMix64: a permutation of 64-bit words."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled
def decode(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """Code point at a position and the number of its bytes; (-1, 1) if there is none."""
    first = data[position]
    if first < 0x80:
        return int(first), 1
    if first < 0xC2 or first > 0xF4:
        return -1, 1
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if position + size > end:
        return -1, 1
    code = int(first) & (0x7F >> size)
    for offset in range(1, size):
        byte = data[position + offset]
        if byte & 0xC0 != 0x80:
            return -1, 1
        code = (code << 6) | (int(byte) & 0x3F)
    return (code, size) if code < 0x110000 else (-1, 1)


@compiled
def power(exponent: int) -> np.uint64:
    """K2 to the power of a small exponent."""
    result = np.uint64(1)
    for _ in range(exponent):
        result *= K2
    return result


@compiled
def next_ngrams(
    data: Bytes,
    position: int,
    end: int,
    state: Hashes,
    ring: Hashes,
    table: Codes,
    expansions: Codes,
    out: Hashes,
) -> tuple[int, int]:
    """Go on reading one text until the buffer is full or the text ends.

    Args:
        data: UTF-8 of many texts.
        position: Where to go on, in bytes.
        end: End of the text in bytes.
        state: Zeros at the beginning of a text, shape (STATE_SIZE,); changed here.
        ring: Hashes of the last words, shape (n,); zeros at the beginning of a text; changed here.
        table: Folding codes.
        expansions: Folding expansions.
        out: Buffer of n-gram hashes, shape (>= 3,), filled here from the beginning.

    Returns:
        Where to go on and how many hashes were written. Go on while `not has_ended(state)`.
    """
    oldest = power(len(ring))
    word, is_open, number = state[_WORD], state[_OPEN] != 0, state[_NUMBER]
    filled, most = 0, len(out) - 2  # one character ends at most two words
    while position < end and filled < most:
        byte = data[position]
        if byte < 0x80:
            code, size = int(table[byte]), 1
        else:
            character, size = decode(data, position, end)
            code = int(table[character]) if character >= 0 else SEPARATOR
        position += size
        if POINT < code < ALONE:  # a letter, as nearly all
            word, is_open, number = _step(word, np.uint64(code)), True, np.uint64(0)
            continue
        if code == DROPPED:
            continue
        if code <= POINT:
            code, number = _digit_or_end(code, number, data, position, end, table)
            if code == DROPPED:
                continue
        else:
            number = np.uint64(0)
        if is_open and (code == SEPARATOR or code & ALONE):
            filled = _end_word(mix(word), oldest, state, ring, out, filled)
            word, is_open = np.uint64(0), False
        if code != SEPARATOR:
            word, is_open = _append(word, code, expansions), True
        if code & ALONE:
            filled = _end_word(mix(word), oldest, state, ring, out, filled)
            word, is_open = np.uint64(0), False
    if position >= end and filled < most:
        if is_open:
            filled = _end_word(mix(word), oldest, state, ring, out, filled)
        state[_ENDED] = np.uint64(1)
    state[_WORD], state[_OPEN], state[_NUMBER] = word, np.uint64(is_open), number
    return position, filled


@compiled
def has_ended(state: Hashes) -> bool:
    """Whether the text was read to its end."""
    return bool(state[_ENDED] != 0)


@compiled
def _digit_or_end(
    code: int, number: np.uint64, data: Bytes, position: int, end: int, table: Codes
) -> tuple[int, np.uint64]:
    """Code point of a number's first digit, DROPPED inside a number, else SEPARATOR."""
    if code == DIGIT:
        if number == 0:
            return _ZERO, np.uint64(1)
        return DROPPED, number
    if code == POINT and number == 1 and position < end:
        follower, _ = decode(data, position, end)
        if follower >= 0 and table[follower] == DIGIT:
            return DROPPED, np.uint64(2)
    return SEPARATOR, np.uint64(0)


@compiled
def _end_word(
    hashed: np.uint64, oldest: np.uint64, state: Hashes, ring: Hashes, out: Hashes, filled: int
) -> int:
    """Book a word; write the n-gram that it completes."""
    count = int(state[_COUNT])
    slot = count % len(ring)
    total = state[_SUM] * K2 + hashed - ring[slot] * oldest
    ring[slot] = hashed
    state[_SUM] = total
    state[_COUNT] = np.uint64(count + 1)
    if count + 1 < len(ring):
        return filled
    out[filled] = mix(total)
    return filled + 1


@compiled
def _append(word: np.uint64, code: int, expansions: Codes) -> np.uint64:
    """Hash of a word with one more character, which may fold to several."""
    if code & SEVERAL:
        entry = code & (ALONE - 1)
        for index in range(entry >> 3, (entry >> 3) + (entry & 7)):
            word = _step(word, np.uint64(expansions[index]))
        return word
    return _step(word, np.uint64(code & _CODE_POINT))


@compiled
def _step(word: np.uint64, code: np.uint64) -> np.uint64:
    word = (word + code) * K1
    return word ^ (word >> np.uint64(32))
