"""The words that near-duplicate and overlap tests compare, letter by letter: one folding table.

    lower case; combining marks dropped; every number one `0`; punctuation and white space end words

Each character c becomes NFD(lower(c)) without its non-spacing marks (category Mn), and final sigma
becomes sigma. A number is a run of decimal digits (Nd) of any script with at most one decimal
separator inside; it becomes one `0`. Categories P, Z and C and the ASCII symbols end a word. The
other symbols belong to words.
Source: the normalisation of the MinHash step of datatrove 0.10 (`simplify_text`), as used for
FineWeb (Penedo et al. 2024, arXiv 2406.17557). Deviations: words end at every punctuation mark and
not where a language's tokenizer says, so that no language has to be known and the apostrophe of
*don't* splits it in two; in scripts without spaces between words every character is a word of its
own, where a tokenizer of English takes a whole sentence for one.
"""

import functools
import unicodedata

import numpy as np
from numpy.typing import NDArray

SEPARATOR = 0
"""Code: ends a word."""
DROPPED = 1
"""Code: as if it were not there."""
DIGIT = 2
"""Code: part of a number."""
POINT = 3
"""Code: decimal separator between two digits, else ends a word."""
ALONE = 1 << 24
"""Flag beside a folded code point: a word of its own."""
SEVERAL = 1 << 25
"""Flag beside `8 * first + count`: folds to `count` code points of the list of expansions."""

NUM_CODE_POINTS = 0x110000
_DECIMAL_SEPARATORS = ".,\u060c\u066b\u2396\u2397\u2398"
_SIGMA, _FINAL_SIGMA = "\u03c3", "\u03c2"
_ASCII_SYMBOLS = "$+<=>^`|~"
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # radicals
    (0x3040, 0x30FF),  # hiragana, katakana
    (0x31F0, 0x31FF),  # katakana extensions
    (0x3400, 0x4DBF),  # ideographs
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
"""Blocks of scripts that put no spaces between words."""
_PLAIN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x2F7FF), (0x30000, 0x323AF))
"""Blocks in which every character folds to itself, so none is looked at."""
_ASSIGNED = (
    range(0x3400),
    range(0x4DC0, 0x4E00),
    range(0xA000, 0xD800),
    range(0xE000, 0x20000),
    range(0x2F800, 0x2FA20),
    range(0xE0000, 0xE0200),
)
"""The rest of what Unicode has assigned."""


@functools.cache
def folding_table() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Codes by code point, shape (0x110000,), and the list of expansions; made in 0.1 s."""
    table = np.zeros(NUM_CODE_POINTS, dtype=np.uint32)
    expansions: list[int] = []
    for part in _ASSIGNED:
        for code in part:
            character = chr(code)
            category = unicodedata.category(character)
            if category[0] in "PZC" or character in _ASCII_SYMBOLS:
                continue
            if category == "Mn":
                table[code] = DROPPED
            elif category == "Nd":
                table[code] = DIGIT
            else:
                table[code] = _encode(fold_character(character), expansions)
    for low, high in _PLAIN:
        table[low : high + 1] = np.arange(low, high + 1)
    for low, high in _UNSPACED:
        block = table[low : high + 1]
        block[block > POINT] |= np.uint32(ALONE)
    table[[ord(character) for character in _DECIMAL_SEPARATORS]] = POINT
    table.setflags(write=False)
    return table, np.array(expansions or [0], dtype=np.uint32)


def fold_character(character: str) -> str:
    """Lower case without non-spacing marks; empty if nothing is left."""
    decomposed = unicodedata.normalize("NFD", character.lower())
    return "".join(
        _SIGMA if c == _FINAL_SIGMA else c for c in decomposed if unicodedata.category(c) != "Mn"
    )


def _encode(folded: str, expansions: list[int]) -> int:
    if not folded:
        return DROPPED
    if len(folded) == 1:
        return ord(folded)
    expansions += map(ord, folded)
    return SEVERAL | 8 * (len(expansions) - len(folded)) | len(folded)
