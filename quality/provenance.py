"""Where a document came from and what became of it.

A lake of artifacts and the output of a command store the same: tables of documents that went on,
and tables of those that did not, each with an `id`; the raw table names the file and row of the
source.
Of each row group the keys are read, and the rest only where one of them is wanted.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quality.document_batches import BadDocuments
from quality.documents_on_disk import DocumentsOnDisk

Row = dict[str, object]
ID_COLUMNS = ("id", "document_id")
KEY_COLUMNS = (*ID_COLUMNS, "source", "source_row")
"""Columns by which a document can be asked for; tables have some of them."""
WENT_ON = "went on"
REMOVED = "removed"
BY_KIND = "by kind"
"""Fate of a table whose column `kind` says `kept`, or what sort of copy was removed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTable:
    """One table that a stage wrote."""

    stage: str
    """For a person: asset and partition, or the folder of a command."""
    fate: str
    """`went on`, `removed` or `by kind`: what it means to be in this table."""
    files: tuple[Path, ...]
    """Its Parquet files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One place where a document was found."""

    stage: str
    """Asset and partition, or the folder of a command."""
    fate: str
    """`went on`, `removed`, or what else its table says."""
    row: Mapping[str, object]
    """All columns of its row."""


def trace_document(key: str, tables: Iterable[StageTable]) -> list[Step]:
    """Find a document in every table, in the order of the tables.

    A key that names a row of the source (`file:row`) is followed under the ids that it became, so
    the way from a raw row to its document is the same question as the way back.

    Args:
        key: Id of a document, or the place of its source as a raw table or a command wrote it.
        tables: From raw to last.

    Raises:
        BadDocuments: A table is damaged.
    """
    keys, steps = {key}, []
    for table in tables:
        for file in table.files:
            for row in find_rows(file, keys):
                steps.append(Step(stage=table.stage, fate=_fate(table, row), row=row))
                keys.update(str(row[name]) for name in ID_COLUMNS if row.get(name) is not None)
    return steps


def _fate(table: StageTable, row: Row) -> str:
    if table.fate != BY_KIND:
        return table.fate
    return WENT_ON if row["kind"] == "kept" else REMOVED


def find_rows(file: Path, keys: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a Parquet file that have one of the keys as id or as source.

    Raises:
        BadDocuments: The file is no complete Parquet file.
    """
    wanted = pa.array(sorted(keys), pa.large_string())
    try:
        with pq.ParquetFile(file) as parquet:
            present = [name for name in KEY_COLUMNS if name in parquet.schema_arrow.names]
            for group in range(parquet.num_row_groups if present else 0):
                known = parquet.read_row_group(group, columns=present)
                mask = pa.chunked_array([pa.repeat(pa.scalar(False), known.num_rows)])
                for name in present:
                    column = known.column(name).cast(pa.large_string())
                    mask = pc.or_(mask, pc.is_in(column, wanted))
                if pc.any(mask).as_py():
                    yield from parquet.read_row_group(group).filter(mask).to_pylist()
    except pa.ArrowException as error:
        raise BadDocuments(f"{file}: not a complete Parquet file ({error})") from error


def find_input_row(documents: DocumentsOnDisk, key: str) -> Row | None:
    """Find the row of an input by its id or by file and row; None if it is not among its documents.

    Raises:
        CorpusError: A file is damaged.
    """
    for batch in documents.batches():
        places = [n for n, source in enumerate(batch.sources) if source == key]
        places += batch.ids.eq(key).arg_true().to_list()
        if places:
            row: Row = batch.rows.slice(places[0], 1).to_pylist()[0]
            return {**row, "source_row": batch.sources[places[0]]}
    return None
