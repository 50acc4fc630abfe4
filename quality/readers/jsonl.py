"""Read JSON lines, plain or compressed (.gz, .zst), one line at a time."""

from collections.abc import Iterator

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from quality.documents import CorpusError, ReadRequest, Text, Unreadable
from quality.json_lines import JSONL_PATTERNS, Record, read_records
from quality.path_selection import find_files
from quality.source_files import SourceFile
from quality.table_rows import read_row


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class JsonlReader:
    """Settings of a corpus with `reader: jsonl`."""

    path: str
    """File or folder, or its URL; relative paths start from the catalogue's folder."""

    def read(self, request: ReadRequest) -> Iterator[Text | Unreadable]:
        """Yield one text per line, files sorted by path; blank lines are no rows.

        Raises:
            CorpusError: A file is missing or truncated, or none of its rows has a named column.
        """
        for name, file in find_files(request, self.path, default=JSONL_PATTERNS):
            seen = _SeenColumns(request, file)
            try:
                for row, record in read_records(file):
                    if isinstance(record, Unreadable):
                        yield record
                    else:
                        seen.add(record)
                        yield _read_record(record, request, path=name, row=row)
            except CorpusError as error:
                raise CorpusError(f"corpus {request.corpus!r}: {error}") from error
            seen.require()


class _SeenColumns:
    """Remembers whether any row of a file had the named columns."""

    def __init__(self, request: ReadRequest, file: SourceFile) -> None:
        self._request = request
        self._file = file
        self._columns: set[str] = set()

    def add(self, record: Record) -> None:
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


def _read_record(record: Record, request: ReadRequest, *, path: str, row: int) -> Text | Unreadable:
    source = f"{path}:{row}"
    if request.text_column not in record:
        detail = f"the row has no {request.text_column!r}, only {sorted(record)}"
        return Unreadable(source=source, reason="missing_text_column", detail=detail)
    key = record.get(request.id_column) if request.id_column else None
    return read_row(record[request.text_column], key, request, path=path, source=source, row=row)
