"""Native look for anything that normalisation could change, so that sound texts are spared it.

A text that this passes is one that `quality.normalise.normalise` returns unchanged. The other way
round it may be wrong: Cyrillic and Chinese text always looks like possible damage to it.
"""

import numpy as np
from numpy.typing import NDArray

from quality.character_table import BREAK, CONTROL, SPACE, UNCOMPOSED, Flags
from quality.kernel_cache import compiled
from quality.kernel_text import Bytes

_LF, _SPACE, _FIRST_CAPITAL, _SECOND_CAPITAL = 0x0A, 0x20, 0xC2, 0xC3


@compiled
def find_suspects(
    data: Bytes, offsets: NDArray[np.int64], table: Flags, suspects: NDArray[np.bool_]
) -> None:
    """Mark the texts that normalisation might change.

    Args:
        data: UTF-8 of all texts.
        offsets: Where each text begins, and where the last one ends; N + 1 numbers.
        table: `character_table()`.
        suspects: Receives one flag per text.
    """
    odd = np.uint32(CONTROL | UNCOMPOSED | BREAK)
    for document in range(offsets.size - 1):
        position, end = offsets[document], offsets[document + 1]
        before = np.uint32(_LF)
        suspicious = False
        while position < end and not suspicious:
            byte = np.uint32(data[position])
            if byte < 0x80:
                point = byte
                position += 1
                if point == _LF:
                    suspicious = before != _LF and (table[before] & SPACE) != 0
                elif point == _SPACE:  # once U+00A0, the second half of a damaged letter
                    suspicious = before in (_FIRST_CAPITAL, _SECOND_CAPITAL)
                else:
                    suspicious = (table[point] & odd) != 0
            else:
                size = 2 if byte < 0xE0 else (3 if byte < 0xF0 else 4)
                point = byte & (0x3F >> (size - 1))
                for place in range(position + 1, position + size):
                    point = point << 6 | (np.uint32(data[place]) & 0x3F)
                position += size
                suspicious = before >= 0x80 or (table[point] & odd) != 0
            before = point
        # A text never ends in white space, not even in a line feed.
        blank = offsets[document] < end and (table[before] & SPACE) != 0
        suspects[document] = suspicious or blank
