"""Native text primitives: UTF-8 to code points, code points to words.

Words are those of spaCy's rule-based English tokenizer (Honnibal et al. 2020,
doi:10.5281/zenodo.1212303), which FineWeb's filters count in: split at white space, punctuation
split off both ends one by one, `'s` and other clitics split off, some punctuation split inside.
Every rule looks at character classes, so all scripts go the same way.

Deviations, all rare: of the published list of emoticons, abbreviations and contractions only the
faces of two characters, the abbreviations that keep their full stop, and the productive endings
`n't 'm 're 's 've 'd 'll` are here, not `cannot`, `im` or `gonna`; a web address is recognised by
its scheme or by ending in a dotted lower-case name, without the check of every character.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quality.character_table import (
    EDGE,
    LETTER,
    LOWER,
    PUNCTUATION,
    SENTENCE_END,
    SYMBOL_WORD,
    Flags,
)
from quality.kernel_affixes import (
    Points,
    clitic_length,
    closing_length,
    infix_length,
    is_address,
    opening_length,
)
from quality.kernel_cache import compiled

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int32]
Hashes = NDArray[np.uint64]

_ABBREVIATIONS = (
    "Mr. Mrs. Ms. Dr. Prof. St. Jr. Sr. Rev. Gen. Gov. Sen. Rep. Adm. Col. Messrs. Inc. Ltd. Co. "
    "co. Corp. Bros. vs. e.g. i.e. E.g. I.e. p.m. a.m. Ph.D. D.C. Jan. Feb. Mar. Apr. Jun. Jul. "
    "Aug. Sep. Sept. Oct. Nov. Dec. "
    "a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z."
)
_FACES = tuple(
    ord(face[0]) << 8 | ord(face[1])
    for face in (":)", ":(", ";)", "=)", "=(", "8)", ":]", ":[", "(:", "):", "(;", "(=", "[:", "(8")
)
_PRIME = np.uint64(0x100000001B3)
HASH_SEED = np.uint64(0xCBF29CE484222325)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_STOP = 0x2E
HAS_LETTER, IS_SYMBOL, IS_PUNCTUATION, IS_STOP = 1, 2, 4, 8
"""Kinds of words: with a letter; nothing but symbols; nothing but punctuation; one sentence end."""


@compiled
def decode(data: Bytes, begin: int, end: int, table: Flags, points: Points, flags: Flags) -> int:
    """Fill `points` and `flags` with the characters of `data[begin:end]`; return how many.

    Args:
        data: Valid UTF-8: what an Arrow string column holds. Lone surrogates have no UTF-8 form:
            the reader that turns bytes into strings refuses them before any column exists.
        begin: First byte.
        end: One after the last byte.
        table: `character_table()`.
        points: Room for end - begin code points.
        flags: The same for their flags.
    """
    count = 0
    position = begin
    while position < end:
        byte = np.uint32(data[position])
        if byte < 0x80:
            point = byte
            position += 1
        elif byte < 0xE0:
            point = (byte & 0x1F) << 6 | (np.uint32(data[position + 1]) & 0x3F)
            position += 2
        elif byte < 0xF0:
            point = (
                (byte & 0x0F) << 12
                | (np.uint32(data[position + 1]) & 0x3F) << 6
                | (np.uint32(data[position + 2]) & 0x3F)
            )
            position += 3
        else:
            point = (
                (byte & 0x07) << 18
                | (np.uint32(data[position + 1]) & 0x3F) << 12
                | (np.uint32(data[position + 2]) & 0x3F) << 6
                | (np.uint32(data[position + 3]) & 0x3F)
            )
            position += 4
        points[count] = point
        flags[count] = table[point]
        count += 1
    return count


@compiled
def encode(points: Points, start: int, end: int, out: Bytes, position: int) -> int:
    """Write code points as UTF-8 at a position of `out`; return the position after them."""
    for index in range(start, end):
        point = points[index]
        if point < 0x80:
            out[position] = point
            position += 1
        elif point < 0x800:
            out[position] = 0xC0 | point >> 6
            out[position + 1] = 0x80 | (point & 0x3F)
            position += 2
        elif point < 0x10000:
            out[position] = 0xE0 | point >> 12
            out[position + 1] = 0x80 | (point >> 6 & 0x3F)
            out[position + 2] = 0x80 | (point & 0x3F)
            position += 3
        else:
            out[position] = 0xF0 | point >> 18
            out[position + 1] = 0x80 | (point >> 12 & 0x3F)
            out[position + 2] = 0x80 | (point >> 6 & 0x3F)
            out[position + 3] = 0x80 | (point & 0x3F)
            position += 4
    return position


@compiled
def hash_character(digest: np.uint64, point: np.uint32) -> np.uint64:
    """Add one character to a hash that began as `HASH_SEED`."""
    return (digest ^ np.uint64(point)) * _PRIME


@compiled
def finish_hash(digest: np.uint64) -> np.uint64:
    """Make all bits depend on all characters."""
    digest ^= digest >> _SHIFT
    digest *= _MIX
    return digest ^ (digest >> _SHIFT)


@compiled
def hash_span(points: Points, begin: int, end: int) -> np.uint64:
    """64-bit FNV-1a of code points, finished."""
    digest = HASH_SEED
    for position in range(begin, end):
        digest = hash_character(digest, points[position])
    return finish_hash(digest)


@functools.cache
def abbreviations() -> Hashes:
    """Sorted `hash_span` of the abbreviations that keep their full stop."""
    spans = [np.array([ord(c) for c in word], np.uint32) for word in _ABBREVIATIONS.split()]
    return np.sort(np.array([hash_span(span, 0, span.size) for span in spans], dtype=np.uint64))


class Words(NamedTuple):
    """The words of a text, in order."""

    starts: Positions
    """First character of each."""
    ends: Positions
    """One after its last character."""
    hashes: Hashes
    """Its `hash_span`."""
    kinds: NDArray[np.uint8]
    """Sum of HAS_LETTER, IS_SYMBOL, IS_PUNCTUATION and IS_STOP, whichever hold."""


@compiled
def append_words(
    points: Points,
    flags: Flags,
    begin: int,
    end: int,
    keep_stop: Hashes,
    words: Words,
    count: int,
) -> int:
    """Add the words of a run of characters without white space; return how many there are then.

    Args:
        points: Code points of the text.
        flags: Their flags.
        begin: First character of the run.
        end: One after its last character.
        keep_stop: `abbreviations()`.
        words: As long as the text; filled from `count` on.
        count: Number of words before.
    """
    last = end - 1
    if flags[last] & EDGE or (points[last] == _STOP and flags[last - 1] & LOWER):
        digest, every = HASH_SEED, flags[begin]
        for position in range(begin, last):
            digest = hash_character(digest, points[position])
            every &= flags[position]
        if every & LETTER and not _is_abbreviation(points, begin, end, keep_stop):
            words.starts[count], words.ends[count] = begin, last
            words.hashes[count], words.kinds[count] = finish_hash(digest), HAS_LETTER
            words.starts[count + 1], words.ends[count + 1] = last, end
            words.hashes[count + 1] = hash_span(points, last, end)
            words.kinds[count + 1] = _kind(flags, last, end)
            return count + 2
    after = _split_chunk(points, flags, begin, end, keep_stop, words.starts, words.ends, count)
    for index in range(count, after):
        start, end = words.starts[index], words.ends[index]
        words.hashes[index] = hash_span(points, start, end)
        words.kinds[index] = _kind(flags, start, end)
    return after


@compiled
def _kind(flags: Flags, start: int, end: int) -> int:
    some = every = flags[start]
    for position in range(start + 1, end):
        some |= flags[position]
        every &= flags[position]
    kind = HAS_LETTER if some & LETTER else 0
    if every & SYMBOL_WORD:
        kind |= IS_SYMBOL
    if every & PUNCTUATION:
        kind |= IS_PUNCTUATION
    if end - start == 1 and every & SENTENCE_END:
        kind |= IS_STOP
    return kind


@compiled
def _split_chunk(
    points: Points,
    flags: Flags,
    begin: int,
    end: int,
    keep_stop: Hashes,
    starts: Positions,
    ends: Positions,
    count: int,
) -> int:
    """Split text without white space. Closing words wait at the far end of the arrays."""
    first, last = begin, end
    before = count
    waiting = starts.size
    while first < last:
        if _is_abbreviation(points, first, last, keep_stop):
            break
        opening = opening_length(points, flags, first, last)
        rest = first + opening
        if opening and _is_abbreviation(points, rest, last, keep_stop):
            starts[count], ends[count] = first, rest
            count += 1
            first = rest
            break
        closing = closing_length(points, flags, rest, last)
        if not opening and not closing:
            break
        if opening:
            starts[count], ends[count] = first, rest
            count += 1
            first = rest
        if closing:
            waiting -= 1
            starts[waiting], ends[waiting] = last - closing, last
            last -= closing
    if first < last:
        count = _split_middle(points, flags, first, last, keep_stop, starts, ends, count)
    while waiting < starts.size:
        starts[count], ends[count] = starts[waiting], ends[waiting]
        count += 1
        waiting += 1
    return _join_faces(points, starts, ends, before, count)


@compiled
def _split_middle(
    points: Points,
    flags: Flags,
    begin: int,
    end: int,
    keep_stop: Hashes,
    starts: Positions,
    ends: Positions,
    count: int,
) -> int:
    """Split inside what the ends have left, unless it is an abbreviation, clitic or address."""
    whole = _is_abbreviation(points, begin, end, keep_stop)
    clitic = 0 if whole else clitic_length(points, begin, end)
    cut = end - clitic
    start = begin
    if not whole and not clitic and not is_address(points, flags, begin, end):
        position = begin + 1
        while position < end:
            length = infix_length(points, flags, begin, position, end)
            if length:
                if position > start:
                    starts[count], ends[count] = start, position
                    count += 1
                start = position + length
                starts[count], ends[count] = position, start
                count += 1
            position += max(length, 1)
    if start < cut:
        starts[count], ends[count] = start, cut
        count += 1
    if clitic:
        starts[count], ends[count] = cut, end
        count += 1
    return count


@compiled
def _join_faces(points: Points, starts: Positions, ends: Positions, first: int, count: int) -> int:
    """Make one word of two neighbouring characters that are drawn as a face, as in `:)`."""
    kept = first
    for index in range(first, count):
        start, end = starts[index], ends[index]
        if kept > first and end - start == 1 and ends[kept - 1] - starts[kept - 1] == 1:
            face = points[start - 1] << 8 | points[start]
            if points[start] < 0x80 and face in _FACES:
                ends[kept - 1] = end
                continue
        starts[kept], ends[kept] = start, end
        kept += 1
    return kept


@compiled
def _is_abbreviation(points: Points, begin: int, end: int, keep_stop: Hashes) -> bool:
    if end - begin > 6 or end - begin < 2 or points[end - 1] != _STOP:
        return False
    digest = hash_span(points, begin, end)
    place = np.searchsorted(keep_stop, digest)
    return bool(place < keep_stop.size and keep_stop[place] == digest)
