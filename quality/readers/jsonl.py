"""Read JSON lines, plain or compressed (.gz, .zst), one line at a time.

Arrow decompresses both: unlike the streaming readers of other libraries it tells a truncated file
from a complete one.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from quality.documents import CorpusError, ReadRequest, Text, Unreadable
from quality.path_selection import find_files
from quality.table_rows import read_row

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
DEFAULT_PATTERNS = ("**/*.jsonl", "**/*.jsonl.gz", "**/*.jsonl.zst")


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class JsonlReader:
    """Settings of a corpus with `reader: jsonl`."""

    path: str
    """File or folder; relative paths start from the catalogue's folder."""

    def read(self, request: ReadRequest) -> Iterator[Text | Unreadable]:
        """Yield one text per line, files sorted by path; blank lines are no rows.

        Raises:
            CorpusError: A file is missing or truncated, or none of its rows has a named column.
        """
        for name, file in find_files(request, self.path, default=DEFAULT_PATTERNS):
            seen = _SeenColumns(request, file)
            for row, line in enumerate(_lines(file, request), start=1):
                if line.strip():
                    yield _read_line(line, request, seen, path=name, row=row)
            seen.require()


class _SeenColumns:
    """Remembers whether any row of a file had the named columns."""

    def __init__(self, request: ReadRequest, file: Path) -> None:
        self._request = request
        self._file = file
        self._columns: set[str] = set()

    def add(self, record: dict[str, object]) -> None:
        self._columns.update(record)

    def require(self) -> None:
        for field in ("text_column", "id_column"):
            column = (
                self._request.text_column if field == "text_column" else self._request.id_column
            )
            if column is not None and self._columns and column not in self._columns:
                raise CorpusError(
                    f"corpus {self._request.corpus!r}, field {field!r}: no row of {self._file} has "
                    f"a column {column!r}, only {sorted(self._columns)}; name one of them"
                )


def _lines(file: Path, request: ReadRequest) -> Iterator[bytes]:
    try:
        stream = pa.input_stream(str(file), compression=COMPRESSIONS.get(file.suffix))
        with io.BufferedReader(stream) as lines:
            yield from lines
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(
            f"corpus {request.corpus!r}: {file} cannot be read to its end ({error}); fetch it again"
        ) from error


def _read_line(
    line: bytes, request: ReadRequest, seen: _SeenColumns, *, path: str, row: int
) -> Text | Unreadable:
    source = f"{path}:{row}"
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Unreadable(source=source, reason="invalid_utf8", detail=str(error))
    except (json.JSONDecodeError, RecursionError) as error:
        return Unreadable(source=source, reason="invalid_json", detail=str(error))
    if not isinstance(record, dict):
        detail = f"a JSON {type(record).__name__} instead of an object"
        return Unreadable(source=source, reason="no_object", detail=detail)
    seen.add(record)
    if request.text_column not in record:
        detail = f"the row has no {request.text_column!r}, only {sorted(record)}"
        return Unreadable(source=source, reason="missing_text_column", detail=detail)
    key = record.get(request.id_column) if request.id_column else None
    return read_row(record[request.text_column], key, request, path=path, source=source, row=row)
