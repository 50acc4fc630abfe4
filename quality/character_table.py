"""What each Unicode character is: one table of bit flags, looked up by code point in the kernels.

The general categories and properties come from the Unicode tables of Polars' regular expressions
and of Python, so no list is kept here but the few that a published rule names.
"""

import functools

import numpy as np
import polars as pl
from numpy.typing import NDArray

Flags = NDArray[np.uint32]

SPACE = 1 << 0
"""White space, as `str.isspace`."""
BREAK = 1 << 1
"""Ends a line, as `str.splitlines`."""
LETTER = 1 << 2
"""A letter, as `str.isalpha`."""
LOWER = 1 << 3
"""A letter that is not upper case; a letter of a script without case is both."""
UPPER = 1 << 4
"""A letter that is not lower case."""
DIGIT = 1 << 5
"""One of 0 to 9."""
EDGE = 1 << 6
"""Punctuation, quotation mark or pictograph that is split off both ends of a word."""
OPENER = 1 << 7
"""Split off the beginning of a word only."""
CLOSER = 1 << 8
"""Split off the end of a word only (the dashes)."""
QUOTE = 1 << 9
"""Quotation marks; a full stop between a letter and one of them ends a word."""
CURRENCY = 1 << 10
"""Split off after a digit."""
BEFORE_STOP = 1 << 11
"""After it, a full stop at the end of a word stands alone."""
PICTOGRAPH = 1 << 12
"""Split off anywhere in a word (category So without the degree sign)."""
PUNCTUATION = 1 << 13
"""Category P."""
SENTENCE_END = 1 << 14
"""Unicode property Sentence_Terminal."""
SYMBOL_WORD = 1 << 15
"""A word of nothing but these is no word: punctuation and control characters."""
ALPHABETIC = 1 << 16
"""Unicode property Alphabetic: letters and the marks that belong to them."""
DECIMAL = 1 << 17
"""Category Nd: decimal digits of any script."""
SYMBOL = 1 << 18
"""Neither alphabetic, mark, number nor white space."""
BULLET = 1 << 19
"""Begins an item of a list."""
MARK = 1 << 20
"""Something that a rule counts, or the rarest letter of a phrase that a rule looks for."""
CONTROL = 1 << 21
"""Category Cc apart from tab and line feed, and U+FEFF."""
UNCOMPOSED = 1 << 22
"""May change under canonical composition, alone or after its neighbour."""

NUM_CODE_POINTS = 0x110000
_ASSIGNED = (range(0xD800), range(0xE000, 0x32400), range(0xE0000, 0xE0200))
"""Wherever Unicode has assigned characters that differ from their neighbours; no surrogates."""
_SPLIT_OFF = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_CURRENCIES = "$£€¥฿₽﷼"
_BULLETS = "-*•‣◦▪●"
_MARKS = "#{[.…\ufffdjJkKvVmM"


@functools.cache
def character_table() -> Flags:
    """Flags of every code point, shape (0x110000,); made once, in a third of a second."""
    index = np.concatenate([np.arange(part.start, part.stop) for part in _ASSIGNED])
    characters = list(map(chr, index.tolist()))
    series = pl.Series(characters)
    table = np.full(NUM_CODE_POINTS, SYMBOL, dtype=np.uint32)
    table[index] = 0

    def mark(flag: int, chosen: NDArray[np.bool_]) -> None:
        table[index[chosen]] |= np.uint32(flag)

    def matches(pattern: str) -> NDArray[np.bool_]:
        return series.str.contains(pattern).to_numpy()

    def mark_all(flag: int, members: str) -> None:
        table[[ord(member) for member in members]] |= np.uint32(flag)

    letter = np.fromiter(map(str.isalpha, characters), bool)
    mark(SPACE, np.fromiter(map(str.isspace, characters), bool))
    mark(LETTER, letter)
    mark(LOWER, letter & ~matches(r"[\p{Lu}\p{Lt}]"))
    mark(UPPER, letter & ~matches(r"\p{Ll}"))
    mark(PICTOGRAPH | EDGE, matches(r"[\p{So}--°]"))
    mark(PUNCTUATION, matches(r"\p{P}"))
    mark(SENTENCE_END, matches(r"\p{Sentence_Terminal}"))
    mark(SYMBOL_WORD, matches(r"[\p{P}\p{Cc}$+<=>^`|~´--[\t\n•‣◦‘]]"))
    mark(ALPHABETIC, matches(r"\p{Alphabetic}"))
    mark(DECIMAL, matches(r"\p{Nd}"))
    mark(SYMBOL, matches(r"[^\p{Alphabetic}\p{M}\p{N}\s]"))
    mark(CONTROL, matches(r"[\p{Cc}\x{feff}--[\t\n]]"))
    mark(UNCOMPOSED, _may_compose(characters))
    mark_all(BREAK, "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
    mark_all(DIGIT, "0123456789")
    mark_all(EDGE, _SPLIT_OFF + _QUOTES)
    mark_all(OPENER, "§%=—–" + _CURRENCIES)
    mark_all(CLOSER, "—–")
    mark_all(QUOTE, _QUOTES)
    mark(CURRENCY, matches(r"[\x{20a0}-\x{20bf}]"))
    mark_all(CURRENCY, _CURRENCIES)
    mark(OPENER, matches(r"[\x{20a0}-\x{20bf}]"))
    mark_all(BEFORE_STOP, _SPLIT_OFF + _QUOTES + "%²-+0123456789")
    mark(BEFORE_STOP, letter & ~matches(r"[\p{Lu}\p{Lt}]"))
    mark_all(BULLET, _BULLETS)
    mark_all(MARK, _MARKS)
    table.setflags(write=False)
    return table


def _may_compose(characters: list[str]) -> NDArray[np.bool_]:
    """Marks, conjoining jamo and whatever normalises to something else."""
    import unicodedata

    normal = np.fromiter(
        (unicodedata.is_normalized("NFC", character) for character in characters), bool
    )
    mark = pl.Series(characters).str.contains(r"[\p{M}\x{1160}-\x{11ff}]").to_numpy()
    return ~normal | mark
