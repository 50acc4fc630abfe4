"""Native rules of C4 for lines, and the counts of the text that stays.

A line goes if a word has more than 1000 characters, if it has fewer than three words, or if it
holds `javascript` or a phrase of a policy notice; marks of citations are cut out of the others and
blanks at both ends removed. Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning
with a Unified Text-to-Text Transformer", arXiv:1910.10683, section 2.2, and its reference code.
Left out, as in FineWeb (Penedo et al. 2024, arXiv:2406.17557): lines without terminal punctuation
stay, and so do documents with words of the list of bad words.

Deviations, so that doing it twice changes nothing: a line must have three words after its
citations are gone too, and citations that only appear when others are gone (`[[1]]`) go as well.
Sentences are those of spaCy's rule: after a sentence end, at the next token that is no punctuation.
"""

from typing import NamedTuple

import numpy as np

from quality.character_table import SENTENCE_END, Flags
from quality.kernel_affixes import Points
from quality.kernel_cache import compiled
from quality.kernel_lines import (
    JAVASCRIPT,
    LOREM_IPSUM,
    POLICY,
    LineScan,
    citation_length,
    scan_line,
    strip,
)
from quality.kernel_repetition import Hashes, Numbers, Positions
from quality.kernel_text import IS_PUNCTUATION, IS_STOP, Bytes, Words, encode
from quality.text_counts import Count

MIN_LINE_WORDS = 3
MAX_WORD_CHARS = 1000
SHORT_LINE_CHARS = 30
"""A line of at most so many characters is short: Penedo et al. 2024."""
_BRACKET = 0x5B


class LineScratch(NamedTuple):
    """Room for one line that was edited; each as long as the longest document."""

    points: Points
    flags: Flags
    words: Words


@compiled
def cut_citations(
    points: Points, flags: Flags, start: int, end: int, line: LineScratch
) -> tuple[int, int]:
    """Copy a line without its marks of citations; return the bounds without blanks at the ends."""
    count = 0
    for position in range(start, end):
        line.points[count], line.flags[count] = points[position], flags[position]
        count += 1
    again = True
    while again:
        again = False
        kept = position = 0
        while position < count:
            length = 0
            if line.points[position] == _BRACKET:
                length = citation_length(line.points, line.flags, position, count)
            if length:
                position += length
                again = True
                continue
            line.points[kept], line.flags[kept] = line.points[position], line.flags[position]
            kept += 1
            position += 1
        count = kept
    return strip(line.flags, 0, count)


@compiled
def goes(scan: LineScan) -> bool:
    """Whether C4 takes a line out before it looks for phrases."""
    return scan.words < MIN_LINE_WORDS or scan.longest_word > MAX_WORD_CHARS


@compiled
def note_phrases(scan: LineScan, counts: Numbers) -> bool:
    """Count the phrases that condemn a document; return whether the line goes for another."""
    if scan.phrases & LOREM_IPSUM:
        counts[Count.LOREM_IPSUM_LINES] += 1
        return False
    if scan.phrases & JAVASCRIPT:
        return True
    if scan.braces:
        counts[Count.BRACE_LINES] += 1
        return False
    return bool(scan.phrases & POLICY)


@compiled
def count_sentences(words: Words, first: int, last: int) -> int:
    """Sentences of a line whose tokens are those from `first` up to `last`."""
    sentences = 1
    ended = False
    for index in range(first, last):
        kind = words.kinds[index]
        if kind & IS_STOP:
            ended = True
        elif ended and not kind & IS_PUNCTUATION:
            sentences += 1
            ended = False
    return sentences


class Staying(NamedTuple):
    """The text that stays, line by line."""

    hashes: Hashes
    """Hash of each line."""
    lengths: Positions
    """Its characters."""
    data: Bytes
    """UTF-8 of the edited texts of a batch, one after the other; empty where none is edited."""
    end: Numbers
    """One number: the bytes in use."""


@compiled
def note_staying_line(
    points: Points,
    flags: Flags,
    start: int,
    end: int,
    digest: np.uint64,
    staying: Staying,
    counts: Numbers,
) -> None:
    """Add one line to the text that stays and count it."""
    size = end - start
    index = counts[Count.STAYING_LINES]
    staying.hashes[index] = digest
    staying.lengths[index] = size
    if staying.data.size:
        if index:
            staying.data[staying.end[0]] = 0x0A
            staying.end[0] += 1
        staying.end[0] = encode(points, start, end, staying.data, staying.end[0])
    counts[Count.STAYING_CHARS] += size
    counts[Count.SHORT_LINES] += size <= SHORT_LINE_CHARS
    counts[Count.TERMINAL_LINES] += (flags[end - 1] & SENTENCE_END) > 0
    counts[Count.STAYING_NEWLINES] += index > 0
    counts[Count.STAYING_LINES] += 1


@compiled
def edit_line(
    points: Points,
    flags: Flags,
    start: int,
    end: int,
    keep_stop: Hashes,
    line: LineScratch,
) -> tuple[int, int, LineScan]:
    """Cut the citations of a line; return bounds and contents of what is left in `line`."""
    first, last = cut_citations(points, flags, start, end, line)
    return first, last, scan_line(line.points, line.flags, first, last, keep_stop, line.words, 0)
