"""From the rows of a table to texts: check the columns, decode, name.

Shared by the readers whose source has rows. A text column may hold bytes that are not UTF-8 even
though its type says string (Arrow does not check), so values are decoded here one by one.
"""

from collections.abc import Iterator

import pyarrow as pa

from quality.documents import CorpusError, ReadRequest, Text, Unreadable


def require_columns(schema: pa.Schema, request: ReadRequest, *, source: str) -> None:
    """Check that the named columns are there and can hold what they should.

    Raises:
        CorpusError: A column is missing, the text is no string, or the id no string or integer.
    """
    for field, column in (("text_column", request.text_column), ("id_column", request.id_column)):
        if column is None:
            continue
        index = schema.get_field_index(column)
        if index < 0:
            raise CorpusError(
                f"corpus {request.corpus!r}, field {field!r}: {source} has no column {column!r}; "
                f"its columns are {schema.names}; name one of them"
            )
        kind = schema.field(index).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (is_text(kind) or (field == "id_column" and pa.types.is_integer(kind))):
            raise CorpusError(
                f"corpus {request.corpus!r}, field {field!r}: column {column!r} of {source} is "
                f"{kind}, not text; name a column of strings"
            )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold texts: strings, or bytes that may be UTF-8."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def read_table(
    table: pa.Table | pa.RecordBatch,
    request: ReadRequest,
    *,
    path: str,
    source: str,
    first_row: int,
) -> Iterator[Text | Unreadable]:
    """Yield the texts of consecutive rows of a table that passed `require_columns`.

    Args:
        table: The rows.
        request: Names the columns.
        path: Relative path of the file, which names the texts together with the row.
        source: Where a person finds the file.
        first_row: Number of the first row, counted from 1.
    """
    texts = _values(table.column(request.text_column))
    keys = _values(table.column(request.id_column)) if request.id_column else [None] * len(texts)
    for row, (value, key) in enumerate(zip(texts, keys, strict=True), start=first_row):
        yield read_row(value, key, request, path=path, source=f"{source}:{row}", row=row)


def _values(column: pa.Array | pa.ChunkedArray) -> list[object]:
    """Take the values out as bytes where they are text, so that bad bytes cannot stop a batch."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        column = column.cast(pa.large_binary())
    values: list[object] = column.to_pylist()
    return values


def read_row(
    value: object, key: object, request: ReadRequest, *, path: str, source: str, row: int
) -> Text | Unreadable:
    """Turn one row into a text, or say why not.

    Args:
        value: The text: str or UTF-8 bytes.
        key: Value of the id column; ignored where the corpus names none.
        request: Tells whether there is an id column.
        path: Relative path of the file.
        source: File and row, for a person.
        row: Number of the row, counted from 1.
    """
    try:
        text = value.decode() if isinstance(value, bytes) else value
        name = key.decode() if isinstance(key, bytes) else key
    except UnicodeDecodeError as error:
        return Unreadable(source=source, reason="invalid_utf8", detail=str(error))
    column = request.text_column
    if text is None:
        return Unreadable(source=source, reason="null_text", detail=f"column {column!r} is null")
    if not isinstance(text, str):
        detail = f"column {column!r} holds a {type(text).__name__}"
        return Unreadable(source=source, reason="text_is_no_string", detail=detail)
    if not text.strip():
        return Unreadable(source=source, reason="empty", detail="no character but white space")
    identity = f"{path}:{row}" if request.id_column is None else _id_of(name)
    if identity is None:
        detail = f"column {request.id_column!r} holds {name!r}"
        return Unreadable(source=source, reason="no_id", detail=detail)
    return Text(identity=identity, path=path, source=source, text=text)


def _id_of(value: object) -> str | None:
    """Take a string or an integer for an id, and nothing else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None
