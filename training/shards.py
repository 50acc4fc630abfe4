"""Reads token shards: rows for training, and which document a row came from.

Row i of a shard is tokens[i*T : i*T + T + 1]: T inputs and the T labels that follow them, so that
neighbouring rows share one token and none is lost but the last few of a shard. The rows of a domain
are those of its shards one after the other. T is chosen by the reader, so the same shards serve
every context length. The files are described in training.shard_format.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.arrays import Ints
from training.shard_format import (
    DOCUMENTS_FILE,
    ShardFile,
    ShardManifest,
    manifest_digest,
    read_manifest,
)
from training.shard_writer import write_token_shards

__all__ = ["DocumentSpan", "ShardManifest", "TokenShards", "manifest_digest", "write_token_shards"]

StoredTokens = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentSpan:
    """The part of a document that lies in a row."""

    document_id: str
    """Which document."""
    row_start: int
    """First token of the part, counted from the start of the row."""
    document_start: int
    """First token of the part, counted from the start of the document."""
    num_tokens: int
    """Tokens of the part, of the T + 1 tokens of the row."""


class TokenShards:
    """One shard folder, memory-mapped."""

    def __init__(self, folder: Path, manifest: ShardManifest, tokens: list[StoredTokens]) -> None:
        """Use open()."""
        self._folder = folder
        self._tokens = tokens
        self.manifest = manifest
        self.digest = manifest_digest(folder)

    @classmethod
    def open(cls, folder: Path, *, verify: bool = False) -> Self:
        """Map the shards of a folder.

        Args:
            folder: Holds manifest.json.
            verify: Also compare the digest of every file with the manifest (reads them whole).

        Raises:
            ValueError: The manifest is missing or broken, or a file is missing, truncated or (with
                verify) changed.
        """
        manifest = read_manifest(folder)
        dtype = np.dtype(manifest.dtype).newbyteorder("<")
        for shard in manifest.shards:
            _require_size(folder / shard.file, shard.num_tokens * dtype.itemsize)
            _require_size(folder / _offsets_file(shard), shard.num_documents * 8)
        if verify:
            _require_digest(folder / DOCUMENTS_FILE, manifest.documents_sha256)
            for shard in manifest.shards:
                _require_digest(folder / shard.file, shard.sha256)
                _require_digest(folder / _offsets_file(shard), shard.offsets_sha256)
        # A plain view: indexing np.memmap itself costs a microsecond more per row.
        tokens = [
            np.asarray(np.memmap(folder / shard.file, dtype=dtype, mode="r"))
            for shard in manifest.shards
        ]
        return cls(folder, manifest, tokens)

    def num_rows(self, context_tokens: int) -> int:
        """Count the rows of T = context_tokens.

        Raises:
            ValueError: There is not one row.
        """
        rows = int(self._first_rows(context_tokens)[-1])
        if rows == 0:
            domain, split = self._folder.absolute().parts[-2:]
            raise ValueError(
                f"domain {domain!r} has {self.manifest.num_tokens} tokens in {split!r} "
                f"({self._folder}), fewer than one sequence of {context_tokens} + 1 tokens in a "
                "shard; lower model.context_tokens, add text to the domain or leave it out"
            )
        return rows

    def rows(self, indices: Ints, context_tokens: int) -> StoredTokens:
        """Copy rows, shape (n, T + 1).

        Raises:
            ValueError: A row that does not exist, or one with a token beyond the vocabulary.
        """
        first_rows = self._first_rows(context_tokens)
        self._require_rows(indices, int(first_rows[-1]))
        shards = np.searchsorted(first_rows, indices, side="right") - 1
        starts = (indices - first_rows[shards]) * context_tokens
        out = np.empty((len(indices), context_tokens + 1), dtype=self.manifest.dtype)
        for slot, (shard, start) in enumerate(zip(shards.tolist(), starts.tolist(), strict=True)):
            out[slot] = self._tokens[shard][start : start + context_tokens + 1]
        self.require_vocabulary(out, indices)
        return out

    def require_vocabulary(self, tokens: StoredTokens, indices: Ints) -> None:
        """Refuse rows with a token beyond the vocabulary, which no model can look up.

        Args:
            tokens: The rows, shape (n, T + 1).
            indices: Which rows they are, shape (n,).

        Raises:
            ValueError: The file was changed after it was written.
        """
        if tokens.size and int(tokens.max()) >= self.manifest.vocab_size:
            place = int((tokens >= self.manifest.vocab_size).any(axis=1).argmax())
            raise ValueError(
                f"{self._folder}: row {int(indices[place])} of {tokens.shape[1] - 1} tokens holds "
                f"the token {int(tokens[place].max())}, the manifest says that all are below "
                f"{self.manifest.vocab_size}; the file was changed: write the shards again"
            )

    def row_tables(self, context_tokens: int) -> tuple[list[StoredTokens], Ints]:
        """Return the tokens of each shard, and the first row of each and, last, their number."""
        return self._tokens, self._first_rows(context_tokens)

    def documents_of_row(self, row: int, context_tokens: int) -> list[DocumentSpan]:
        """Return the documents that a row holds, in order.

        Raises:
            ValueError: The row does not exist.
        """
        first_rows = self._first_rows(context_tokens)
        self._require_rows(np.array([row]), int(first_rows[-1]))
        shard = int(np.searchsorted(first_rows, row, side="right")) - 1
        start = (row - int(first_rows[shard])) * context_tokens
        end = start + context_tokens + 1
        held = self._documents.filter(
            pl.col("shard") == shard,
            pl.col("start") < end,
            pl.col("start") + pl.col("num_tokens") > start,
        )
        spans = []
        for document_id, begin, size in held.select(
            "document_id", "start", "num_tokens"
        ).iter_rows():
            first, last = max(begin, start), min(begin + size, end)
            spans.append(
                DocumentSpan(
                    document_id=document_id,
                    row_start=first - start,
                    document_start=first - begin,
                    num_tokens=last - first,
                )
            )
        return spans

    def holds(self, document_id: str) -> bool:
        """Whether a document is in these shards."""
        return bool((self._documents["document_id"] == document_id).any())

    def rows_of_document(self, document_id: str, context_tokens: int) -> Ints:
        """Return the rows that hold a part of a document, ascending.

        A document in the last tokens of a shard, which fill no row, has none.

        Raises:
            ValueError: No such document.
        """
        found = self._documents.filter(pl.col("document_id") == document_id)
        if found.is_empty():
            raise ValueError(
                f"{self._folder}: no document {document_id!r}; look in the other domains"
            )
        first_rows = self._first_rows(context_tokens)
        rows: set[int] = set()
        for shard, start, size in found.select("shard", "start", "num_tokens").iter_rows():
            # Row i covers tokens i*T .. i*T + T, so a token at a multiple of T lies in two rows.
            first = max(0, -(-start // context_tokens) - 1)
            last = (start + size - 1) // context_tokens
            available = int(first_rows[shard + 1] - first_rows[shard])
            rows.update(
                int(first_rows[shard]) + row for row in range(first, min(last + 1, available))
            )
        return np.array(sorted(rows), dtype=np.int64)

    def _first_rows(self, context_tokens: int) -> Ints:
        """Return the first row of each shard and, last, the number of rows."""
        if context_tokens < 1:
            raise ValueError(f"context_tokens must be at least 1, got {context_tokens}")
        sizes = np.array([shard.num_tokens for shard in self.manifest.shards], dtype=np.int64)
        return np.concatenate([[0], np.cumsum(np.maximum(sizes - 1, 0) // context_tokens)])

    def _require_rows(self, indices: Ints, num_rows: int) -> None:
        if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < num_rows:
            raise ValueError(
                f"{self._folder}: rows {int(indices.min())} to {int(indices.max())} are not all in "
                f"[0, {num_rows})"
            )

    @cached_property
    def _documents(self) -> pl.DataFrame:
        _require_digest(self._folder / DOCUMENTS_FILE, self.manifest.documents_sha256)
        return pl.read_parquet(self._folder / DOCUMENTS_FILE)


def _offsets_file(shard: ShardFile) -> str:
    return Path(shard.file).with_suffix(".doc").name


def _require_size(path: Path, expected_bytes: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; materialise the token shards again") from error
    if found != expected_bytes:
        raise ValueError(
            f"{path}: {found} bytes, the manifest says {expected_bytes}; the file is truncated or "
            "foreign: materialise the token shards again"
        )


def _require_digest(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; materialise the token shards again") from error
    if found != expected:
        raise ValueError(
            f"{path}: sha256 {found[:16]}…, the manifest says {expected[:16]}…; the file was "
            "changed: materialise the token shards again"
        )
