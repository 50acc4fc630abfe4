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

import numpy as np
from numpy.typing import NDArray

from quality.character_table import (
    BEFORE_STOP,
    CLOSER,
    CURRENCY,
    DIGIT,
    EDGE,
    LETTER,
    LOWER,
    OPENER,
    PICTOGRAPH,
    QUOTE,
    SPACE,
    UPPER,
    Flags,
)
from quality.kernel_cache import compiled

Bytes = NDArray[np.uint8]
Points = NDArray[np.uint32]
Positions = NDArray[np.int32]
Hashes = NDArray[np.uint64]

_ABBREVIATIONS = (
    "Mr. Mrs. Ms. Dr. Prof. St. Jr. Sr. Rev. Gen. Gov. Sen. Rep. Adm. Col. Messrs. Inc. Ltd. Co. "
    "co. Corp. Bros. vs. e.g. i.e. E.g. I.e. p.m. a.m. Ph.D. D.C. Jan. Feb. Mar. Apr. Jun. Jul. "
    "Aug. Sep. Sept. Oct. Nov. Dec. "
    "a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z."
)
_PRIME = np.uint64(0x100000001B3)
_SEED = np.uint64(0xCBF29CE484222325)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_APOSTROPHES = (0x27, 0x2019)
_STOP, _COMMA, _PLUS, _HYPHEN, _STAR, _CARET = 0x2E, 0x2C, 0x2B, 0x2D, 0x2A, 0x5E
_COLON, _LESS, _GREATER, _EQUALS, _SLASH = 0x3A, 0x3C, 0x3E, 0x3D, 0x2F
_EYES = (0x3A, 0x3B, 0x3D, 0x38)  # : ; = 8
_MOUTHS = (0x28, 0x29, 0x5B, 0x5D)  # ( ) [ ]
_ELLIPSIS, _EN_DASH, _EM_DASH, _TILDE, _PERCENT = 0x2026, 0x2013, 0x2014, 0x7E, 0x25


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
def hash_span(points: Points, begin: int, end: int) -> np.uint64:
    """64-bit FNV-1a of code points, finished so that all bits depend on all characters."""
    digest = _SEED
    for position in range(begin, end):
        digest = (digest ^ np.uint64(points[position])) * _PRIME
    digest ^= digest >> _SHIFT
    digest *= _MIX
    return digest ^ (digest >> _SHIFT)


def abbreviations() -> Hashes:
    """Sorted `hash_span` of the abbreviations that keep their full stop."""
    spans = [np.array([ord(c) for c in word], np.uint32) for word in _ABBREVIATIONS.split()]
    return np.sort(np.array([hash_span(span, 0, span.size) for span in spans], dtype=np.uint64))


@compiled
def split_words(
    points: Points,
    flags: Flags,
    begin: int,
    end: int,
    keep_stop: Hashes,
    starts: Positions,
    ends: Positions,
) -> int:
    """Fill `starts` and `ends` with the words of `points[begin:end]`, in order; return how many.

    Args:
        points: Code points of the text.
        flags: Their flags.
        begin: First character.
        end: One after the last character.
        keep_stop: `abbreviations()`.
        starts: Room for end - begin positions.
        ends: The same, of one after each word's last character.
    """
    count = 0
    position = begin
    while position < end:
        flag = flags[position]
        if flag & SPACE:
            position += 1
            continue
        start = position
        every = flag
        position += 1
        while position < end and not flags[position] & SPACE:
            every &= flags[position]
            position += 1
        if every & LETTER:
            starts[count] = start
            ends[count] = position
            count += 1
        else:
            count = _split_chunk(points, flags, start, position, keep_stop, starts, ends, count)
    return count


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
        opening = _opening(points, flags, first, last)
        rest = first + opening
        if opening and _is_abbreviation(points, rest, last, keep_stop):
            starts[count], ends[count] = first, rest
            count += 1
            first = rest
            break
        closing = _closing(points, flags, rest, last)
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
def _join_faces(points: Points, starts: Positions, ends: Positions, first: int, count: int) -> int:
    """Make one word of two neighbouring characters that are drawn as a face, as in `:)`."""
    kept = first
    for index in range(first, count):
        start, end = starts[index], ends[index]
        if kept > first and end - start == 1 and ends[kept - 1] - starts[kept - 1] == 1:
            left, right = points[start - 1], points[start]
            if (left in _EYES and right in _MOUTHS) or (left in _MOUTHS and right in _EYES):
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


@compiled
def _opening(points: Points, flags: Flags, begin: int, end: int) -> int:
    """Length of what is split off the beginning, 0 for nothing."""
    point = points[begin]
    if flags[begin] & (EDGE | OPENER):
        return 1
    if point == _PLUS:
        return 0 if begin + 1 < end and flags[begin + 1] & DIGIT else 1
    if point == _STOP:
        stops = _run_of_stops(points, begin, end)
        return stops if stops > 1 else 0
    return 0


@compiled
def _run_of_stops(points: Points, begin: int, end: int) -> int:
    position = begin
    while position < end and points[position] == _STOP:
        position += 1
    return position - begin


@compiled
def _closing(points: Points, flags: Flags, begin: int, end: int) -> int:
    """Length of what is split off the end, 0 for nothing."""
    if begin >= end:
        return 0
    last = end - 1
    point, flag = points[last], flags[last]
    if flag & (EDGE | CLOSER):
        return 1
    before = flags[last - 1] if last > begin else np.uint32(0)
    if point == _STOP:
        stops = 1
        while last - stops >= begin and points[last - stops] == _STOP:
            stops += 1
        if stops > 1:
            return stops
        capitals = last - 1 > begin and before & UPPER and flags[last - 2] & UPPER
        return 1 if before & BEFORE_STOP or capitals else 0
    if point in (0x73, 0x53) and last > begin and points[last - 1] in _APOSTROPHES:
        return 2
    if before & DIGIT and (flag & CURRENCY or point == _PLUS or point == _PERCENT):
        return 1
    if flag & LETTER:
        return _unit(points, flags, begin, end)
    return 0


@compiled
def _unit(points: Points, flags: Flags, begin: int, end: int) -> int:
    """Length of a unit of measurement after a digit, as in `3km` and `20MB`."""
    start = end
    while start > begin and end - start < 4 and flags[start - 1] & LETTER:
        start -= 1
    if start == begin or start == end or not flags[start - 1] & DIGIT:
        return 0
    one = points[start]
    if end - start == 1:
        return 1 if one in (0x6D, 0x67, 0x74, 0x47, 0x4D, 0x54, 0x4B) else 0  # m g t G M T K
    two = points[start + 1]
    if end - start == 2:
        metres = two == 0x6D and one in (0x6B, 0x64, 0x63, 0x6D, 0x6E)  # km dm cm mm nm
        grams = two == 0x67 and one in (0x6B, 0x6D)  # kg mg
        octets = two in (0x62, 0x42) and one in (0x6B, 0x4B, 0x6D, 0x4D, 0x67, 0x47, 0x74, 0x54)
        others = (
            (one == 0x66 and two == 0x74)  # ft
            or (one == 0x69 and two == 0x6E)  # in
            or (one == 0x79 and two == 0x64)  # yd
            or (one == 0x6C and two == 0x62)  # lb
            or (one == 0x6F and two == 0x7A)  # oz
            or (one == 0x68 and two == 0x61)  # ha
        )
        return 2 if metres or grams or octets or others else 0
    if end - start == 3:
        third = points[start + 2]
        return 3 if (one, two, third) in ((0x6D, 0x70, 0x68), (0x6B, 0x6D, 0x68)) else 0
    return 0


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
    clitic = 0
    if _is_abbreviation(points, begin, end, keep_stop):
        cut = end
    else:
        clitic = _clitic(points, begin, end)
        cut = end - clitic
    start = begin
    if cut == end and not _is_abbreviation(points, begin, end, keep_stop):
        if not _is_address(points, flags, begin, end):
            position = begin
            while position < end:
                length = _infix(points, flags, begin, position, end)
                if length and position > begin:
                    if position > start:
                        starts[count], ends[count] = start, position
                        count += 1
                    starts[count], ends[count] = position, position + length
                    count += 1
                    start = position + length
                position += max(length, 1)
    if start < cut:
        starts[count], ends[count] = start, cut
        count += 1
    if clitic:
        starts[count], ends[count] = cut, end
        count += 1
    return count


@compiled
def _clitic(points: Points, begin: int, end: int) -> int:
    """Length of `n't`, `'m`, `'d`, `'re`, `'ve` or `'ll` at the end of a longer word."""
    size = end - begin
    last = points[end - 1] | 0x20
    if size > 3 and last == 0x74 and points[end - 2] in _APOSTROPHES:
        return 3 if points[end - 3] | 0x20 == 0x6E else 0
    if size > 2 and last in (0x6D, 0x64) and points[end - 2] in _APOSTROPHES:
        return 2
    if size > 3 and points[end - 3] in _APOSTROPHES:
        pair = (points[end - 2] | 0x20, last)
        return 3 if pair in ((0x72, 0x65), (0x76, 0x65), (0x6C, 0x6C)) else 0
    return 0


@compiled
def _is_address(points: Points, flags: Flags, begin: int, end: int) -> bool:
    """Whether the text looks like a web or mail address."""
    stop = -1  # the last full stop before any path
    position = begin
    while position < end:
        point = points[position]
        if point == _COLON and position + 2 < end and position - begin > 1:
            if points[position + 1] == _SLASH and points[position + 2] == _SLASH:
                return True
        if point in (_SLASH, 0x3F, 0x23):  # / ? #
            break
        if point == _STOP:
            stop = position
        elif not flags[position] & (LETTER | DIGIT) and point not in (_HYPHEN, 0x5F, 0x40):
            return False
        position += 1
    if stop <= begin or position - stop < 3:
        return False
    for place in range(stop + 1, position):
        if not flags[place] & LOWER:
            return False
    return True


@compiled
def _infix(points: Points, flags: Flags, begin: int, position: int, end: int) -> int:
    """Length of the punctuation that splits a word at `position`, 0 for none."""
    point, flag = points[position], flags[position]
    if flag & LETTER:
        return 0
    if point == _ELLIPSIS or flag & PICTOGRAPH:
        return 1
    before = flags[position - 1] if position > begin else np.uint32(0)
    after = flags[position + 1] if position + 1 < end else np.uint32(0)
    if point == _STOP:
        stops = _run_of_stops(points, position, end)
        if stops > 1:
            return stops
        return 1 if before & (LOWER | QUOTE) and after & (UPPER | QUOTE) else 0
    if point == _COMMA:
        return 1 if before & LETTER and after & LETTER else 0
    if before & DIGIT and point in (_PLUS, _HYPHEN, _STAR, _CARET):
        if after & DIGIT or (position + 1 < end and points[position + 1] == _HYPHEN):
            return 1
    if not before & (LETTER | DIGIT):
        return 0
    if point in (_COLON, _LESS, _GREATER, _EQUALS, _SLASH, _EN_DASH, _TILDE):
        return 1 if after & LETTER else 0
    if point in (_HYPHEN, _EM_DASH):
        dashes = 1
        while position + dashes < end and points[position + dashes] == point:
            dashes += 1
        longest = 3 if point == _HYPHEN else 2
        followed = position + dashes < end and flags[position + dashes] & LETTER
        return dashes if followed and dashes <= longest else 0
    return 0
