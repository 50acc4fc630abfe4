"""What is split off the ends of a word and inside it: spaCy's rules for English as native code.

Each function answers for one place in a text how many characters stand for themselves there. The
source and the deviations are told in `quality.kernel_text`, which applies them.
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
    UPPER,
    Flags,
)
from quality.kernel_cache import compiled

Points = NDArray[np.uint32]

_APOSTROPHES = (0x27, 0x2019)
_STOP, _COMMA, _PLUS, _HYPHEN, _STAR, _CARET = 0x2E, 0x2C, 0x2B, 0x2D, 0x2A, 0x5E
_COLON, _LESS, _GREATER, _EQUALS, _SLASH = 0x3A, 0x3C, 0x3E, 0x3D, 0x2F
_ELLIPSIS, _EN_DASH, _EM_DASH, _TILDE, _PERCENT = 0x2026, 0x2013, 0x2014, 0x7E, 0x25


@compiled
def opening_length(points: Points, flags: Flags, begin: int, end: int) -> int:
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
def closing_length(points: Points, flags: Flags, begin: int, end: int) -> int:
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
    if before & DIGIT and (flag & CURRENCY or point in (_PLUS, _PERCENT)):
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
    if start in (begin, end) or not flags[start - 1] & DIGIT:
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
def clitic_length(points: Points, begin: int, end: int) -> int:
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
def is_address(points: Points, flags: Flags, begin: int, end: int) -> bool:
    """Whether the text looks like a web or mail address."""
    stop = -1  # the last full stop before any path
    position = begin
    while position < end:
        point = points[position]
        if point == _COLON and begin + 1 < position < end - 2:
            return bool(points[position + 1] == _SLASH and points[position + 2] == _SLASH)
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
def infix_length(points: Points, flags: Flags, begin: int, position: int, end: int) -> int:
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
    if before & DIGIT and point in (_PLUS, _HYPHEN, _STAR, _CARET) and after:
        if after & DIGIT or points[position + 1] == _HYPHEN:
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
