"""What every kind of stored table offers: a schema, the number of rows, and the rows in pieces."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from quality.documents import Unreadable

BATCH_ROWS = 1024
BATCH_BYTES = 8 * 2**20
"""Rows are handed over when either is reached: a batch and its copies fit into memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnChoice:
    """Which columns mean what."""

    text: str
    """Column of the texts."""
    id: str | None
    """Column of the ids; None: `id` if the table has it, else none."""
    leave_out: frozenset[str]
    """Columns to ignore."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRows:
    """Consecutive rows as they stand; only what no table can hold has been put aside."""

    rows: pa.Table
    """Rows with the table's schema."""
    sources: tuple[str, ...]
    """File and row number from 1 of each row."""
    unreadable: tuple[Unreadable, ...]
    """What was put aside."""


class StoredTable(Protocol):
    """Files that together are one table."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of all files together; a column that a file lacks is null there."""
        ...

    @property
    def id_column(self) -> str | None:
        """Column of the ids; None: there is none."""
        ...

    @property
    def num_rows(self) -> int:
        """Rows of all files."""
        ...

    def read(self) -> Iterator[RawRows]:
        """Yield all rows in order.

        Raises:
            CorpusError: A file is damaged.
        """
        ...
