"""A table written as a folder of Parquet files, in bounded memory.

    folder/part-00000.parquet, part-00001.parquet, ...

Rows are collected into row groups of some megabytes, since small ones are slow to read and each
costs memory until its file is closed. A new file begins when one holds `PART_BYTES` of data. A
table without rows is one file without rows, so that a reader finds the columns.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_BYTES = 16 * 2**20
GROUP_ROWS = 65_536
PART_BYTES = 512 * 2**20
"""Sizes in memory; compressed text takes a third of it on disk."""


class ParquetParts:
    """Writer of one table; a context manager."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        """Write into a new folder.

        Raises:
            FileExistsError: The folder exists.
        """
        folder.mkdir(parents=True)
        self._folder = folder
        self.schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        self._pending_bytes = self._pending_rows = self._part_bytes = self._num_parts = 0
        self.num_rows = 0

    def __enter__(self) -> "ParquetParts":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            if self._num_parts == 0:
                self._open()
        if self._writer is not None:
            self._writer.close()

    def write(self, rows: pa.Table) -> None:
        """Append rows with the columns and types of the schema, in any order of the columns.

        Raises:
            KeyError: A column is missing.
            OSError: The file cannot be written.
        """
        if not rows.num_rows:
            return
        # Filtered strings may share the buffers of all that was read: what counts is the slice.
        rows = rows.select(self.schema.names).cast(self.schema)
        self._pending.append(rows)
        self._pending_rows += rows.num_rows
        self._pending_bytes += rows.nbytes
        self.num_rows += rows.num_rows
        if self._pending_bytes >= GROUP_BYTES or self._pending_rows >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            self._open()
        assert self._writer is not None
        self._writer.write_table(pa.concat_tables(self._pending), row_group_size=self._pending_rows)
        self._part_bytes += self._pending_bytes
        self._pending, self._pending_bytes, self._pending_rows = [], 0, 0
        if self._part_bytes >= PART_BYTES:
            self._writer.close()
            self._writer, self._part_bytes = None, 0

    def _open(self) -> None:
        path = self._folder / f"part-{self._num_parts:05d}.parquet"
        self._writer = pq.ParquetWriter(path, self.schema, compression="zstd")
        self._num_parts += 1
