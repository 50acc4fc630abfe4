"""Finds evaluation items in training text: every document that shares an n-gram of words with one.

    contaminated(d)  iff  n-grams(d) and n-grams(item) share one, n = 13, for some item

Only n-grams of which more than half of the words are different and no numbers count: thirteen
numbers in a row stand in every table, and matched 250 innocent documents of 18,000 (docs/log.md).
An item of fewer words is looked for as a whole, with all its words in a row, if it has at least
`min_item_words`; shorter ones would be found everywhere and are counted as not looked for.
Words are folded as quality.dedup.kernel_folding says: case, punctuation, accents and the values of
numbers make no difference. So two arithmetic problems that differ in their numbers only are the
same problem, which errs on the safe side.
Source: Brown et al. 2020, "Language Models are Few-Shot Learners", arXiv 2005.14165, appendix C: 13
words, at least 8 for short items. Deviations: the whole document goes, not 200 characters around
the match; n-grams that occur often are not excepted, the report shows them instead.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

MATCHES = {
    "row": pl.Int64,
    "evaluation": pl.String,
    "item_id": pl.String,
    "matched_ngrams": pl.Int64,
    "item_ngrams": pl.Int64,
    "overlap": pl.Float64,
    "passage": pl.String,
}
"""Columns of a table of matches: row of the text; the item; how many of its different n-grams the
text holds, of how many, and their ratio; the text up to the end of the first match."""

_PASSAGE_BYTES = 240
_BITS_PER_KEY = 32
_MIN_HITS_ROOM = 4096


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class DecontaminationConfig:
    """What counts as an overlap."""

    ngram: Annotated[int, Field(ge=1, le=64)] = 13
    """Words in a row that a document and an item must share."""
    min_item_words: Annotated[int, Field(ge=1)] = 8
    """Words of the shortest item that is looked for."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_item_words > self.ngram:
            raise ValueError(
                f"items of at least {self.min_item_words} words but n-grams of {self.ngram}: "
                "min_item_words must not be larger than ngram"
            )
        return self


@plain_dataclass(frozen=True, slots=True)
class _Keys:
    """Hashes of the n-grams of one length, with the items that hold them."""

    ngram: int
    hashes: NDArray[np.uint64]  # sorted, different
    bits: NDArray[np.uint8]
    shift: int
    items: NDArray[np.int64]  # item of each pair, sorted by hash
    starts: NDArray[np.int64]  # where the pairs of each hash begin, and the last ones end


class EvaluationIndex:
    """The n-grams of all items of all evaluations."""

    def __init__(
        self,
        items: Iterable[tuple[str, pl.Series, pl.Series]],
        config: DecontaminationConfig | None = None,
    ) -> None:
        """Read the items.

        Args:
            items: Name of an evaluation, ids and texts of some of its items, String, no null.
            config: None for the defaults.

        Raises:
            ValueError: A text is null.
        """
        self.config = config or DecontaminationConfig()
        self._evaluations: list[str] = []
        self._ids: list[str] = []
        texts: list[pl.Series] = [pl.Series("text", [], dtype=pl.String)]
        for name, ids, batch in items:
            if batch.has_nulls():
                raise ValueError(f"{name}: {batch.null_count()} items have no text")
            self._evaluations += [name] * len(ids)
            self._ids += ids.to_list()
            texts.append(batch.alias("text"))
        self._num_ngrams = np.zeros(len(self._ids), dtype=np.int64)
        self._keys = self._collect(pl.concat(texts))

    @property
    def items(self) -> pl.DataFrame:
        """Every item: `evaluation`, `item_id`, and `item_ngrams` (0: nothing to look for)."""
        return pl.DataFrame(
            {
                "evaluation": pl.Series(self._evaluations, dtype=pl.String),
                "item_id": pl.Series(self._ids, dtype=pl.String),
                "item_ngrams": self._num_ngrams,
            }
        )

    def find(self, texts: pl.Series) -> pl.DataFrame:
        """Find the items in texts.

        Args:
            texts: String, no null.

        Returns:
            One row for each text and item that share an n-gram, with the columns `MATCHES`, by row,
            the largest overlap first.
        """
        found = [self._matches(keys, texts) for keys in self._keys]
        table = pl.concat([pl.DataFrame(schema=MATCHES), *found])
        order = ["row", "overlap", "matched_ngrams", "evaluation", "item_id"]
        return table.sort(order, descending=[False, True, True, False, False])

    def _collect(self, texts: pl.Series) -> list[_Keys]:
        """Hash the n-grams of all items, those of short items in their own length."""
        words, ends = _ngrams(texts, 1)
        num_words = np.diff(ends, prepend=0)
        length = self.config.ngram
        wanted = {length: np.flatnonzero(num_words >= length)}
        for short in range(self.config.min_item_words, length):
            wanted[short] = np.flatnonzero(num_words == short)
        keys = []
        for ngram, chosen in wanted.items():
            if len(chosen):
                hashes, ngram_ends = _ngrams(texts.gather(chosen), ngram)
                telling = [
                    _is_telling(words[ends[item] - num_words[item] : ends[item]], ngram)
                    for item in chosen
                ]
                held_by = np.repeat(chosen, np.diff(ngram_ends, prepend=0))
                pairs = (
                    pl.DataFrame({"hash": hashes, "item": held_by})
                    .filter(pl.Series(np.concatenate(telling)))
                    .unique()
                )
                counts = pairs.group_by("item").len()
                self._num_ngrams[counts["item"].to_numpy()] = counts["len"].to_numpy()
                if pairs.height:
                    keys.append(_make_keys(ngram, pairs.sort("hash", "item")))
        return keys

    def _matches(self, keys: _Keys, texts: pl.Series) -> pl.DataFrame:
        """Matches of the n-grams of one length."""
        hits = _find_hits(keys, texts)
        if not len(hits):
            return pl.DataFrame(schema=MATCHES)
        counts = keys.starts[hits[:, 1] + 1] - keys.starts[hits[:, 1]]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        table = (
            pl.DataFrame(
                {
                    "row": np.repeat(hits[:, 0], counts),
                    "key": np.repeat(hits[:, 1], counts),
                    "item": keys.items[np.repeat(keys.starts[hits[:, 1]], counts) + within],
                }
            )
            .group_by("row", "item", maintain_order=True)  # in the order of the text
            .agg(pl.col("key").first(), matched_ngrams=pl.col("key").n_unique().cast(pl.Int64))
        )
        items = table["item"].to_numpy()
        return (
            table.with_columns(
                evaluation=pl.Series([self._evaluations[item] for item in items], dtype=pl.String),
                item_id=pl.Series([self._ids[item] for item in items], dtype=pl.String),
                item_ngrams=pl.Series(self._num_ngrams[items]),
                passage=pl.Series(_passages(keys, texts, table), dtype=pl.String),
            )
            .with_columns(overlap=pl.col("matched_ngrams") / pl.col("item_ngrams"))
            .select(list(MATCHES))
        )


def _make_keys(ngram: int, pairs: pl.DataFrame) -> _Keys:
    from quality.kernel_overlap import set_bits

    hashes, starts = np.unique(pairs["hash"].to_numpy(), return_index=True)
    num_bits = max(3, int(np.ceil(np.log2(_BITS_PER_KEY * len(hashes)))))
    bits = np.zeros(2**num_bits // 8, dtype=np.uint8)
    set_bits(hashes, bits, 64 - num_bits)
    return _Keys(
        ngram=ngram,
        hashes=hashes,
        bits=bits,
        shift=64 - num_bits,
        items=pairs["item"].to_numpy(),
        starts=np.append(starts, pairs.height),
    )


def _is_telling(words: NDArray[np.uint64], ngram: int) -> NDArray[np.bool_]:
    """Whether more than half of the words of each n-gram are different and no numbers."""
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(words, ngram), axis=1)
    is_new = np.ones(windows.shape, dtype=bool)
    is_new[:, 1:] = windows[:, 1:] != windows[:, :-1]
    is_new &= windows != _number()
    telling: NDArray[np.bool_] = 2 * is_new.sum(axis=1) > ngram
    return telling


@functools.cache
def _number() -> np.uint64:
    """Hash of the word that stands for every number."""
    return np.uint64(_ngrams(pl.Series(["0"]), 1)[0][0])


def _ngrams(texts: pl.Series, ngram: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of the n-grams of all texts, and where those of each text end."""
    from quality.dedup.kernel_folding import folding_table
    from quality.kernel_overlap import collect_ngrams
    from quality.text_buffers import text_buffers

    if not len(texts):
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    data, offsets = text_buffers(texts)
    out = np.empty(offsets[-1] - offsets[0] + 3, dtype=np.uint64)
    ends = np.empty(len(texts), dtype=np.int64)
    collect_ngrams(data, offsets, ngram, *folding_table(), out, ends)
    return out[: ends[-1]], ends


def _find_hits(keys: _Keys, texts: pl.Series) -> NDArray[np.int64]:
    """Pairs of text and key in the order of the texts, shape (H, 2)."""
    from quality.dedup.kernel_folding import folding_table
    from quality.kernel_overlap import find_hits
    from quality.text_buffers import text_buffers

    if not len(texts):
        return np.empty((0, 2), dtype=np.int64)
    data, offsets = text_buffers(texts)
    room = np.empty((_MIN_HITS_ROOM, 2), dtype=np.int64)
    parts = []
    row = 0
    while row < len(texts):
        after, num_hits = find_hits(
            *(data, offsets, row, keys.ngram, keys.hashes, keys.bits, keys.shift),
            *(*folding_table(), room),
        )
        if after == row:
            room = np.empty((2 * len(room), 2), dtype=np.int64)
        parts.append(room[:num_hits].copy() if after > row else room[:0].copy())
        row = after
    return np.concatenate(parts)


def _passages(keys: _Keys, texts: pl.Series, matches: pl.DataFrame) -> list[str]:
    """Show where each match is: the text up to the end of its first n-gram."""
    from quality.dedup.kernel_folding import folding_table
    from quality.kernel_overlap import locate
    from quality.text_buffers import text_buffers

    data, offsets = text_buffers(texts)
    passages = []
    for row, key in matches.select("row", "key").iter_rows():
        start = int(offsets[row])
        end = locate(
            *(data, start, int(offsets[row + 1]), keys.ngram, keys.hashes[key]), *folding_table()
        )
        assert end >= 0, f"text {row} lost its n-gram"
        excerpt = bytes(data[max(start, end - _PASSAGE_BYTES) : end])
        passages.append(excerpt.decode(errors="ignore").strip())
    return passages
