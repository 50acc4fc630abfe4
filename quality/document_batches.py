"""Reads `documents.parquet` of an artifact in bounded batches, after checking that it is usable.

Shared by all that judge documents: the same missing file, column or value gives the same message.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

DOCUMENTS = "documents.parquet"
RAW_COLUMNS = ("id", "text", "source", "licence", "language", "domain", "metadata")
"""Columns of a raw corpus, all strings."""
BATCH_ROWS = 256
"""Documents held at once. Parquet is decoded page by page, so memory follows the batch."""


class BadDocuments(ValueError):
    """A documents table that cannot be read as one; the message names file, field and remedy."""


def count_documents(folder: Path, columns: Sequence[str]) -> int:
    """Check that the table exists with these columns as strings, and count its rows.

    Raises:
        BadDocuments: The file is missing or damaged, or lacks a column, or a column holds another
            type than strings.
    """
    path = folder / DOCUMENTS
    with _open(path) as file:
        schema = file.schema_arrow
        for column in columns:
            if column not in schema.names:
                raise BadDocuments(
                    f"{path}: no column {column!r}, only {schema.names}; materialise it again"
                )
            if not _is_string(schema.field(column).type):
                raise BadDocuments(
                    f"{path}: column {column!r} holds {schema.field(column).type}, not strings; "
                    "materialise it again"
                )
        num_rows: int = file.metadata.num_rows
    return num_rows


def require_documents(folder: Path, columns: Sequence[str]) -> int:
    """Like `count_documents`, but an empty table is an error too.

    Raises:
        BadDocuments: As `count_documents`, or the table has no rows.
    """
    num_rows = count_documents(folder, columns)
    if num_rows == 0:
        raise BadDocuments(
            f"{folder / DOCUMENTS}: 0 documents; check the corpus's source and its select and "
            "exclude patterns, then materialise it again"
        )
    return num_rows


def read_batches(
    folder: Path, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
    """Yield the named string columns in document order, at most `batch_rows` rows at a time.

    Raises:
        BadDocuments: As `count_documents`, or an `id` or `text` is null.
    """
    count_documents(folder, columns)
    path = folder / DOCUMENTS
    with _open(path) as file:
        done = 0
        for batch in file.iter_batches(batch_size=batch_rows, columns=list(columns)):
            frame = pl.DataFrame(pa.Table.from_batches([batch])).select(columns)
            for column in {"id", "text"}.intersection(columns):
                if frame[column].has_nulls():
                    row = done + int(frame[column].is_null().arg_max() or 0)
                    raise BadDocuments(
                        f"{path}: row {row} has no {column!r} (null); set it aside as unreadable "
                        "where the corpus is read"
                    )
            done += frame.height
            yield frame


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise BadDocuments(f"{path}: no such file; materialise the corpus first")
    try:
        return pq.ParquetFile(path, pre_buffer=False)  # ahead means: all of it, and kept
    except pa.ArrowInvalid as error:
        raise BadDocuments(
            f"{path}: not a complete Parquet file ({error}); materialise it again"
        ) from error


def _is_string(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()
    )
