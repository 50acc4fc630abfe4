"""MinHash: documents that share most of their word n-grams get equal band hashes.

    J(A, B) = |A n B| / |A u B|           of the sets of n-grams of two documents
    P(band equal) = J^rows                P(some band equal) = 1 - (1 - J^rows)^bands

With 14 bands of 8 rows a pair becomes a candidate with probability 5 % at J = 0.5, 56 % at 0.7,
92 % at 0.8 and 99.9 % at 0.9. A sketch of the minima's last bytes tells the J of a candidate:

    p = share of equal bytes,  J = (p - 1/256) / (1 - 1/256),  standard error sqrt(J (1 - J) / 112)

The sketches are banded a second time, across the first bands (`regroup`), which finds more of what
is similar for no more memory: of near-copies of 50 to 120 words with one or two words replaced
98.3 % instead of 96.9 % (docs/log.md).

Sources: Broder 1997, "On the resemblance and containment of documents"; bands, n-grams and sizes as
in FineWeb (Penedo et al. 2024, arXiv 2406.17557) and datatrove; the sketch is b-bit minwise hashing
(Li and Koenig 2010, "b-Bit Minwise Hashing"). Deviations: the second banding; hash functions are
a g + b modulo 2^64 with odd a (the peer reduces the same 64-bit product by a Mersenne prime), which
vector units do at once; words are told apart as quality.dedup.kernel_folding says; candidates are
checked by their sketch, for without it four of five removals in text without near-duplicates were
wrong (docs/log.md).
A document with fewer words than an n-gram has no bands: only an exact copy is a copy of it.

Letters: N documents, B bands, J = B * rows minima.
"""

from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

MIN_REGROUPED = 6
"""Fewest bytes of a second band."""
_REGROUPING = 0x9E3779B97F4A7C15
_WORD = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class MinHashConfig:
    """Size of the signatures."""

    ngram: Annotated[int, Field(ge=1, le=64)] = 5
    """Words of an n-gram."""
    num_bands: Annotated[int, Field(ge=1, le=256)] = 14
    """Bands; more find less similar pairs."""
    num_rows: Annotated[int, Field(ge=1, le=64)] = 8
    """Minima in a band; more find only more similar pairs."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Which hash functions. Band hashes of two seeds cannot be compared."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class Signatures:
    """What MinHash keeps of N documents."""

    bands: NDArray[np.uint64]
    """Hash of each band, shape (N, B); meaningless where there is no n-gram."""
    sketches: NDArray[np.uint8]
    """Last byte of each minimum, shape (N, J); likewise."""
    num_ngrams: NDArray[np.int64]
    """n-grams of each document, repeated ones too, shape (N,)."""


def sign(texts: pl.Series, config: MinHashConfig) -> Signatures:
    """Compute the signatures of texts in one pass over their bytes.

    Args:
        texts: String, shape (N,).
        config: Size of the signatures.

    Raises:
        ValueError: The series holds something else than strings, or a null.
    """
    from quality.dedup.kernel_folding import folding_table
    from quality.dedup.kernel_minhash import fold_bands, lower_minima
    from quality.text_buffers import text_buffers

    if texts.has_nulls():
        raise ValueError(f"{texts.null_count()} of {len(texts)} texts are null; put them aside")
    data, offsets = text_buffers(texts)
    minima = np.empty((len(texts), config.num_bands * config.num_rows), dtype=np.uint64)
    num_ngrams = np.empty(len(texts), dtype=np.int64)
    slopes, intercepts = _hash_functions(config)
    table, expansions = folding_table()
    lower_minima(
        data, offsets, config.ngram, slopes, intercepts, table, expansions, minima, num_ngrams
    )
    bands = np.empty((len(texts), config.num_bands), dtype=np.uint64)
    fold_bands(minima, config.num_bands, bands)
    return Signatures(bands=bands, sketches=(minima & 0xFF).astype(np.uint8), num_ngrams=num_ngrams)


def regroup(sketches: NDArray[np.uint8], config: MinHashConfig) -> Iterator[NDArray[np.uint64]]:
    """Band the minima a second time: the j-th of every band instead of all of one band.

    Made of the bytes in the sketches, so nothing more is kept of a document. Bands of fewer than
    `MIN_REGROUPED` bytes would be equal by chance and are left out.

    Args:
        sketches: Shape (N, J), made with `config`.
        config: Size of the signatures.

    Yields:
        Hash of one further band of each document, shape (N,).
    """
    if config.num_rows < MIN_REGROUPED:
        return
    across = np.arange(sketches.shape[1]).reshape(config.num_bands, config.num_rows).T.ravel()
    for group in across.reshape(config.num_bands, config.num_rows):
        hashes = np.zeros(len(sketches), dtype=np.uint64)
        for column in group:
            hashes = hashes * np.uint64(_REGROUPING) + sketches[:, column]
        yield hashes


def estimate_similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Jaccard similarity of the n-grams of two documents from their sketches, each shape (J,)."""
    equal = float(np.mean(one == other))
    return max(0.0, (equal - 1 / 256) / (1 - 1 / 256))


def _hash_functions(config: MinHashConfig) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Slopes (odd) and intercepts, shape (J,) each, from SplitMix64 of the seed."""
    num_minima = config.num_bands * config.num_rows
    words = [_splitmix(config.seed, index) for index in range(2 * num_minima)]
    drawn = np.array(words, dtype=np.uint64)
    return drawn[:num_minima] | np.uint64(1), drawn[num_minima:]


def _splitmix(seed: int, index: int) -> int:
    """Number `index` of the SplitMix64 sequence of a seed (Steele, Lea, Flood 2014)."""
    value = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _WORD
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
    return value ^ (value >> 31)
