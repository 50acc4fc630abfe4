"""Writes token shards batch by batch; memory holds the document table of one shard."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.shard_format import DOCUMENTS_FILE, MANIFEST_FILE, ShardFile, ShardManifest

Tokens = NDArray[np.uint16] | NDArray[np.uint32] | NDArray[np.int64]
Document = tuple[str, int, Tokens]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedDocuments:
    """N consecutive documents as ids."""

    ids: Sequence[str]
    """Names, N of them."""
    num_bytes: NDArray[np.int64]
    """UTF-8 bytes of each text, shape (N,)."""
    tokens: Tokens
    """Ids of all, each document followed by the end of sequence."""
    ends: NDArray[np.int64]
    """Place behind the end of sequence of each document, shape (N,)."""

    def part(self, start: int, stop: int) -> "EncodedDocuments":
        """Return the documents from `start` up to, not including, `stop`."""
        before = int(self.ends[start - 1]) if start else 0
        after = int(self.ends[stop - 1]) if stop else 0
        return EncodedDocuments(
            ids=self.ids[start:stop],
            num_bytes=self.num_bytes[start:stop],
            tokens=self.tokens[before:after],
            ends=self.ends[start:stop] - before,
        )


SHARD_TOKENS = 2**28
_TABLE = pa.schema(
    [
        ("document_id", pa.string()),
        ("shard", pa.int32()),
        ("start", pa.int64()),
        ("num_tokens", pa.int64()),
        ("num_bytes", pa.int64()),
    ]
)


class DigestingFile:
    """A file that is written once, with its sha256; an error of the system names the file."""

    def __init__(self, path: Path) -> None:
        """Open the file, replacing what is there."""
        self._path = path
        self._sha256 = hashlib.sha256()
        self._position = 0
        try:
            self._file = path.open("wb", buffering=2**20)
        except OSError as error:
            raise self._named(error) from error

    def write(self, content: bytes) -> int:
        """Append."""
        try:
            self._file.write(content)
        except OSError as error:
            raise self._named(error) from error
        self._sha256.update(content)
        self._position += len(content)
        return len(content)

    def tell(self) -> int:
        """Return the bytes written."""
        return self._position

    def flush(self) -> None:
        """Do nothing: close() flushes."""

    def close(self) -> None:
        """Hand the last bytes to the system."""
        try:
            self._file.close()
        except OSError as error:
            raise self._named(error) from error

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    @property
    def sha256(self) -> str:
        """Digest of what was written, 64 hexadecimal digits."""
        return self._sha256.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _named(self, error: OSError) -> OSError:
        return OSError(
            error.errno,
            f"token shards cannot be written ({error.strerror}); free space or choose another "
            "folder, then start again",
            str(self._path),
        )


def write_token_shards(
    documents: Iterable[Document],
    out: Path,
    *,
    vocab_size: int,
    eos_id: int,
    tokenizer_digest: str,
    shard_tokens: int = SHARD_TOKENS,
) -> ShardManifest:
    """Write documents one by one: like `write_encoded`, for who has no batches.

    Args:
        documents: (id, UTF-8 bytes of its text, its tokens without end-of-sequence), in order.
        out: As there, and so are all others.
        vocab_size: As there.
        eos_id: Appended to every document.
        tokenizer_digest: As there.
        shard_tokens: As there.

    Raises:
        ValueError: As there.
        OSError: As there.
    """
    return write_encoded(
        (
            EncodedDocuments(
                ids=[name],
                num_bytes=np.array([num_bytes]),
                tokens=np.append(tokens, eos_id),
                ends=np.array([len(tokens) + 1]),
            )
            for name, num_bytes, tokens in documents
        ),
        out,
        vocab_size=vocab_size,
        eos_id=eos_id,
        tokenizer_digest=tokenizer_digest,
        shard_tokens=shard_tokens,
    )


def write_encoded(
    batches: Iterable[EncodedDocuments],
    out: Path,
    *,
    vocab_size: int,
    eos_id: int,
    tokenizer_digest: str,
    shard_tokens: int = SHARD_TOKENS,
) -> ShardManifest:
    """Write documents as token shards into an existing, empty folder.

    Args:
        batches: Documents in order; the batches leave no trace in what is written.
        out: The folder. The caller publishes it; after an error it is incomplete.
        vocab_size: All tokens are below it.
        eos_id: The last token of every document.
        tokenizer_digest: Recorded in the manifest.
        shard_tokens: A shard is closed by the document that reaches this size.

    Raises:
        ValueError: No document, a token outside the vocabulary, or a bad size.
        OSError: A file cannot be written, for instance on a full disk; the message names it.
    """
    if not 0 <= eos_id < vocab_size <= 2**32:
        raise ValueError(f"need 0 <= eos_id < vocab_size <= 2**32, got {eos_id}, {vocab_size}")
    if shard_tokens < 1:
        raise ValueError(f"shard_tokens must be at least 1, got {shard_tokens}")
    dtype: Literal["uint16", "uint32"] = "uint16" if vocab_size <= 2**16 else "uint32"
    shards: list[ShardFile] = []
    num_bytes = 0
    with (
        DigestingFile(out / DOCUMENTS_FILE) as table_file,
        pq.ParquetWriter(table_file, _TABLE, compression="zstd") as table,
    ):
        shard: _Shard | None = None
        for batch in batches:
            _require_tokens(batch, vocab_size, eos_id)
            rest = batch
            while len(rest.ids):
                shard = shard or _Shard(out, len(shards), dtype)
                taken = shard.add(rest, shard_tokens)
                num_bytes += int(rest.num_bytes[:taken].sum())
                rest = rest.part(taken, len(rest.ids))
                if shard.num_tokens >= shard_tokens:
                    shards.append(shard.close(table))
                    shard = None
        if shard is not None:
            shards.append(shard.close(table))
    if not shards:
        raise ValueError(f"{out}: no document to write; is the corpus empty after cleaning?")
    manifest = ShardManifest(
        dtype=dtype,
        vocab_size=vocab_size,
        eos_id=eos_id,
        tokenizer_digest=tokenizer_digest,
        num_tokens=sum(shard.num_tokens for shard in shards),
        num_documents=sum(shard.num_documents for shard in shards),
        num_bytes=num_bytes,
        documents_sha256=table_file.sha256,
        shards=tuple(shards),
    )
    with DigestingFile(out / MANIFEST_FILE) as file:
        file.write(manifest.to_json().encode())
    return manifest


def _require_tokens(batch: EncodedDocuments, vocab_size: int, eos_id: int) -> None:
    """Check what a reader of the shards relies on."""
    tokens = batch.tokens
    assert (tokens[batch.ends - 1] == eos_id).all(), "a document without end of sequence"
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocab_size:
        place = int(((tokens < 0) | (tokens >= vocab_size)).argmax())
        name = batch.ids[int(np.searchsorted(batch.ends, place, side="right"))]
        raise ValueError(
            f"document {name!r} has a token outside [0, {vocab_size}): {int(tokens[place])}; "
            "encode it with this tokenizer"
        )


class _Shard:
    """A shard that is being written, and its part of the document table."""

    def __init__(self, out: Path, index: int, dtype: str) -> None:
        self._out, self._index = out, index
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._file = DigestingFile(out / f"{index:05d}.tok")
        self._ids: list[pa.Array] = []
        self._sizes: list[NDArray[np.int64]] = []
        self._ends: list[NDArray[np.int64]] = []
        self.num_tokens = 0

    def add(self, documents: EncodedDocuments, shard_tokens: int) -> int:
        """Write documents up to the one that fills the shard; return how many."""
        full = np.searchsorted(documents.ends, shard_tokens - self.num_tokens)
        taken = documents.part(0, min(int(full) + 1, len(documents.ids)))
        self._file.write(taken.tokens.astype(self._dtype).tobytes())
        self._ids.append(pa.array(taken.ids, pa.string()))
        self._sizes.append(taken.num_bytes)
        self._ends.append(taken.ends + self.num_tokens)
        self.num_tokens += len(taken.tokens)
        return len(taken.ids)

    def close(self, table: pq.ParquetWriter) -> ShardFile:
        """Write where the documents start, and their rows of the document table."""
        self._file.close()
        ends = np.concatenate(self._ends)
        starts = np.concatenate([[0], ends[:-1]])
        with DigestingFile(self._out / f"{self._index:05d}.doc") as offsets:
            offsets.write(starts.astype("<u8").tobytes())
        columns = {
            "document_id": pa.chunked_array(self._ids, pa.string()),
            "shard": np.full(len(ends), self._index),
            "start": starts,
            "num_tokens": ends - starts,
            "num_bytes": np.concatenate(self._sizes),
        }
        table.write_table(pa.table(columns, schema=_TABLE))
        return ShardFile(
            file=f"{self._index:05d}.tok",
            num_tokens=self.num_tokens,
            num_documents=len(ends),
            sha256=self._file.sha256,
            offsets_sha256=offsets.sha256,
        )
