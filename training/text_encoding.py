"""Many texts to ids at once: Arrow buffers in, one array of ids out.

`training.kernel_bpe` does the work. What it leaves to tiktoken, which gives the same ids: pieces of
more than 512 bytes, and which class a character has. That is asked for 256 characters at a time,
when one of them is met for the first time, so the table is always that of the library and no
version of Unicode is named here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import tiktoken
from numpy.typing import NDArray

from training.byte_level import PIECES, ByteLevelVocabulary

NUM_SLOTS = 2**16
"""Pieces remembered: 5 MB."""
_NUM_CODES = 0x110000
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Ids of N texts, each followed by the end of sequence."""

    tokens: NDArray[np.uint32]
    """All ids, one text after the other."""
    ends: NDArray[np.int64]
    """Place behind the last id of each text, shape (N,)."""
    num_bytes: NDArray[np.int64]
    """UTF-8 bytes of each text, shape (N,)."""


class TextEncoding:
    """Encodes texts with one vocabulary; holds the pieces met before."""

    def __init__(self, vocabulary: ByteLevelVocabulary, *, eos_id: int) -> None:
        """Make the tables; `eos_id` ends each text."""
        from training.kernel_bpe import KEY_BYTES, MAX_PIECE_BYTES, SLOT_IDS, fill_merges

        self._encoding = tiktoken.Encoding(
            "texts", pat_str=PIECES, mergeable_ranks=vocabulary.ranks, special_tokens={}
        )
        self._eos_id = eos_id
        self._classes = _Classes(PIECES)
        merges = vocabulary.merges
        byte_ids = [vocabulary.ranks[bytes([byte])] for byte in range(256)]
        self._byte_ids = np.array(byte_ids, dtype=np.uint32)
        self._merges = np.zeros((2 ** (4 * len(merges) + 1).bit_length(), 3), dtype=np.uint32)
        fill_merges(merges, vocabulary.first_merged, self._merges)
        self._keys = np.zeros((NUM_SLOTS, KEY_BYTES // 8), dtype=np.uint64)
        self._held = np.zeros((NUM_SLOTS, 2 + SLOT_IDS), dtype=np.uint32)
        self._work = np.empty((2, MAX_PIECE_BYTES), dtype=np.int64)

    def encode(self, texts: pa.LargeStringArray) -> EncodedTexts:
        """Encode each text and add the end of sequence.

        Args:
            texts: Shape (N,), without nulls.
        """
        from training.kernel_bpe import encode_texts

        data, offsets = _buffers(texts)
        out = np.empty(offsets[-1] - offsets[0] + len(texts), dtype=np.uint32)
        ends = np.zeros(len(texts), dtype=np.int64)
        row, place, filled = 0, int(offsets[0]), 0
        while row < len(texts):
            row, place, filled, reason = encode_texts(
                *(data, offsets, row, place, filled, self._classes.table, self._byte_ids),
                *(self._merges, self._keys, self._held, self._work, self._eos_id),
                *(out, ends),
            )
            if reason > 0:
                self._classes.learn(reason)
            elif reason < 0:
                piece = data[place : place - reason].tobytes().decode()
                ids = self._encoding.encode_to_numpy(piece, disallowed_special=())
                out[filled : filled + len(ids)] = ids
                place, filled = place - reason, filled + len(ids)
        return EncodedTexts(tokens=out[:filled], ends=ends, num_bytes=np.diff(offsets))


class _Classes:
    """Letter, number, space or other: what the expression takes each character for."""

    def __init__(self, pieces: str) -> None:
        from training.kernel_bpe import LETTER, NUMBER, OTHER

        # A token for each of "a1!" with each byte behind it: where two characters lie in one piece,
        # and only there, the first byte of the second is merged with the first.
        self._signs = {"a": LETTER, "1": NUMBER, "!": OTHER}
        ranks = {bytes([byte]): byte for byte in range(256)}
        for sign in self._signs:
            for byte in range(256):
                ranks[sign.encode() + bytes([byte])] = len(ranks)
        self._probe = tiktoken.Encoding(
            "classes", pat_str=pieces, mergeable_ranks=ranks, special_tokens={}
        )
        self.table = np.zeros(_NUM_CODES, dtype=np.uint8)
        self.learn(0)

    def learn(self, code: int) -> None:
        """Fill in the classes of the 256 characters around one."""
        start = code // _BLOCK * _BLOCK
        for each in range(start, start + _BLOCK):
            if not 0xD800 <= each < 0xE000:  # halves of surrogate pairs are no characters
                self.table[each] = self._class_of(chr(each))

    def _class_of(self, character: str) -> int:
        from training.kernel_bpe import SPACE

        num_bytes = len(character.encode())
        for sign, kind in self._signs.items():
            if len(self._probe.encode_ordinary(sign + character)) == num_bytes:
                return kind
        return SPACE


def large_strings(texts: Sequence[str]) -> pa.LargeStringArray:
    """Texts as Arrow holds them."""
    return pa.array(texts, type=pa.large_string())


def _buffers(texts: pa.LargeStringArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """UTF-8 of all texts, and the N + 1 places where each begins and the last one ends."""
    _, offsets, data = texts.buffers()
    if not len(texts):
        return np.zeros(1, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if data is None or not data.size:
        return np.zeros(1, dtype=np.uint8), places
    return np.frombuffer(data, np.uint8), places
