"""JSONL files that together are one table.

A first reading finds the columns and the types that all rows have in common:

    true, false            bool
    whole numbers          int64
    numbers                float64 (whole numbers among them only up to 2^53, which lose nothing)
    strings                large_string
    objects and lists      large_string, as JSON text
    null throughout        null

A column that holds values of several of these is an error that names a row of each.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from quality.documents import CorpusError, Unreadable
from quality.json_lines import Record, read_records
from quality.source_files import SourceFile
from quality.stored_table import BATCH_BYTES, BATCH_ROWS, ColumnChoice, RawRows

_TEXT = pa.large_string()
_EXACT_FLOAT = 2**53
_INT64 = 2**63
_NESTED = "objects or lists"
_TYPES = {
    frozenset[str](): pa.null(),
    frozenset({"true or false"}): pa.bool_(),
    frozenset({"whole numbers"}): pa.int64(),
    frozenset({"large whole numbers"}): pa.int64(),
    frozenset({"whole numbers", "large whole numbers"}): pa.int64(),
    frozenset({"fractions"}): pa.float64(),
    frozenset({"whole numbers", "fractions"}): pa.float64(),
    frozenset({"strings"}): _TEXT,
    frozenset({_NESTED}): _TEXT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonTable:
    """A table in JSONL files; made by `open`."""

    files: tuple[SourceFile, ...]
    choice: ColumnChoice
    schema: pa.Schema
    id_column: str | None
    num_rows: int
    nested: frozenset[str]
    """Columns of objects and lists."""

    @classmethod
    def open(cls, files: list[SourceFile], choice: ColumnChoice) -> "JsonTable":
        """Read all files once for their columns.

        Raises:
            CorpusError: A file is truncated, lacks a named column, or values of a column have no
                type in common.
        """
        scan = _Scan(choice)
        for file in files:
            scan.add(file)
        kinds = scan.kinds
        id_column = choice.id or ("id" if "id" in kinds else None)
        schema = []
        for column, found in kinds.items():
            if column == choice.text:
                schema.append(pa.field(column, _TEXT))
            elif column == id_column:
                whole = found and set(found) <= {"whole numbers", "large whole numbers"}
                schema.append(pa.field(column, pa.int64() if whole else _TEXT))
            else:
                schema.append(pa.field(column, _type_of(column, found)))
        nested = frozenset(
            column
            for column, found in kinds.items()
            if _NESTED in found and column not in (choice.text, id_column)
        )
        return cls(
            files=tuple(files),
            choice=choice,
            schema=pa.schema(schema),
            id_column=id_column,
            num_rows=scan.num_rows,
            nested=nested,
        )

    def read(self) -> Iterator[RawRows]:
        """Yield all rows, files in order.

        Raises:
            CorpusError: A file is damaged or changed since it was opened.
        """
        for file in self.files:
            piece = _Piece(self)
            for row, record in read_records(file):
                piece.add(f"{file.name}:{row}", record)
                if piece.is_full:
                    yield piece.close()
                    piece = _Piece(self)
            yield piece.close()


class _Scan:
    """Columns, kinds of values and number of rows."""

    def __init__(self, choice: ColumnChoice) -> None:
        self._choice = choice
        self.kinds: dict[str, dict[str, str]] = {}
        """Column -> kind of value -> the first row that holds one."""
        self.num_rows = 0

    def add(self, file: SourceFile) -> None:
        """Read one file."""
        columns: set[str] = set()
        for row, record in read_records(file):
            self.num_rows += 1
            if isinstance(record, Unreadable):
                continue
            for column, value in record.items():
                if column not in self._choice.leave_out:
                    kind = _kind_of(value)
                    found = self.kinds.setdefault(column, {})
                    if kind is not None and kind not in found:
                        found[kind] = f"{file.name}:{row}"
            columns.update(record)
        default_id = "id" if "id" in self.kinds else None
        for option, column_name in (
            ("--text-column", self._choice.text),
            ("--id-column", self._choice.id or default_id),
        ):
            if column_name is not None and columns and column_name not in columns:
                raise CorpusError(
                    f"no row of {file} has a column {column_name!r}, only {sorted(columns)}; name "
                    f"one of them with {option}"
                )


class _Piece:
    """Rows that become one batch."""

    def __init__(self, table: JsonTable) -> None:
        self._table = table
        self._columns: dict[str, list[object]] = {name: [] for name in table.schema.names}
        self._sources: list[str] = []
        self._aside: list[Unreadable] = []
        self._num_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether enough rows are together."""
        num_rows = len(self._sources) + len(self._aside)
        return num_rows >= BATCH_ROWS or self._num_bytes >= BATCH_BYTES

    def add(self, source: str, record: Record | Unreadable) -> None:
        """Take one row."""
        refusal = record if isinstance(record, Unreadable) else self._refuse(source, record)
        if refusal is not None:
            self._aside.append(refusal)
            return
        assert isinstance(record, dict)
        for name, values in self._columns.items():
            value = record.get(name)
            if name in self._table.nested and value is not None:
                value = json.dumps(value, ensure_ascii=False)
            if isinstance(value, str):
                self._num_bytes += len(value)
            values.append(value)
        self._sources.append(source)

    def _refuse(self, source: str, record: Record) -> Unreadable | None:
        choice = self._table.choice
        if choice.text not in record:
            detail = f"the row has no {choice.text!r}, only {sorted(record)}"
            return Unreadable(source=source, reason="missing_text_column", detail=detail)
        text = record[choice.text]
        if text is not None and not isinstance(text, str):
            detail = f"column {choice.text!r} holds a {type(text).__name__}"
            return Unreadable(source=source, reason="text_is_no_string", detail=detail)
        id_column = self._table.id_column
        if id_column is not None:
            name = record.get(id_column)
            if isinstance(name, bool) or not isinstance(name, str | int):
                detail = f"column {id_column!r} holds {name!r}"
                return Unreadable(source=source, reason="no_id", detail=detail)
            if self._table.schema.field(id_column).type == _TEXT:
                record[id_column] = str(name)
        return _find_surrogate(source, record, self._columns)

    def close(self) -> RawRows:
        """Make the table."""
        arrays = [
            pa.array(self._columns[field.name], type=field.type) for field in self._table.schema
        ]
        return RawRows(
            rows=pa.Table.from_arrays(arrays, schema=self._table.schema),
            sources=tuple(self._sources),
            unreadable=tuple(self._aside),
        )


def _find_surrogate(
    source: str, record: Record, columns: dict[str, list[object]]
) -> Unreadable | None:
    """Refuse half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    for name in columns:
        value = record.get(name)
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        if isinstance(text, str) and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                return Unreadable(source=source, reason="invalid_unicode", detail=str(error))
    return None


def _kind_of(value: object) -> str | None:
    kind: str | None = _NESTED
    if value is None:
        kind = None
    elif isinstance(value, bool):
        kind = "true or false"
    elif isinstance(value, int):
        kind = "whole numbers"
        if abs(value) > _EXACT_FLOAT:
            fits = -_INT64 <= value < _INT64
            kind = "large whole numbers" if fits else "numbers beyond 64 bits"
    elif isinstance(value, float):
        kind = "fractions"
    elif isinstance(value, str):
        kind = "strings"
    return kind


def _type_of(column: str, found: dict[str, str]) -> pa.DataType:
    kind = _TYPES.get(frozenset(found))
    if kind is None:
        seen = ", ".join(f"{name} ({row})" for name, row in found.items())
        raise CorpusError(
            f"column {column!r} holds {seen}: no type holds all of them; convert the column, or "
            "ignore it with --leave-out"
        )
    return kind
