"""Paragraphs that stand in several documents, or twice in one: all but one occurrence goes.

A paragraph ends at a blank line. Two are copies if their `text_hash` agrees (up to case and white
space). Those shorter than `min_chars` are left alone: headings, rulers and *Exercises* repeat and
harm nobody. The occurrence that stays is in the best document (order of `ranks`), the first there;
so the result does not depend on the order in which documents come.
Source: paragraph deduplication as in CCNet (Wenzek et al. 2020, arXiv 1911.00359). Deviation: it
works on lines, which takes verses and code apart.
"""

import re
from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quality.dedup.exact import text_hashes

MIN_CHARS = 100
_BLANK_LINES = re.compile(r"(\n[^\S\n]*\n\s*)")


def split_paragraphs(text: str) -> tuple[list[str], list[str]]:
    """Paragraphs of a text and the blank lines behind each; zipped and joined they are the text."""
    pieces = _BLANK_LINES.split(text)
    return pieces[::2], [*pieces[1::2], ""]


class ParagraphIndex:
    """Every long paragraph of many documents: a hash, and where it stands."""

    def __init__(self, *, min_chars: int = MIN_CHARS) -> None:
        """Begin an empty index.

        Args:
            min_chars: Characters of the shortest paragraph that is looked at, >= 1.

        Raises:
            ValueError: min_chars is less than 1.
        """
        if min_chars < 1:
            raise ValueError(f"paragraphs of at least {min_chars} characters: give 1 or more")
        self._min_chars = min_chars
        self._hashes: list[NDArray[np.uint64]] = []
        self._documents: list[NDArray[np.int64]] = []
        self._places: list[NDArray[np.int64]] = []
        self._num_documents = 0

    def add(self, texts: Iterable[str]) -> None:
        """Add documents, numbered from 0 in the order of all calls."""
        paragraphs: list[str] = []
        documents: list[int] = []
        places: list[int] = []
        for text in texts:
            for place, paragraph in enumerate(split_paragraphs(text)[0]):
                if len(paragraph) >= self._min_chars and not paragraph.isspace():
                    paragraphs.append(paragraph)
                    documents.append(self._num_documents)
                    places.append(place)
            self._num_documents += 1
        hashes = text_hashes(pl.Series(paragraphs, dtype=pl.String))
        self._hashes.append(hashes.view(np.uint64))
        self._documents.append(np.array(documents, dtype=np.int64))
        self._places.append(np.array(places, dtype=np.int64))

    def repeated(self, ranks: NDArray[np.int64]) -> pl.DataFrame:
        """Occurrences that are to go: `document`, `place` in it, and the document that `keeps` it.

        Args:
            ranks: Rank of each document, the least is best; a permutation, shape (documents,).

        Returns:
            Int64 columns, by document and place.

        Raises:
            ValueError: There are more or fewer ranks than documents.
        """
        if len(ranks) != self._num_documents:
            raise ValueError(f"{len(ranks)} ranks for {self._num_documents} documents")
        hashes = np.concatenate([*self._hashes, np.empty((0, 2), dtype=np.uint64)])
        documents = np.concatenate([*self._documents, np.empty(0, dtype=np.int64)])
        places = np.concatenate([*self._places, np.empty(0, dtype=np.int64)])
        order = np.lexsort((places, ranks[documents], hashes[:, 1], hashes[:, 0]))
        ordered = hashes[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        keeps = documents[order][np.flatnonzero(first)[np.cumsum(first) - 1]]
        return (
            pl.DataFrame({"document": documents[order], "place": places[order], "keeps": keeps})
            .filter(pl.Series(~first))
            .sort("document", "place")
        )


def without(text: str, places: set[int]) -> str:
    """Return the text without the paragraphs at these places and the blank lines behind them."""
    pairs = zip(*split_paragraphs(text), strict=True)
    kept = [pair for place, pair in enumerate(pairs) if place not in places]
    return "".join(part for pair in kept for part in pair).rstrip("\n") if kept else ""
