"""Compiled: texts up to case and white space, as UTF-8, from the bytes of their Arrow array.

Byte for byte what `" ".join(text.casefold().split())` is in Python, whose tables it uses.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from quality.dedup.kernel_ngrams import Bytes, Codes, decode
from quality.kernel_cache import compiled

SPACE = 1 << 30
"""Code: white space."""
SEVERAL = 1 << 29
"""Flag beside `8 * first + count`: folds to `count` code points of the list of expansions."""
GROWTH = 3
"""Bytes written for one byte read, at most."""
_ASSIGNED = (range(0x3400), range(0xA000, 0xAC00), range(0xF900, 0x1F000))
"""Wherever Unicode has letters with case or white space."""


@functools.cache
def casefold_table() -> tuple[Codes, Codes]:
    """Codes by code point, shape (0x110000,), and the list of expansions; made in 0.03 s."""
    table = np.arange(0x110000, dtype=np.uint32)
    expansions: list[int] = []
    for part in _ASSIGNED:
        for code in part:
            character = chr(code)
            folded = character.casefold()
            if character.isspace():
                table[code] = SPACE
            elif len(folded) > 1:
                table[code] = SEVERAL | 8 * len(expansions) | len(folded)
                expansions += map(ord, folded)
            elif folded != character:
                table[code] = ord(folded)
    table.setflags(write=False)
    return table, np.array(expansions, dtype=np.uint32)


@compiled
def fold_texts(
    data: Bytes,
    offsets: NDArray[np.int64],
    table: Codes,
    expansions: Codes,
    has_begun: bool,
    pending: bool,
    out: Bytes,
    out_offsets: NDArray[np.int64],
) -> bool:
    """Fold the texts between the offsets, one after the other.

    Args:
        data: UTF-8 of many texts.
        offsets: Where each text begins and the last one ends, shape (N + 1,).
        table: Codes of `casefold_table`.
        expansions: Its expansions.
        has_begun: Whether characters of the first text were written before.
        pending: Whether white space was read behind them.
        out: Filled from the beginning; room for GROWTH bytes per byte of text and one more.
        out_offsets: Where each folded text begins and the last one ends, shape (N + 1,); filled.

    Returns:
        Whether the last text ends in white space, which is not written.
    """
    filled = 0
    out_offsets[0] = 0
    for row in range(len(offsets) - 1):
        position, end = offsets[row], offsets[row + 1]
        is_empty = not has_begun
        while position < end:
            byte = data[position]
            if byte < 0x80:
                code, size = int(table[byte]), 1
            else:
                character, size = decode(data, position, end)
                # No UTF-8: the byte stands for itself, so that other bytes stay other texts.
                code = int(table[character]) if character >= 0 else int(byte)
            position += size
            if code < 0x80 and not pending:
                out[filled] = code
                filled += 1
                is_empty = False
                continue
            if code == SPACE:
                pending = True
                continue
            if pending and not is_empty:
                out[filled] = 32
                filled += 1
            pending, is_empty = False, False
            if code < 0x80:
                out[filled] = code
                filled += 1
            elif code & SEVERAL:
                entry = code & (SEVERAL - 1)
                for index in range(entry >> 3, (entry >> 3) + (entry & 7)):
                    filled = _encode(int(expansions[index]), out, filled)
            else:
                filled = _encode(code, out, filled)
        out_offsets[row + 1] = filled
        if row + 2 < len(offsets):
            has_begun, pending = False, False
    return pending


@compiled
def _encode(code: int, out: Bytes, filled: int) -> int:
    """Write one code point as UTF-8."""
    if code < 0x80:
        out[filled] = code
        return filled + 1
    if code < 0x800:
        out[filled] = 0xC0 | (code >> 6)
        out[filled + 1] = 0x80 | (code & 0x3F)
        return filled + 2
    if code < 0x10000:
        out[filled] = 0xE0 | (code >> 12)
        out[filled + 1] = 0x80 | ((code >> 6) & 0x3F)
        out[filled + 2] = 0x80 | (code & 0x3F)
        return filled + 3
    out[filled] = 0xF0 | (code >> 18)
    out[filled + 1] = 0x80 | ((code >> 12) & 0x3F)
    out[filled + 2] = 0x80 | ((code >> 6) & 0x3F)
    out[filled + 3] = 0x80 | (code & 0x3F)
    return filled + 4
