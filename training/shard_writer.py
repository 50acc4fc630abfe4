"""Writes token shards document by document; memory holds the document table of one shard."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.shard_format import DOCUMENTS_FILE, MANIFEST_FILE, ShardFile, ShardManifest

Tokens = NDArray[np.uint16] | NDArray[np.uint32] | NDArray[np.int64]
Document = tuple[str, int, Tokens]
EncodedDocument = tuple[str, int, bytes]

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
    shard_tokens: int = 2**28,
) -> ShardManifest:
    """Write documents as token shards into an existing, empty folder.

    Args:
        documents: (id, UTF-8 bytes of its text, its tokens without end-of-sequence), in order.
        out: The folder. The caller publishes it; after an error it is incomplete.
        vocab_size: All tokens are below it.
        eos_id: Appended to every document.
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
    source = _encoded(documents, vocab_size, eos_id, dtype)
    shards: list[ShardFile] = []
    num_bytes = 0
    with (
        DigestingFile(out / DOCUMENTS_FILE) as table_file,
        pq.ParquetWriter(table_file, _TABLE, compression="zstd") as table,
    ):
        for first in source:
            shard, columns = _write_shard(
                first, source, out=out, index=len(shards), dtype=dtype, shard_tokens=shard_tokens
            )
            table.write_table(columns)
            shards.append(shard)
            num_bytes += int(pc.sum(columns["num_bytes"]).as_py())
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


def _encoded(
    documents: Iterable[Document], vocab_size: int, eos_id: int, dtype: str
) -> Iterator[EncodedDocument]:
    """Yield (id, bytes of the text, the tokens with end-of-sequence as they are on disk)."""
    for document_id, num_bytes, tokens in documents:
        if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocab_size:
            raise ValueError(
                f"document {document_id!r} has a token outside [0, {vocab_size}): "
                f"{int(tokens.min())} to {int(tokens.max())}; encode it with this tokenizer"
            )
        content = np.append(tokens, eos_id).astype(np.dtype(dtype).newbyteorder("<"))
        yield document_id, num_bytes, content.tobytes()


def _write_shard(
    first: EncodedDocument,
    rest: Iterator[EncodedDocument],
    *,
    out: Path,
    index: int,
    dtype: str,
    shard_tokens: int,
) -> tuple[ShardFile, pa.Table]:
    """Write documents until the shard is full; return it and its part of the document table."""
    ids: list[str] = []
    sizes: list[int] = []
    starts = [0]
    name = f"{index:05d}.tok"
    with DigestingFile(out / name) as file:
        for document_id, num_bytes, content in chain([first], rest):
            file.write(content)
            ids.append(document_id)
            sizes.append(num_bytes)
            starts.append(file.tell() // np.dtype(dtype).itemsize)
            if starts[-1] >= shard_tokens:
                break
    num_tokens = starts.pop()
    with DigestingFile(out / f"{index:05d}.doc") as offsets:
        offsets.write(np.array(starts, dtype="<u8").tobytes())
    columns = {
        "document_id": ids,
        "shard": [index] * len(ids),
        "start": starts,
        "num_tokens": np.diff([*starts, num_tokens]),
        "num_bytes": sizes,
    }
    shard = ShardFile(
        file=name,
        num_tokens=num_tokens,
        num_documents=len(ids),
        sha256=file.sha256,
        offsets_sha256=offsets.sha256,
    )
    return shard, pa.table(columns, schema=_TABLE)
