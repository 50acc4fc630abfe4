"""Read one Parquet file, or all of a folder, a bounded batch of rows at a time."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from quality.documents import CorpusError, ReadRequest, Text, Unreadable
from quality.path_selection import find_files
from quality.table_rows import read_table, require_columns

BATCH_ROWS = 512


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class ParquetReader:
    """Settings of a corpus with `reader: parquet`."""

    path: str
    """File or folder (`**/*.parquet`), or its URL; relative paths start from the catalogue."""

    def read(self, request: ReadRequest) -> Iterator[Text | Unreadable]:
        """Yield one text per row, files sorted by path.

        Raises:
            CorpusError: A file is missing, no Parquet, truncated, or lacks a named column.
        """
        for name, file in find_files(request, self.path, default=("**/*.parquet",)):
            try:
                with file.open() as stored, pq.ParquetFile(stored, pre_buffer=False) as table:
                    require_columns(table.schema_arrow, request, source=str(file))
                    columns = [c for c in (request.text_column, request.id_column) if c]
                    row = 1
                    for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                        yield from read_table(batch, request, path=name, source=name, first_row=row)
                        row += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                raise CorpusError(
                    f"corpus {request.corpus!r}: {file} is no complete Parquet file ({error}); "
                    "fetch it again"
                ) from error
