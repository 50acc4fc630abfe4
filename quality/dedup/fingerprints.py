"""Fingerprints: all that deduplication needs to know of a document, a few hundred bytes.

They are computed once per corpus and kept; clusters over many corpora are found from them without
reading a text again. Per document: the exact hash (16 bytes), the band hashes (8 bytes a band, 112
in all) and the sketch that checks candidates (1 byte a minimum, 112 in all).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quality.dedup.exact import HASH_BYTES, text_hashes
from quality.dedup.minhash import MinHashConfig, sign
from quality.document_batches import BadDocuments

FINGERPRINTS = "fingerprints.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprints:
    """Fingerprints of the N documents of one corpus."""

    ids: pl.Series
    """Ids, unique in the corpus, String, shape (N,)."""
    num_chars: NDArray[np.int64]
    """Characters of each text, shape (N,)."""
    hashes: NDArray[np.uint8]
    """Bytes of `text_hash`, shape (N, 16)."""
    num_ngrams: NDArray[np.int64]
    """Word n-grams of each text, shape (N,); 0: bands and sketch mean nothing."""
    bands: NDArray[np.uint64]
    """Band hashes, shape (N, B); B = 0: exact hashes only."""
    sketches: NDArray[np.uint8]
    """Last bytes of the minima, shape (N, J); J = 0 likewise."""


def fingerprint(ids: pl.Series, texts: pl.Series, config: MinHashConfig | None) -> Fingerprints:
    """Fingerprint some documents.

    Args:
        ids: Their ids, String.
        texts: Their texts, String, no null, shape (N,).
        config: Size of the MinHash signatures; None: exact hashes only.
    """
    num_chars = texts.str.len_chars().cast(pl.Int64).to_numpy()
    hashes = text_hashes(texts)
    if config is None:
        nothing = np.empty((len(ids), 0), dtype=np.uint8)
        return Fingerprints(
            ids=ids,
            num_chars=num_chars,
            hashes=hashes,
            num_ngrams=np.zeros(len(ids), dtype=np.int64),
            bands=nothing.astype(np.uint64),
            sketches=nothing,
        )
    signed = sign(texts, config)
    return Fingerprints(
        ids=ids,
        num_chars=num_chars,
        hashes=hashes,
        num_ngrams=signed.num_ngrams,
        bands=signed.bands,
        sketches=signed.sketches,
    )


def join_fingerprints(parts: Iterable[Fingerprints]) -> Fingerprints:
    """Put the fingerprints of the parts of one corpus together, in their order; at least one."""
    every = list(parts)
    assert every, "fingerprints of no part at all"
    return Fingerprints(
        ids=pl.concat([part.ids for part in every], rechunk=True),
        num_chars=np.concatenate([part.num_chars for part in every]),
        hashes=np.concatenate([part.hashes for part in every]),
        num_ngrams=np.concatenate([part.num_ngrams for part in every]),
        bands=np.concatenate([part.bands for part in every]),
        sketches=np.concatenate([part.sketches for part in every]),
    )


def write_fingerprints(fingerprints: Fingerprints, folder: Path) -> None:
    """Write `fingerprints.parquet`."""
    found = fingerprints
    num_bands, num_minima = found.bands.shape[1], found.sketches.shape[1]
    table = pa.table(
        {
            "id": found.ids.to_arrow(compat_level=pl.CompatLevel.oldest()),
            "num_chars": found.num_chars,
            "text_hash": _as_binary(found.hashes),
            "num_ngrams": found.num_ngrams,
            "bands": _as_binary(found.bands.view(np.uint8).reshape(-1, 8 * num_bands)),
            "sketch": _as_binary(found.sketches.reshape(-1, num_minima)),
        }
    )
    pq.write_table(
        table, folder / FINGERPRINTS, compression="zstd", use_dictionary=False, store_schema=True
    )


def read_fingerprints(folder: Path) -> Fingerprints:
    """Read what `write_fingerprints` wrote.

    Raises:
        BadDocuments: The file is missing, damaged, or holds other columns.
    """
    path = folder / FINGERPRINTS
    try:
        table = pq.read_table(path)
        parts = {name: table[name].combine_chunks() for name in table.schema.names}
        return Fingerprints(
            ids=pl.Series("id", parts["id"], dtype=pl.String),
            num_chars=parts["num_chars"].to_numpy(),
            hashes=_from_binary(parts["text_hash"]),
            num_ngrams=parts["num_ngrams"].to_numpy(),
            bands=np.ascontiguousarray(_from_binary(parts["bands"])).view(np.uint64),
            sketches=_from_binary(parts["sketch"]),
        )
    except FileNotFoundError as error:
        raise BadDocuments(f"{path}: no such file; materialise it first") from error
    except (pa.ArrowException, KeyError) as error:
        raise BadDocuments(
            f"{path}: no complete table of fingerprints ({error}); materialise it again"
        ) from error


def _as_binary(rows: NDArray[np.uint8]) -> pa.Array:
    """Rows of bytes, shape (N, W), as Arrow values of W bytes."""
    kind = pa.binary(rows.shape[1])
    buffer = pa.py_buffer(np.ascontiguousarray(rows))
    return pa.Array.from_buffers(kind, len(rows), [None, buffer])


def _from_binary(column: pa.Array) -> NDArray[np.uint8]:
    """Rows of bytes of an Arrow array of fixed width."""
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)
    first = column.offset * width
    return data[first : first + len(column) * width].reshape(len(column), width)


assert HASH_BYTES % 8 == 0, "hashes are compared as 64-bit words"
