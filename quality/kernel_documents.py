"""The native pass: all counts of `quality.text_counts` for every text of an Arrow string column.

Each text is decoded once; characters, lines, tokens and n-grams are counted on the code points.
Memory beyond the result: some 70 bytes per byte of the longest text, touched only as far as used.
"""

from typing import NamedTuple

import numpy as np

from quality.character_table import (
    ALPHABETIC,
    DECIMAL,
    LETTER,
    SPACE,
    SYMBOL,
    SYMBOL_WORD,
    Flags,
)
from quality.kernel_affixes import Points
from quality.kernel_cache import compiled
from quality.kernel_lines import find_lines, note_shape, scan_line, strip
from quality.kernel_repetition import (
    Hashes,
    Numbers,
    Positions,
    Tally,
    count_ngrams,
    count_repeats,
    mask_for,
)
from quality.kernel_staying import (
    LineScratch,
    Staying,
    count_sentences,
    edit_line,
    goes,
    note_phrases,
    note_staying_line,
)
from quality.kernel_text import Bytes, decode, hash_span, split_words
from quality.text_counts import Count

_LF, _REPLACEMENT = 0x0A, 0xFFFD
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(31)
NUM_COUNTS = len(Count)


class Scratch(NamedTuple):
    """Room for the longest text of a batch."""

    points: Points
    flags: Flags
    line_starts: Positions
    line_ends: Positions
    token_starts: Positions
    token_ends: Positions
    hashes: Hashes
    lengths: Positions
    more_hashes: Hashes
    more_lengths: Positions
    tally: Tally
    line: LineScratch


@compiled
def count_documents(
    data: Bytes,
    offsets: Numbers,
    table: Flags,
    stop_words: Hashes,
    keep_stop: Hashes,
    edited: Bytes,
    edited_offsets: Numbers,
    counts: Numbers,
) -> None:
    """Fill one row of counts per text.

    Args:
        data: UTF-8 of all texts.
        offsets: Where each text begins, and where the last one ends; N + 1 numbers.
        table: `character_table()`.
        stop_words: `hash_span` of each stop word.
        keep_stop: `kernel_text.abbreviations()`.
        edited: Receives the UTF-8 of what C4's rules for lines leave; as long as `data`. Empty: no
            text is edited, all of it stays.
        edited_offsets: Receives where each edited text begins and the last one ends.
        counts: Zeros, shape (N, NUM_COUNTS).
    """
    longest = 0
    for document in range(offsets.size - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    scratch = _scratch(longest + 2)
    staying = Staying(scratch.more_hashes, scratch.more_lengths, edited, np.zeros(1, np.int64))
    for document in range(offsets.size - 1):
        row = counts[document]
        size = decode(
            data, offsets[document], offsets[document + 1], table, scratch.points, scratch.flags
        )
        _count_characters(scratch.points, scratch.flags, size, row)
        tokens = split_words(
            scratch.points,
            scratch.flags,
            0,
            size,
            keep_stop,
            scratch.token_starts,
            scratch.token_ends,
        )
        lines = find_lines(
            scratch.points, scratch.flags, size, scratch.line_starts, scratch.line_ends
        )
        row[Count.LINES] = lines
        _count_lines(scratch, lines, tokens, keep_stop, edited.size > 0, staying, row)
        edited_offsets[document + 1] = staying.end[0]
        _count_unbroken(scratch, size, lines, row)
        _count_tokens(scratch, tokens, stop_words, row)


@compiled
def _scratch(room: int) -> Scratch:
    slots = mask_for(room) + 1
    tally = Tally(
        np.empty(slots, np.uint64),
        np.zeros(slots, np.int32),
        np.empty(slots, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.uint64),
    )
    line = LineScratch(
        np.empty(room, np.uint32),
        np.empty(room, np.uint32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
    )
    return Scratch(
        np.empty(room, np.uint32),
        np.empty(room, np.uint32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.uint64),
        np.empty(room, np.int32),
        np.empty(room, np.uint64),
        np.empty(room, np.int32),
        tally,
        line,
    )


@compiled
def _count_characters(points: Points, flags: Flags, size: int, row: Numbers) -> None:
    dark = alphabetic = decimal = symbol = newlines = replacements = 0
    for position in range(size):
        flag = flags[position]
        dark += not flag & SPACE
        alphabetic += (flag & ALPHABETIC) > 0
        decimal += (flag & DECIMAL) > 0
        symbol += (flag & SYMBOL) > 0
    for position in range(size):
        newlines += points[position] == _LF
        replacements += points[position] == _REPLACEMENT
    row[Count.CHARS] = size
    row[Count.DARK_CHARS] = dark
    row[Count.ALPHABETIC_CHARS] = alphabetic
    row[Count.DECIMAL_CHARS] = decimal
    row[Count.SYMBOL_CHARS] = symbol
    row[Count.NEWLINES] = newlines
    row[Count.REPLACEMENT_CHARS] = replacements


@compiled
def _count_lines(
    scratch: Scratch,
    lines: int,
    tokens: int,
    keep_stop: Hashes,
    edit_lines: bool,
    staying: Staying,
    row: Numbers,
) -> None:
    """Count what lines hold, which ones repeat, and the text that stays."""
    points, flags = scratch.points, scratch.flags
    filled = 0
    first = last = 0  # tokens of the line
    for index in range(lines):
        raw_start, raw_end = scratch.line_starts[index], scratch.line_ends[index]
        row[Count.MAX_LINE_CHARS] = max(row[Count.MAX_LINE_CHARS], raw_end - raw_start)
        start, end = strip(flags, raw_start, raw_end)
        if start == end:
            continue
        first = last
        while last < tokens and scratch.token_starts[last] < end:
            last += 1
        scan = scan_line(points, flags, start, end)
        row[Count.WORDS] += scan.words
        row[Count.ALPHABETIC_WORDS] += scan.alphabetic_words
        row[Count.HASHES] += scan.hashes
        row[Count.ELLIPSES] += scan.ellipses
        note_shape(points, flags, start, end, row)
        scratch.hashes[filled] = hash_span(points, start, end)
        scratch.lengths[filled] = end - start
        filled += 1
        if not edit_lines:
            note_staying_line(points, flags, raw_start, raw_end, staying, row)
        if scan.citations:
            start, end, edited = edit_line(
                points, flags, start, end, scan, scratch.line, keep_stop, row
            )
            if not edited:
                row[Count.DROPPED_LINES] += 1
            elif edit_lines:
                note_staying_line(scratch.line.points, scratch.line.flags, start, end, staying, row)
                row[Count.STAYING_TOKENS] += edited
            continue
        if goes(scan) or note_phrases(scan, row):
            row[Count.DROPPED_LINES] += 1
            continue
        row[Count.SENTENCES] += count_sentences(
            points, flags, scratch.token_starts, scratch.token_ends, first, last
        )
        if edit_lines:
            note_staying_line(points, flags, start, end, staying, row)
            row[Count.STAYING_TOKENS] += last - first
    repeats = count_repeats(scratch.tally, scratch.hashes, scratch.lengths, filled)
    row[Count.REPEATED_FILLED_LINES], row[Count.REPEATED_FILLED_LINE_CHARS] = repeats[:2]
    row[Count.TOP_LINE_COPIES] = repeats[2]
    row[Count.REPEATED_STAYING_CHARS] = count_repeats(
        scratch.tally, staying.hashes, staying.lengths, row[Count.STAYING_LINES]
    )[1]
    if not edit_lines:
        row[Count.STAYING_CHARS] = row[Count.CHARS] - row[Count.NEWLINES]
        row[Count.STAYING_NEWLINES] = row[Count.NEWLINES]
        row[Count.STAYING_TOKENS] = tokens


@compiled
def _count_unbroken(scratch: Scratch, size: int, lines: int, row: Numbers) -> None:
    """Count repeated lines and paragraphs as Gopher does: every character matters."""
    points, flags = scratch.points, scratch.flags
    text_start, text_end = strip(flags, 0, size)
    paragraphs = unbroken = 0
    start = end = -1  # of the paragraph
    digest = np.uint64(0)
    for index in range(lines + 1):
        empty = index == lines or scratch.line_starts[index] == scratch.line_ends[index]
        if empty:
            if start >= 0:
                scratch.more_hashes[paragraphs] = digest
                scratch.more_lengths[paragraphs] = end - start
                paragraphs += 1
                start = -1
            continue
        line_start, line_end = scratch.line_starts[index], scratch.line_ends[index]
        line_digest = hash_span(points, line_start, line_end)
        scratch.hashes[unbroken] = line_digest
        scratch.lengths[unbroken] = line_end - line_start
        unbroken += 1
        inner_start, inner_end = max(line_start, text_start), min(line_end, text_end)
        if inner_start >= inner_end:
            continue  # blanks before the first or after the last word
        if inner_start != line_start or inner_end != line_end:
            line_digest = hash_span(points, inner_start, inner_end)
        if start < 0:
            start = inner_start
            digest = np.uint64(0)
        end = inner_end
        digest = (digest ^ line_digest) * _FACTOR
        digest ^= digest >> _SHIFT
    repeats, chars, _ = count_repeats(
        scratch.tally, scratch.more_hashes, scratch.more_lengths, paragraphs
    )
    row[Count.PARAGRAPHS] = max(paragraphs, 1)
    row[Count.REPEATED_PARAGRAPHS] = repeats
    row[Count.REPEATED_PARAGRAPH_CHARS] = chars
    repeats, chars, _ = count_repeats(scratch.tally, scratch.hashes, scratch.lengths, unbroken)
    broken_first = size > 0 and points[0] == _LF
    broken_last = size > 0 and points[size - 1] == _LF
    row[Count.UNBROKEN_LINES] = max(unbroken + broken_first + broken_last, 1)
    row[Count.REPEATED_LINES] = repeats + (broken_first and broken_last and unbroken > 0)
    row[Count.REPEATED_LINE_CHARS] = chars


@compiled
def _count_tokens(scratch: Scratch, tokens: int, stop_words: Hashes, row: Numbers) -> None:
    points, flags = scratch.points, scratch.flags
    offset = dark = dark_chars = letters = 0
    found = 0
    for index in range(tokens):
        start, end = scratch.token_starts[index], scratch.token_ends[index]
        some = every = flags[start]
        for position in range(start + 1, end):
            some |= flags[position]
            every &= flags[position]
        digest = hash_span(points, start, end)
        scratch.hashes[index] = digest
        scratch.lengths[index] = offset
        offset += end - start
        letters += (some & LETTER) > 0
        if not every & SYMBOL_WORD:
            dark += 1
            dark_chars += end - start
        if end - start <= 4 and every & LETTER:
            for word in range(stop_words.size):
                if digest == stop_words[word]:
                    found |= 1 << word
    scratch.lengths[tokens] = offset
    row[Count.TOKENS] = tokens
    row[Count.DARK_TOKENS] = dark
    row[Count.DARK_TOKEN_CHARS] = dark_chars
    row[Count.LETTER_TOKENS] = letters
    for word in range(stop_words.size):
        row[Count.STOP_WORDS] += found >> word & 1
    count_ngrams(scratch.tally, scratch.hashes, scratch.lengths, tokens, row)
