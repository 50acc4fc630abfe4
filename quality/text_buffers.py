"""From a column of texts to the native pass and back: Arrow buffers in, columns of counts out."""

import functools

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from quality.character_table import character_table
from quality.kernel_documents import NUM_COUNTS, count_documents, make_scratch
from quality.kernel_staying import Staying
from quality.kernel_suspects import find_suspects
from quality.kernel_text import abbreviations, hash_span
from quality.text_counts import COUNT_COLUMNS

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Rae et al. 2021, arXiv:2112.11446, section A1.1; told by case, as FineWeb does."""


def count_texts(texts: pl.Series, *, edit_lines: bool) -> tuple[pl.DataFrame, pl.Series]:
    """Count everything in `COUNT_COLUMNS` for each text.

    Args:
        texts: Strings without nulls. Arrow strings are valid UTF-8: a lone surrogate is refused
            where a reader decodes bytes, so none arrives here.
        edit_lines: Whether the text that stays is what C4's rules for lines leave, or all of it.

    Returns:
        The table of counts, one row per text, and the texts that stay.
    """
    content, places = text_buffers(texts)
    counts = np.zeros((len(texts), NUM_COUNTS), dtype=np.int64)
    longest = int(np.diff(places).max(initial=0))
    scratch = make_scratch(longest)
    staying = Staying(
        hashes=np.empty(longest + 1, np.uint64),
        lengths=np.empty(longest + 1, np.int32),
        data=np.empty(content.size if edit_lines else 0, dtype=np.uint8),
        end=np.zeros(1, np.int64),
    )
    edited_places = np.zeros(len(texts) + 1, dtype=np.int64)
    count_documents(
        content,
        places,
        character_table(),
        _stop_words(),
        abbreviations(),
        scratch,
        staying,
        edited_places,
        counts,
    )
    columns = np.ascontiguousarray(counts.T)
    table = pl.DataFrame(dict(zip(COUNT_COLUMNS, columns, strict=True)))
    return table, _texts(staying.data, edited_places) if edit_lines else texts


def may_need_normalising(texts: pl.Series) -> NDArray[np.bool_]:
    """Whether normalisation might change each text; where not, it surely would not.

    Args:
        texts: Strings without nulls.
    """
    content, places = text_buffers(texts)
    suspects = np.zeros(len(texts), dtype=np.bool_)
    find_suspects(content, places, character_table(), suspects)
    return suspects


def text_buffers(texts: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """UTF-8 of all texts, and the N + 1 places where each begins and the last one ends."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    if not pa.types.is_large_string(array.type):
        raise ValueError(f"texts must be strings, got {texts.dtype}")
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    if data is None or not data.size:
        return np.zeros(1, np.uint8), places
    return np.frombuffer(data, np.uint8), places


def _texts(content: NDArray[np.uint8], places: NDArray[np.int64]) -> pl.Series:
    data = content[: places[-1]]
    array = pa.LargeStringArray.from_buffers(
        places.size - 1, pa.py_buffer(places), pa.py_buffer(data)
    )
    return pl.Series(array, dtype=pl.String)


@functools.cache
def _stop_words() -> NDArray[np.uint64]:
    spans = [np.array([ord(c) for c in word], np.uint32) for word in STOP_WORDS]
    return np.array([hash_span(span, 0, span.size) for span in spans], dtype=np.uint64)
