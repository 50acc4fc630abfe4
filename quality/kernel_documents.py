"""The native pass: all counts of `quality.text_counts` for every text of an Arrow string column.

Each text is decoded once; characters, lines, tokens and n-grams are counted on the code points.
Memory beyond the result: at most some 100 bytes per byte of the longest text, as far as used.
"""

from typing import NamedTuple

import numpy as np

from quality.character_table import ALPHABETIC, DECIMAL, SPACE, SYMBOL, Flags
from quality.kernel_affixes import Points
from quality.kernel_cache import compiled
from quality.kernel_lines import (
    find_lines,
    hash_ends,
    note_shape,
    scan_hash,
    scan_line,
    strip,
)
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
from quality.kernel_text import (
    HAS_LETTER,
    HASH_SEED,
    IS_SYMBOL,
    Bytes,
    Words,
    decode,
    finish_hash,
    hash_span,
)
from quality.text_counts import Count

_LF, _REPLACEMENT = 0x0A, 0xFFFD
MAX_STOP_WORD_CHARS = 4
NUM_COUNTS = len(Count)


class Scratch(NamedTuple):
    """Room for the longest text of a batch."""

    points: Points
    flags: Flags
    line_starts: Positions
    line_ends: Positions
    line_hashes: Hashes
    words: Words
    hashes: Hashes
    lengths: Positions
    tally: Tally
    line: LineScratch


def make_scratch(room: int) -> Scratch:
    """Room for texts of at most so many bytes; memory is taken only as far as it is used."""
    room += 2
    slots = mask_for(room) + 1
    tally = Tally(
        keys=np.empty(slots, np.uint64),
        copies=np.zeros(slots, np.int32),
        first=np.empty(slots, np.int32),
        slots=np.empty(room, np.int32),
        places=np.empty(room, np.int32),
        grams=np.empty(room, np.uint64),
    )
    line = LineScratch(
        points=np.empty(room, np.uint32), flags=np.empty(room, np.uint32), words=_words(room)
    )
    return Scratch(
        points=np.empty(room, np.uint32),
        flags=np.empty(room, np.uint32),
        line_starts=np.empty(room, np.int32),
        line_ends=np.empty(room, np.int32),
        line_hashes=np.empty(room, np.uint64),
        words=_words(room),
        hashes=np.empty(room, np.uint64),
        lengths=np.empty(room, np.int32),
        tally=tally,
        line=line,
    )


def _words(room: int) -> Words:
    return Words(
        starts=np.empty(room, np.int32),
        ends=np.empty(room, np.int32),
        hashes=np.empty(room, np.uint64),
        kinds=np.empty(room, np.uint8),
    )


@compiled
def count_documents(
    data: Bytes,
    offsets: Numbers,
    table: Flags,
    stop_words: Hashes,
    keep_stop: Hashes,
    scratch: Scratch,
    staying: Staying,
    staying_offsets: Numbers,
    counts: Numbers,
) -> None:
    """Fill one row of counts per text.

    Args:
        data: UTF-8 of all texts.
        offsets: Where each text begins, and where the last one ends; N + 1 numbers.
        table: `character_table()`.
        stop_words: `hash_span` of each stop word.
        keep_stop: `kernel_text.abbreviations()`.
        scratch: `make_scratch` for the longest text.
        staying: Its `data` receives the UTF-8 of what C4's rules for lines leave, and is as long
            as `data`. Empty: no text is edited, all of it stays.
        staying_offsets: Receives where each edited text begins and the last one ends.
        counts: Zeros, shape (N, NUM_COUNTS).
    """
    for document in range(offsets.size - 1):
        row = counts[document]
        size = decode(
            data, offsets[document], offsets[document + 1], table, scratch.points, scratch.flags
        )
        _count_characters(scratch.points, scratch.flags, size, row)
        lines = find_lines(
            scratch.points, scratch.flags, size, scratch.line_starts, scratch.line_ends
        )
        row[Count.LINES] = lines
        tokens = _count_lines(scratch, lines, keep_stop, staying, row)
        staying_offsets[document + 1] = staying.end[0]
        _count_unbroken(scratch, staying, size, lines, row)
        _count_tokens(scratch, tokens, stop_words, row)


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
    scratch: Scratch, lines: int, keep_stop: Hashes, staying: Staying, row: Numbers
) -> int:
    """Count what lines hold, which ones repeat, and the text that stays; return the tokens."""
    points, flags, words = scratch.points, scratch.flags, scratch.words
    edits = staying.data.size > 0
    filled = tokens = 0
    for index in range(lines):
        raw_start, raw_end = scratch.line_starts[index], scratch.line_ends[index]
        row[Count.MAX_LINE_CHARS] = max(row[Count.MAX_LINE_CHARS], raw_end - raw_start)
        start, end = strip(flags, raw_start, raw_end)
        if start == end:
            scratch.line_hashes[index] = hash_span(points, raw_start, raw_end)
            continue
        first = tokens
        scan = scan_line(points, flags, start, end, keep_stop, words, tokens)
        tokens = scan.tokens
        row[Count.WORDS] += scan.words
        row[Count.ALPHABETIC_WORDS] += scan.alphabetic_words
        row[Count.HASHES] += scan.hashes
        row[Count.ELLIPSES] += scan.ellipses
        note_shape(points, flags, start, end, row)
        scratch.hashes[filled] = scan.digest
        scratch.lengths[filled] = end - start
        filled += 1
        digest = hash_ends(points, raw_start, start, end, raw_end, scan.digest)
        scratch.line_hashes[index] = digest
        if not edits:
            note_staying_line(points, flags, raw_start, raw_end, digest, staying, row)
        if goes(scan):
            row[Count.DROPPED_LINES] += 1
        elif scan.citations:
            _edit(scratch, start, end, keep_stop, staying, row)
        elif note_phrases(scan, row):
            row[Count.DROPPED_LINES] += 1
        else:
            row[Count.SENTENCES] += count_sentences(words, first, tokens)
            if edits:
                note_staying_line(points, flags, start, end, scan.digest, staying, row)
                row[Count.STAYING_TOKENS] += tokens - first
    repeats = count_repeats(scratch.tally, scratch.hashes, scratch.lengths, filled)
    row[Count.REPEATED_FILLED_LINES], row[Count.REPEATED_FILLED_LINE_CHARS] = repeats[:2]
    row[Count.TOP_LINE_COPIES] = repeats[2]
    row[Count.REPEATED_STAYING_CHARS] = count_repeats(
        scratch.tally, staying.hashes, staying.lengths, row[Count.STAYING_LINES]
    )[1]
    if not edits:
        row[Count.STAYING_CHARS] = row[Count.CHARS] - row[Count.NEWLINES]
        row[Count.STAYING_NEWLINES] = row[Count.NEWLINES]
        row[Count.STAYING_TOKENS] = tokens
    return tokens


@compiled
def _edit(
    scratch: Scratch, start: int, end: int, keep_stop: Hashes, staying: Staying, row: Numbers
) -> None:
    """Count a line with citations as what is left without them."""
    line = scratch.line
    first, last, scan = edit_line(scratch.points, scratch.flags, start, end, keep_stop, line)
    if goes(scan) or note_phrases(scan, row):
        row[Count.DROPPED_LINES] += 1
        return
    row[Count.SENTENCES] += count_sentences(line.words, 0, scan.tokens)
    if staying.data.size:
        note_staying_line(line.points, line.flags, first, last, scan.digest, staying, row)
        row[Count.STAYING_TOKENS] += scan.tokens


@compiled
def _count_unbroken(
    scratch: Scratch, staying: Staying, size: int, lines: int, row: Numbers
) -> None:
    """Count repeated lines and paragraphs as Gopher does: every character matters."""
    points, flags = scratch.points, scratch.flags
    text_start, text_end = strip(flags, 0, size)
    paragraphs = unbroken = 0
    start = end = -1  # of the paragraph
    digest = HASH_SEED
    for index in range(lines + 1):
        if index == lines or scratch.line_starts[index] == scratch.line_ends[index]:
            if start >= 0:
                staying.hashes[paragraphs] = digest
                staying.lengths[paragraphs] = end - start
                paragraphs += 1
                start = -1
            continue
        line_start, line_end = scratch.line_starts[index], scratch.line_ends[index]
        line_digest = scratch.line_hashes[index]
        scratch.hashes[unbroken] = line_digest
        scratch.lengths[unbroken] = line_end - line_start
        unbroken += 1
        inner_start, inner_end = max(line_start, text_start), min(line_end, text_end)
        if inner_start >= inner_end:
            continue  # blanks before the first or after the last word
        if inner_start != line_start or inner_end != line_end:
            first, last = strip(flags, line_start, line_end)
            bare = scan_hash(points, flags, first, last)
            line_digest = hash_ends(points, inner_start, first, last, inner_end, bare)
        if start < 0:
            start = inner_start
            digest = HASH_SEED
        end = inner_end
        digest = finish_hash(digest ^ line_digest)
    repeats, chars, _ = count_repeats(scratch.tally, staying.hashes, staying.lengths, paragraphs)
    row[Count.PARAGRAPHS] = max(paragraphs, 1)
    row[Count.REPEATED_PARAGRAPHS] = repeats
    row[Count.REPEATED_PARAGRAPH_CHARS] = chars
    repeats, chars, _ = count_repeats(scratch.tally, scratch.hashes, scratch.lengths, unbroken)
    broken_first = size > 0 and points[0] == _LF
    broken_last = size > 0 and points[size - 1] == _LF
    row[Count.UNBROKEN_LINES] = max(unbroken + broken_first + broken_last, 1)
    row[Count.REPEATED_LINES] = repeats + (broken_first and broken_last)
    row[Count.REPEATED_LINE_CHARS] = chars


@compiled
def _count_tokens(scratch: Scratch, tokens: int, stop_words: Hashes, row: Numbers) -> None:
    words = scratch.words
    offset = dark = dark_chars = letters = 0
    found = 0
    for index in range(tokens):
        size = words.ends[index] - words.starts[index]
        kind = words.kinds[index]
        scratch.lengths[index] = offset
        offset += size
        letters += kind & HAS_LETTER
        if not kind & IS_SYMBOL:
            dark += 1
            dark_chars += size
        if size <= MAX_STOP_WORD_CHARS:
            for word in range(stop_words.size):
                found |= (words.hashes[index] == stop_words[word]) << word
    scratch.lengths[tokens] = offset
    row[Count.TOKENS] = tokens
    row[Count.DARK_TOKENS] = dark
    row[Count.DARK_TOKEN_CHARS] = dark_chars
    row[Count.LETTER_TOKENS] = letters
    for word in range(stop_words.size):
        row[Count.STOP_WORDS] += found >> word & 1
    count_ngrams(scratch.tally, words.hashes, scratch.lengths, tokens, row)
