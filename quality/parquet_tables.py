"""Parquet files that together are one table.

Types that differ between files are widened where no value changes (int32 to int64, string to
large_string, a column that is null throughout to any type); other differences are an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quality.documents import MAX_DOCUMENT_BYTES, CorpusError, Unreadable, too_large
from quality.source_files import SourceFile
from quality.stored_table import BATCH_BYTES, BATCH_ROWS, ColumnChoice, RawRows
from quality.table_rows import is_text

_TEXT = pa.large_string()


@dataclass(frozen=True, kw_only=True, slots=True)
class ParquetTable:
    """A table in Parquet files; made by `open`."""

    files: tuple[SourceFile, ...]
    choice: ColumnChoice
    schema: pa.Schema
    id_column: str | None
    num_rows: int

    @classmethod
    def open(cls, files: list[SourceFile], choice: ColumnChoice) -> "ParquetTable":
        """Read the footers.

        Raises:
            CorpusError: A file is no complete Parquet file, or the columns are not as they should.
        """
        schema = pa.schema([])
        num_rows = 0
        for file in files:
            found, rows = _read_footer(file)
            named = choice.id or ("id" if "id" in (*found.names, *schema.names) else None)
            found = _prepare(found, file, choice, named)
            schema = _unify(schema, found, file)
            num_rows += rows
        id_column = choice.id or ("id" if "id" in schema.names else None)
        return cls(
            files=tuple(files),
            choice=choice,
            schema=schema,
            id_column=id_column,
            num_rows=num_rows,
        )

    def read(self) -> Iterator[RawRows]:
        """Yield all rows, files in order.

        Raises:
            CorpusError: A file is damaged or changed since it was opened.
        """
        for file in self.files:
            try:
                # Buffering ahead would keep the bytes of every row group until the file is closed.
                with file.open() as stored, pq.ParquetFile(stored, pre_buffer=False) as parquet:
                    yield from self._read_file(file, parquet)
            except (pa.ArrowException, OSError) as error:
                raise CorpusError(
                    f"{file} is no complete Parquet file ({error}); fetch it again"
                ) from error

    def _read_file(self, file: SourceFile, parquet: pq.ParquetFile) -> Iterator[RawRows]:
        row = 1
        found = parquet.schema_arrow
        names = [name for name in self.schema.names if name in found.names]
        stored_as_bytes = {
            name
            for name in names
            if self.schema.field(name).type == _TEXT and _is_binary(_plain(found.field(name).type))
        }
        for piece in parquet.iter_batches(batch_size=_rows_at_once(parquet), columns=names):
            sources = [f"{file.name}:{number}" for number in range(row, row + piece.num_rows)]
            row += piece.num_rows
            # Before anything copies it: a text of a gigabyte is held once, by the reader.
            piece, sources, large = _put_aside(piece, sources, self._find_large(piece, sources))  # noqa: PLW2901
            found = _find_invalid(piece, sources, stored_as_bytes)
            piece, sources, invalid = _put_aside(piece, sources, found)  # noqa: PLW2901
            aside = tuple(large + invalid)
            yield RawRows(rows=self._align(piece), sources=tuple(sources), unreadable=aside)

    def _find_large(self, piece: pa.RecordBatch, sources: list[str]) -> dict[int, Unreadable]:
        """Find rows whose text is too long to be held beside others."""
        if self.choice.text not in piece.schema.names:
            return {}
        column = piece.column(self.choice.text)
        if pa.types.is_null(column.type):
            return {}
        if pa.types.is_dictionary(column.type):
            sizes = pc.take(pc.binary_length(column.dictionary), column.indices)
        else:
            sizes = pc.binary_length(column)
        is_large = pc.fill_null(pc.greater(sizes, MAX_DOCUMENT_BYTES), False)
        return {
            row: too_large(sources[row], sizes[row].as_py())
            for row in np.flatnonzero(is_large.to_numpy(zero_copy_only=False)).tolist()
        }

    def _align(self, piece: pa.RecordBatch) -> pa.Table:
        """Give a piece the columns and types of the whole table."""
        columns = []
        for field in self.schema:
            if field.name not in piece.schema.names:
                columns.append(pa.nulls(piece.num_rows, field.type))
                continue
            column = _decoded(piece.column(field.name))
            columns.append(column if column.type == field.type else column.cast(field.type))
        return pa.Table.from_arrays(columns, schema=self.schema)


def _read_footer(file: SourceFile) -> tuple[pa.Schema, int]:
    try:
        with file.open() as stored, pq.ParquetFile(stored) as parquet:
            return parquet.schema_arrow.remove_metadata(), parquet.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(
            f"{file} is no complete Parquet file ({error}); fetch it again"
        ) from error


def _prepare(
    schema: pa.Schema, file: SourceFile, choice: ColumnChoice, id_column: str | None
) -> pa.Schema:
    """Check the named columns of one file and give text and dictionaries their plain types."""
    for option, column in (("--text-column", choice.text), ("--id-column", id_column)):
        if column is None:
            continue
        if column not in schema.names:
            raise CorpusError(
                f"{file} has no column {column!r}, only {schema.names}; name one of them with "
                f"{option}"
            )
        kind = _plain(schema.field(column).type)
        may_serve = is_text(kind) or pa.types.is_null(kind)
        if not (may_serve or (option == "--id-column" and pa.types.is_integer(kind))):
            raise CorpusError(
                f"{file}: column {column!r} is {kind}, not text; name another one with {option}"
            )
    fields = []
    for field in schema:
        if field.name not in choice.leave_out:
            kind = _plain(field.type)
            text = field.name == choice.text or (is_text(kind) and not _is_binary(kind))
            text = text or (field.name == id_column and is_text(kind))
            fields.append(pa.field(field.name, _TEXT if text else kind))
    return pa.schema(fields)


def _unify(schema: pa.Schema, found: pa.Schema, file: SourceFile) -> pa.Schema:
    try:
        return pa.unify_schemas([schema, found], promote_options="permissive")
    except pa.ArrowException as error:
        raise CorpusError(
            f"{file}: its columns do not fit those of the files before it ({error}); convert the "
            "column, or ignore it with --leave-out"
        ) from error


def _rows_at_once(parquet: pq.ParquetFile) -> int:
    """Rows whose texts are about `BATCH_BYTES`, judged by the fattest row group."""
    groups = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
    fattest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
    return int(min(BATCH_ROWS, max(1, BATCH_BYTES // max(fattest, 1))))


def _put_aside(
    piece: pa.RecordBatch, sources: list[str], found: dict[int, Unreadable]
) -> tuple[pa.RecordBatch, list[str], list[Unreadable]]:
    """Leave out the rows that were found; return the others, their sources, and what was found."""
    if not found:
        return piece, sources, []
    keep = [row not in found for row in range(piece.num_rows)]
    others = [source for source, sound in zip(sources, keep, strict=True) if sound]
    return piece.filter(pa.array(keep)), others, list(found.values())


def _find_invalid(
    piece: pa.RecordBatch, sources: list[str], as_text: set[str]
) -> dict[int, Unreadable]:
    """Find rows whose strings are no UTF-8, which Arrow reads without a look."""
    checked = pa.RecordBatch.from_arrays(
        [
            pc.cast(column, pa.large_binary()).view(_TEXT) if name in as_text else column
            for name, column in zip(piece.schema.names, map(_decoded, piece.columns), strict=True)
        ],
        names=piece.schema.names,
    )
    try:
        checked.validate(full=True)
    except pa.ArrowInvalid:
        pass
    else:
        return {}
    found = {}
    for row, source in enumerate(sources):
        try:
            checked.slice(row, 1).validate(full=True)
        except pa.ArrowInvalid as error:
            found[row] = Unreadable(source=source, reason="invalid_utf8", detail=str(error))
    return found


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
