"""Byte-level BPE in one pass over the UTF-8 of many texts; compiled, for it sees every byte.

A text is split as the expression of `training.tokenizer` splits it, each piece is looked up in a
table of pieces met before, and only what is not there is merged pair by pair:

    merge    while some neighbours are a merge: the one learnt first, at its leftmost place
    table    the slot of a piece's hash holds the last piece that fell there with its ids, so the
             memory is fixed; bytes and length are compared, so a hit is always the same piece

Words repeat (Zipf 1949), so nine pieces in ten are hits. A piece of more than `MAX_PIECE_BYTES`
would take quadratic time here, and at a character of a class not known yet the end of the piece is
unknown: the pass then stops before that piece, says why, and goes on when called again.

Letters: N texts, S slots, M merges.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

UNKNOWN, LETTER, NUMBER, SPACE, OTHER = range(5)
"""Classes of characters; unknown ones stop the pass."""
MAX_PIECE_BYTES = 512
KEY_BYTES = 32
"""Longer pieces are merged anew each time."""
SLOT_IDS = 8
"""So are those of more ids."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_APOSTROPHE = 0x27
_BLANK = 0x20


def _compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile without reference counts; stored code is renewed when this file changes."""
    wrapped = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)
    return cast(Callable[P, R], wrapped)


@_compiled
def merge_slot(left: int, right: int, mask: int) -> int:
    """Slot where the search for a pair begins."""
    key = (np.uint64(left) << np.uint64(32)) | np.uint64(right)
    key = (key ^ (key >> np.uint64(29))) * _GOLDEN
    return int(np.int64((key >> np.uint64(24)) & np.uint64(mask)))


@_compiled
def fill_merges(merges: NDArray[np.uint32], first_id: int, table: NDArray[np.uint32]) -> None:
    """Enter the merges; the k-th makes the token `first_id` + k.

    Args:
        merges: Left and right id, shape (M, 2).
        first_id: Token of the first merge, > 0.
        table: Zeros, shape (2^k, 3) with 2^k > 2 M: left, right and made id.
    """
    mask = table.shape[0] - 1
    for number in range(merges.shape[0]):
        slot = merge_slot(merges[number, 0], merges[number, 1], mask)
        while table[slot, 2]:
            slot = (slot + 1) & mask
        table[slot, 0] = merges[number, 0]
        table[slot, 1] = merges[number, 1]
        table[slot, 2] = first_id + number


@_compiled
def _made(left: int, right: int, table: NDArray[np.uint32]) -> int:
    """Token that the pair makes; 0: none."""
    mask = table.shape[0] - 1
    slot = merge_slot(left, right, mask)
    while table[slot, 2]:
        if table[slot, 0] == left and table[slot, 1] == right:
            return int(np.int64(table[slot, 2]))
        slot = (slot + 1) & mask
    return 0


@_compiled
def _merge(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    byte_ids: NDArray[np.uint32],
    table: NDArray[np.uint32],
    work: NDArray[np.int64],
) -> int:
    """Merge one piece; its ids stand in work[0], their number is returned."""
    size = end - start
    for place in range(size):
        work[0, place] = byte_ids[data[start + place]]
    for place in range(size - 1):
        work[1, place] = _made(work[0, place], work[0, place + 1], table)
    while size > 1:
        best, best_place = 0, -1
        for place in range(size - 1):
            made = work[1, place]
            if made and (best == 0 or made < best):
                best, best_place = made, place
        if best == 0:
            break
        work[0, best_place] = best
        size -= 1
        for place in range(best_place + 1, size):
            work[0, place] = work[0, place + 1]
            work[1, place] = work[1, place + 1]
        if best_place:
            work[1, best_place - 1] = _made(work[0, best_place - 1], best, table)
        if best_place + 1 < size:
            work[1, best_place] = _made(best, work[0, best_place + 1], table)
    return size


@_compiled
def _character_at(data: NDArray[np.uint8], place: int) -> tuple[int, int]:
    """Code point of the character that begins there, and the place behind it."""
    lead = int(np.int64(data[place]))
    if lead < 0x80:
        return lead, place + 1
    width = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2
    code = lead & (0x7F >> width)
    for further in range(1, width):
        code = (code << 6) | (int(np.int64(data[place + further])) & 0x3F)
    return code, place + width


@_compiled
def _class_at(data: NDArray[np.uint8], place: int, classes: NDArray[np.uint8]) -> tuple[int, int]:
    """Class of the character that begins there, and the place behind it."""
    code, after = _character_at(data, place)
    return int(np.int64(classes[code])), after


@_compiled
def _contraction_end(data: NDArray[np.uint8], place: int, end: int) -> int:
    """End of 's, 't, 'm, 'd, 're, 've or 'll at an apostrophe; its own place: none of them."""
    if place + 1 < end:
        one = data[place + 1]
        if one in (0x73, 0x74, 0x6D, 0x64):
            return place + 2
        if place + 2 < end:
            two = data[place + 2]
            if (one in (0x72, 0x76) and two == 0x65) or (one == 0x6C and two == 0x6C):
                return place + 3
    return place


@_compiled
def _piece_end(
    data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]
) -> tuple[int, int]:
    """End of the piece that begins at `start`, and -1 or the place of an unknown character."""
    if data[start] == _APOSTROPHE:
        stop = _contraction_end(data, start, end)
        if stop > start:
            return stop, -1
    kind, after = _class_at(data, start, classes)
    if kind == UNKNOWN:
        return start, start
    begin = start
    if data[start] == _BLANK and after < end:
        behind, further = _class_at(data, after, classes)
        if behind == UNKNOWN:
            return start, after
        if behind != SPACE:
            kind, begin, after = behind, after, further
    return _run_end(data, start, begin, after, end, kind, classes)


@_compiled
def _run_end(
    data: NDArray[np.uint8],
    start: int,
    begin: int,
    after: int,
    end: int,
    kind: int,
    classes: NDArray[np.uint8],
) -> tuple[int, int]:
    """Follow the characters of one class; returns as `_piece_end`."""
    last = begin
    while after < end:
        behind, further = _class_at(data, after, classes)
        if behind == UNKNOWN:
            return start, after
        if behind != kind:
            break
        last, after = after, further
    # White space before a word leaves its last character to it, if there is more than one.
    if kind == SPACE and after < end and last > start:
        return last, -1
    return after, -1


@_compiled
def _write_piece(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    byte_ids: NDArray[np.uint32],
    table: NDArray[np.uint32],
    keys: NDArray[np.uint64],
    held: NDArray[np.uint32],
    work: NDArray[np.int64],
    out: NDArray[np.uint32],
    filled: int,
) -> int:
    """Append the ids of one piece; the new number of ids."""
    size = end - start
    if size > KEY_BYTES:
        num_ids = _merge(data, start, end, byte_ids, table, work)
        for place in range(num_ids):
            out[filled + place] = work[0, place]
        return filled + num_ids
    one = two = three = four = np.uint64(0)
    for place in range(start, end):
        one = (one << np.uint64(8)) | (two >> np.uint64(56))
        two = (two << np.uint64(8)) | (three >> np.uint64(56))
        three = (three << np.uint64(8)) | (four >> np.uint64(56))
        four = (four << np.uint64(8)) | np.uint64(data[place])
    mixed = (four ^ (three * _MIX) ^ (two << np.uint64(17)) ^ (one * _GOLDEN)) + np.uint64(size)
    mixed = (mixed ^ (mixed >> np.uint64(31))) * _GOLDEN
    slot = np.int64((mixed >> np.uint64(20)) & np.uint64(keys.shape[0] - 1))
    if (
        held[slot, 0] == size
        and keys[slot, 3] == four
        and keys[slot, 2] == three
        and keys[slot, 1] == two
        and keys[slot, 0] == one
    ):
        num_ids = int(np.int64(held[slot, 1]))
        for place in range(num_ids):
            out[filled + place] = held[slot, 2 + place]
        return filled + num_ids
    num_ids = _merge(data, start, end, byte_ids, table, work)
    for place in range(num_ids):
        out[filled + place] = work[0, place]
    if num_ids <= SLOT_IDS:
        keys[slot, 0], keys[slot, 1], keys[slot, 2], keys[slot, 3] = one, two, three, four
        held[slot, 0], held[slot, 1] = size, num_ids
        for place in range(num_ids):
            held[slot, 2 + place] = work[0, place]
    return filled + num_ids


@_compiled
def encode_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    row: int,
    place: int,
    filled: int,
    classes: NDArray[np.uint8],
    byte_ids: NDArray[np.uint32],
    table: NDArray[np.uint32],
    keys: NDArray[np.uint64],
    held: NDArray[np.uint32],
    work: NDArray[np.int64],
    eos: int,
    out: NDArray[np.uint32],
    ends: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Encode texts, each followed by `eos`.

    Args:
        data: UTF-8 of all texts.
        offsets: Where each begins and the last one ends, shape (N + 1,).
        row: Text to begin with.
        place: Byte in `data` to begin with.
        filled: Tokens that stand in `out` already.
        classes: Class of each code point, shape (0x110000,); that of NUL is known.
        byte_ids: Token of each byte, shape (256,).
        table: What `fill_merges` filled.
        keys: Bytes of the piece in each slot, shape (S, 4), S a power of two.
        held: Its length in bytes (0: none), number of ids, and ids, shape (S, 2 + SLOT_IDS).
        work: Room, shape (2, MAX_PIECE_BYTES).
        eos: Token behind each text.
        out: Room for the bytes of all texts and one token each.
        ends: Filled with the place behind each text's last token, shape (N,).

    Returns:
        Text, byte and number of tokens where it stopped (text N: at the end), and why: the code
        point of a character of unknown class, or the bytes of a long piece with a minus sign.
    """
    while row < offsets.size - 1:
        end = offsets[row + 1]
        while place < end:
            stop, unknown = _piece_end(data, place, end, classes)
            if unknown >= 0:
                return row, place, filled, _character_at(data, unknown)[0]
            if stop - place > MAX_PIECE_BYTES:
                return row, place, filled, place - stop
            filled = _write_piece(data, place, stop, byte_ids, table, keys, held, work, out, filled)
            place = stop
        out[filled] = eos
        filled += 1
        ends[row] = filled
        row += 1
    return row, place, filled, 0
