"""Documents of a file or folder that a person names: every column, in bounded batches.

INPUT is a Parquet or JSONL (.gz, .zst) file, a folder of one kind of them, or a URL of either. It
has a column of texts and may have one of ids; all other columns come along unchanged. A row that
cannot be used is put aside with its reason; what makes the table as a whole doubtful (a truncated
file, a missing column, columns whose types differ between files) is an error before the first row.

The rows can be read again and again; each reading gives the same batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from quality.documents import MAX_DOCUMENT_BYTES, CorpusError, Unreadable, too_large
from quality.identity_index import IdentityIndex
from quality.json_lines import JSONL_PATTERNS
from quality.json_tables import JsonTable
from quality.parquet_tables import ParquetTable
from quality.path_selection import compile_pattern
from quality.source_files import SourceFile, list_files
from quality.stored_table import ColumnChoice, RawRows, StoredTable

PARQUET_PATTERNS = ("**/*.parquet",)
DEFAULT_ID = "id"
"""Column that holds the ids if the input has it and no other is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentBatch:
    """Consecutive rows of the input, at most a thousand and a few megabytes."""

    rows: pa.Table
    """Sound rows with every column of the input, under its own name and with its own type."""
    ids: pl.Series
    """Id of each row, String, unique in the input."""
    texts: pl.Series
    """Text of each row, String; not empty."""
    sources: tuple[str, ...]
    """File and row number from 1 of each row."""
    unreadable: tuple[Unreadable, ...]
    """Rows of this stretch that were put aside."""

    @property
    def num_rows_read(self) -> int:
        """Sound rows and those put aside."""
        return len(self.sources) + len(self.unreadable)


class DocumentsOnDisk:
    """The documents of one input; made by `open_documents`."""

    def __init__(self, table: StoredTable, *, path: str, text_column: str) -> None:
        self._table = table
        self.path = path
        self.text_column = text_column
        """Column of the texts."""
        self.id_column = table.id_column or DEFAULT_ID
        """Column of the ids in `DocumentBatch.rows`; added in front if the input has none."""
        self.num_rows = table.num_rows
        """Rows of the input, those that will be put aside included."""
        fields = list(table.schema)
        if table.id_column is None:
            fields.insert(0, pa.field(DEFAULT_ID, pa.large_string()))
        self.schema = pa.schema(fields)
        """Columns of `DocumentBatch.rows`."""

    def batches(self) -> Iterator[DocumentBatch]:
        """Yield all rows in order: files by name, rows as they stand.

        Raises:
            CorpusError: A file is damaged in a place that only reading it shows.
        """
        seen = IdentityIndex()
        for raw in self._table.read():
            yield self._check(raw, seen)

    def _check(self, raw: RawRows, seen: IdentityIndex) -> DocumentBatch:
        """Put aside the rows that cannot be documents."""
        table = raw.rows
        texts = _strings(table, self.text_column)
        named = self._table.id_column is not None
        if named:
            ids = _strings(table, self.id_column).str.strip_chars()
        else:
            ids = pl.Series(raw.sources, dtype=pl.String)
            column = pa.array(raw.sources, pa.large_string())
            table = table.add_column(0, self.schema.field(0), column)
        sizes = texts.str.len_bytes()
        faults = pl.select(
            pl.when(texts.is_null())
            .then(pl.lit("null_text"))
            .when(sizes > MAX_DOCUMENT_BYTES)
            .then(pl.lit("too_large"))
            .when(~texts.str.contains(r"\S"))
            .then(pl.lit("empty"))
            .when(ids.is_null() | (ids == ""))
            .then(pl.lit("no_id"))
        ).to_series()
        aside = list(raw.unreadable)
        for row in faults.is_not_null().arg_true():
            aside.append(_fault(faults[row], raw.sources[row], sizes[row], self))
        keep = faults.is_null().to_numpy(writable=True)
        if named:
            rows = np.flatnonzero(keep)
            taken = rows[seen.add(ids.gather(rows).to_list())]
            keep[taken] = False
            for row in taken.tolist():
                detail = f"the id {ids[row]!r} is taken"
                aside.append(
                    Unreadable(source=raw.sources[row], reason="duplicate_id", detail=detail)
                )
        mask = pl.Series(keep)
        return DocumentBatch(
            rows=table.filter(pa.array(keep)),
            ids=ids.filter(mask).alias("id"),
            texts=texts.filter(mask).alias("text"),
            sources=tuple(source for source, kept in zip(raw.sources, keep, strict=True) if kept),
            unreadable=tuple(aside),
        )


def open_documents(
    path: str,
    *,
    text_column: str = "text",
    id_column: str | None = None,
    leave_out: Sequence[str] = (),
) -> DocumentsOnDisk:
    """Look at an input and make it readable.

    JSON lines are read once here, for only all rows tell the type of a column; of Parquet files
    only the footers.

    Args:
        path: File, folder or URL. In a folder all `.parquet` or all `.jsonl`, `.jsonl.gz` and
            `.jsonl.zst` files count, in subfolders too, but no file or folder whose name begins
            with a dot or an underscore.
        text_column: Column of the texts, strings.
        id_column: Column of the ids, strings or integers; None: `id` if there is one, else a
            document is named by file and row.
        leave_out: Columns to ignore.

    Raises:
        CorpusError: Nothing is there, a file is truncated, a named column is missing or has another
            type, a column has types that cannot be reconciled, or there are no rows.
    """
    choice = ColumnChoice(text=text_column, id=id_column, leave_out=frozenset(leave_out))
    if text_column == (id_column or DEFAULT_ID) or {text_column, id_column} & choice.leave_out:
        raise CorpusError(
            f"text column {text_column!r}, id column {id_column!r} and columns to leave out "
            f"{sorted(leave_out)} must differ; correct the options"
        )
    parquet, jsonl = _choose_files(path)
    table: StoredTable
    table = ParquetTable.open(parquet, choice) if parquet else JsonTable.open(jsonl, choice)
    if table.num_rows == 0:
        raise CorpusError(f"{path}: no rows; name a file or folder that holds documents")
    return DocumentsOnDisk(table, path=path, text_column=text_column)


def _choose_files(path: str) -> tuple[list[SourceFile], list[SourceFile]]:
    """Find the Parquet and the JSONL files; one of the two lists is empty, but not both."""
    files = list_files(path)
    alone = len(files) == 1 and files[0].address == path
    seen = [
        file for file in files if alone or not any(part[0] in "._" for part in file.name.split("/"))
    ]
    parquet = [file for file in seen if _matches(file, PARQUET_PATTERNS)]
    jsonl = [file for file in seen if _matches(file, JSONL_PATTERNS)]
    if parquet and jsonl:
        raise CorpusError(
            f"{path} holds Parquet and JSONL files ({parquet[0].name}, {jsonl[0].name}); name a "
            "folder of one kind"
        )
    if not parquet and not jsonl:
        raise CorpusError(
            f"{path}: no Parquet or JSONL file (.parquet, .jsonl, .jsonl.gz, .jsonl.zst) among "
            f"{len(files)} files; name a file or folder that holds documents"
        )
    return parquet, jsonl


def _matches(file: SourceFile, patterns: tuple[str, ...]) -> bool:
    return any(compile_pattern(pattern).fullmatch(file.name) for pattern in patterns)


def _strings(table: pa.Table, column: str) -> pl.Series:
    return pl.Series(pl.from_arrow(table.column(column))).cast(pl.String)


def _fault(reason: str, source: str, num_bytes: int | None, on: DocumentsOnDisk) -> Unreadable:
    """Say what is wrong with one row."""
    if reason == "too_large":
        return too_large(source, num_bytes or 0)
    details = {
        "null_text": f"column {on.text_column!r} is null",
        "empty": "no character but white space",
        "no_id": f"column {on.id_column!r} holds no id",
    }
    return Unreadable(source=source, reason=reason, detail=details[reason])
