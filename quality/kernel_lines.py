"""Native passes over the lines of a document: where they are, what they hold, which phrases.

Lines are those of `str.splitlines`; CR and LF together are one line break.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quality.character_table import (
    ALPHABETIC,
    BREAK,
    BULLET,
    DECIMAL,
    LETTER,
    MARK,
    SPACE,
    Flags,
)
from quality.kernel_affixes import Points
from quality.kernel_cache import compiled
from quality.kernel_repetition import Numbers, Positions
from quality.kernel_text import (
    HAS_LETTER,
    HASH_SEED,
    Hashes,
    Words,
    append_words,
    finish_hash,
    hash_character,
    hash_span,
)
from quality.text_counts import Count

_CR, _LF = 0x0D, 0x0A
_STOP, _ELLIPSIS, _HASH, _BRACE, _BRACKET, _CLOSE = 0x2E, 0x2026, 0x23, 0x7B, 0x5B, 0x5D
_DASH, _DOT_BULLET = 0x2D, 0x2022


def _phrase(text: str) -> NDArray[np.uint32]:
    return np.array([ord(character) for character in text], dtype=np.uint32)


JAVASCRIPT, LOREM_IPSUM, POLICY = 1, 2, 4
_JAVASCRIPT = _phrase("javascript")
_LOREM_IPSUM = _phrase("lorem ipsum")
_TERMS = _phrase("terms of use")
_PRIVACY = _phrase("privacy policy")
_COOKIE = _phrase("cookie policy")
_USES = _phrase("uses cookies")
_USE_OF = _phrase("use of cookies")
_USE = _phrase("use cookies")
_EDIT = _phrase("[edit]")
_CITATION = _phrase("[citation needed]")


class LineScan(NamedTuple):
    """What one line holds."""

    digest: np.uint64
    """Hash of its characters."""
    tokens: int
    """Tokens of the text up to the end of the line."""
    words: int
    """Runs of characters between white space."""
    alphabetic_words: int
    """Those with an alphabetic character."""
    longest_word: int
    """Characters of the longest word."""
    hashes: int
    """Number signs."""
    ellipses: int
    """U+2026, and three full stops in a row, not overlapping."""
    braces: int
    """Opening braces."""
    citations: int
    """Marks of citations: `[12]`, `[]`, `[edit]`, `[citation needed]`."""
    phrases: int
    """Sum of JAVASCRIPT, LOREM_IPSUM and POLICY, whichever occur."""


@compiled
def find_lines(points: Points, flags: Flags, count: int, starts: Positions, ends: Positions) -> int:
    """Fill `starts` and `ends` with the lines of a text without their breaks; return how many."""
    lines = 0
    start = 0
    for position in range(count):
        if flags[position] & BREAK:
            if points[position] == _LF and position and points[position - 1] == _CR:
                start = position + 1
                continue
            starts[lines], ends[lines] = start, position
            lines += 1
            start = position + 1
    if start < count:
        starts[lines], ends[lines] = start, count
        lines += 1
    return lines


@compiled
def strip(flags: Flags, start: int, end: int) -> tuple[int, int]:
    """Bounds of a line without the blanks at both ends."""
    while start < end and flags[start] & SPACE:
        start += 1
    while end > start and flags[end - 1] & SPACE:
        end -= 1
    return start, end


@compiled
def scan_line(
    points: Points,
    flags: Flags,
    start: int,
    end: int,
    keep_stop: Hashes,
    tokens: Words,
    num_tokens: int,
) -> LineScan:
    """Look at every character of a line once; add its tokens.

    Args:
        points: Code points of the text.
        flags: Their flags.
        start: First character, no white space.
        end: One after the last one, before which there is no white space.
        keep_stop: `kernel_text.abbreviations()`.
        tokens: Receives the tokens.
        num_tokens: How many there are before.
    """
    words = alphabetic_words = longest = hashes = ellipses = braces = citations = phrases = 0
    starts, ends, digests, kinds = tokens.starts, tokens.ends, tokens.hashes, tokens.kinds
    line_digest = HASH_SEED
    position = start
    while position < end:
        flag = flags[position]
        if flag & SPACE:
            line_digest = hash_character(line_digest, points[position])
            position += 1
            continue
        word = position
        some = every = flag
        digest = HASH_SEED
        while not flag & SPACE:
            some |= flag
            every &= flag
            digest = hash_character(digest, points[position])
            position += 1
            if position == end:
                break
            flag = flags[position]
        digest = finish_hash(digest)
        line_digest = finish_hash(line_digest ^ digest)
        if every & LETTER:
            starts[num_tokens], ends[num_tokens] = word, position
            digests[num_tokens], kinds[num_tokens] = digest, HAS_LETTER
            num_tokens += 1
        else:
            num_tokens = append_words(points, flags, word, position, keep_stop, tokens, num_tokens)
        words += 1
        alphabetic_words += (some & ALPHABETIC) > 0
        longest = max(longest, position - word)
        if some & MARK:
            marks = _scan_marks(points, flags, start, word, position, end)
            hashes += marks[0]
            ellipses += marks[1]
            braces += marks[2]
            citations += marks[3]
            phrases |= marks[4]
    return LineScan(
        line_digest,
        num_tokens,
        words,
        alphabetic_words,
        longest,
        hashes,
        ellipses,
        braces,
        citations,
        phrases,
    )


@compiled
def scan_hash(points: Points, flags: Flags, start: int, end: int) -> np.uint64:
    """Only the digest of `scan_line`."""
    line_digest = digest = HASH_SEED
    for position in range(start, end + 1):
        if position == end or flags[position] & SPACE:
            if digest != HASH_SEED:
                line_digest = finish_hash(line_digest ^ finish_hash(digest))
                digest = HASH_SEED
            if position < end:
                line_digest = hash_character(line_digest, points[position])
        else:
            digest = hash_character(digest, points[position])
    return line_digest


@compiled
def hash_ends(
    points: Points, raw_start: int, start: int, end: int, raw_end: int, digest: np.uint64
) -> np.uint64:
    """Hash of a line with its blanks at both ends from the hash of what is between them."""
    if raw_start == start and raw_end == end:
        return digest
    before, after = hash_span(points, raw_start, start), hash_span(points, end, raw_end)
    return finish_hash(digest ^ finish_hash(before) ^ after)


@compiled
def _scan_marks(
    points: Points, flags: Flags, line: int, start: int, end: int, line_end: int
) -> tuple[int, int, int, int, int]:
    """Number signs, ellipses, opening braces, citations and phrases of one word."""
    hashes = ellipses = braces = citations = phrases = stops = 0
    for position in range(start, end):
        point = points[position]
        if point == _STOP:
            stops += 1
            if stops == 3:
                ellipses += 1
                stops = 0
            continue
        stops = 0
        if not flags[position] & MARK:
            continue
        if point == _ELLIPSIS:
            ellipses += 1
        elif point == _HASH:
            hashes += 1
        elif point == _BRACE:
            braces += 1
        elif point == _BRACKET:
            citations += citation_length(points, flags, position, line_end) > 0
        else:
            phrases |= _phrase_at(points, line, position, line_end)
    return hashes, ellipses, braces, citations, phrases


@compiled
def _phrase_at(points: Points, start: int, position: int, end: int) -> int:
    """Which phrase has its rarest letter here, 0 for none."""
    letter = points[position] | 0x20
    if letter == 0x6A:  # j
        return JAVASCRIPT if _equal(points, start, position, end, _JAVASCRIPT) else 0
    if letter == 0x6D:  # m
        if _equal(points, start, position - 4, end, _LOREM_IPSUM):
            return LOREM_IPSUM
        return POLICY if _equal(points, start, position - 3, end, _TERMS) else 0
    if letter == 0x76:  # v; also the one in "javascript"
        return POLICY if _equal(points, start, position - 3, end, _PRIVACY) else 0
    if letter == 0x6B:  # k
        found = (
            _equal(points, start, position - 3, end, _COOKIE)
            or _equal(points, start, position - 8, end, _USES)
            or _equal(points, start, position - 10, end, _USE_OF)
            or _equal(points, start, position - 7, end, _USE)
        )
        return POLICY if found else 0
    return 0


@compiled
def _equal(points: Points, start: int, position: int, end: int, phrase: Points) -> bool:
    """Whether the phrase stands at the position; capitals of ASCII count as small letters."""
    if position < start or position + phrase.size > end:
        return False
    for index in range(phrase.size):
        point = points[position + index]
        if 0x41 <= point <= 0x5A:
            point |= 0x20
        if point != phrase[index]:
            return False
    return True


@compiled
def citation_length(points: Points, flags: Flags, position: int, end: int) -> int:
    """Length of the citation mark that begins at an opening bracket, 0 for none."""
    after = position + 1
    while after < end and flags[after] & DECIMAL:
        after += 1
    if after < end and points[after] == _CLOSE:
        return after + 1 - position
    if _same(points, position, end, _EDIT):
        return int(_EDIT.size)
    return int(_CITATION.size) if _same(points, position, end, _CITATION) else 0


@compiled
def _same(points: Points, position: int, end: int, phrase: Points) -> bool:
    if position + phrase.size > end:
        return False
    for index in range(phrase.size):
        if points[position + index] != phrase[index]:
            return False
    return True


@compiled
def note_shape(points: Points, flags: Flags, start: int, end: int, counts: Numbers) -> None:
    """Count what a filled line begins and ends with; the bounds are those without blanks."""
    counts[Count.FILLED_LINES] += 1
    counts[Count.FILLED_LINE_CHARS] += end - start
    if flags[start] & BULLET:
        counts[Count.BULLET_LINES] += 1
        counts[Count.DASH_LINES] += points[start] in (_DASH, _DOT_BULLET)
    last = points[end - 1]
    three = end - start > 2 and last == _STOP == points[end - 2] == points[end - 3]
    counts[Count.ELLIPSIS_LINES] += last == _ELLIPSIS or three
