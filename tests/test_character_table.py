import unicodedata

import numpy as np
import pytest

from quality import character_table as module
from quality.character_table import character_table

TABLE = character_table()
EVERY_PLANE = [*range(0x3000), 0xAC00, 0xFEFF, 0xFFFD, 0x1F600, 0x20000, 0x30000, 0xE0001, 0x10FFFF]


def has(flag, point):
    return bool(TABLE[point] & flag)


@pytest.mark.parametrize(
    ("flag", "method"), [(module.SPACE, str.isspace), (module.LETTER, str.isalpha)]
)
def test_classes_are_those_of_python(flag, method):
    # Python and Polars may know different versions of Unicode: both know the first planes.
    assert [has(flag, p) for p in EVERY_PLANE] == [method(chr(p)) for p in EVERY_PLANE]


def test_line_breaks_are_those_of_splitlines():
    breaks = [p for p in range(0x3000) if len(f"a{chr(p)}b".splitlines()) == 2]
    assert [p for p in range(0x3000) if has(module.BREAK, p)] == breaks


def test_categories():
    assert all(
        has(module.PUNCTUATION, p) == unicodedata.category(chr(p)).startswith("P")
        for p in range(0x2000)
        if unicodedata.category(chr(p)) != "Cn"  # Polars may know a newer Unicode than Python
    )
    assert has(module.DECIMAL, ord("٣"))
    assert not has(module.DIGIT, ord("٣"))
    assert has(module.SYMBOL, ord("♥"))
    assert not has(module.SYMBOL, ord("\u0301"))
    assert has(module.SENTENCE_END, ord("。"))
    assert not has(module.SENTENCE_END, ord(","))


def test_letters_without_case_are_both():
    assert has(module.LOWER, ord("日"))
    assert has(module.UPPER, ord("日"))
    assert not has(module.UPPER, ord("ß"))
    assert not has(module.LOWER, ord("Ä"))


def test_flags_are_distinct_bits():
    flags = [value for name, value in vars(module).items() if name.isupper() and name[0] != "_"]
    bits = [flag for flag in flags if isinstance(flag, int) and flag != module.NUM_CODE_POINTS]
    assert len(set(bits)) == len(bits)
    assert all(bit.bit_count() == 1 for bit in bits)
    assert TABLE.dtype == np.uint32
    assert TABLE.shape == (0x110000,)
    assert not TABLE.flags.writeable
