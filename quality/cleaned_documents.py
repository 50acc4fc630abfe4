"""Cleans any input into two tables that together hold every row of it.

kept/      every column of the input with the text as cleaned, SOURCE_ROW, and the metrics
rejected/  id, SOURCE_ROW, operator, reason, metric, value, limit, text, and the metrics; also the
           rows that could not be read (operator `read`, the detail as value)

rows of the input = kept + rejected         exactly, or the function fails
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from quality.cleaning_examples import CleaningExamples
from quality.cleaning_profiles import CleaningProfile
from quality.document_cleaner import CleanedBatch, CleaningSummary, DocumentCleaner
from quality.documents import CorpusError, Unreadable
from quality.documents_on_disk import DocumentBatch, DocumentsOnDisk
from quality.judgement import VERDICT, OperatorRule, rule_limits
from quality.measurement import MEASURES
from quality.parquet_parts import ParquetParts

KEPT = "kept"
REJECTED = "rejected"
READ = "read"
"""Operator that rejects rows that cannot become documents."""
SOURCE_ROW = "source_row"
"""Column with file and row number of the input; what an earlier command wrote there stays."""

_TEXT = pa.large_string()


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanedDocuments:
    """What became of an input."""

    num_rows: int
    """Rows of the input."""
    unreadable: dict[str, int]
    """Reason -> rows that could not be read."""
    documents: CleaningSummary
    """Account of those that could."""
    rules: tuple[OperatorRule, ...]
    """What was in force, in the order in which it is tried."""
    examples: CleaningExamples
    """Documents to look at."""

    def to_json(self) -> dict[str, object]:
        """State all counts as JSON values."""
        return {
            "num_rows": self.num_rows,
            "num_kept": self.documents.kept,
            "num_rejected": self.num_rows - self.documents.kept,
            "unreadable": self.unreadable,
            "cleaning": asdict(self.documents),
            "rules": rule_limits(self.rules),
        }


def clean_documents(
    documents: DocumentsOnDisk,
    out: Path,
    profile: CleaningProfile,
    *,
    language: str = "",
    progress: Callable[[int, int | None], None] | None = None,
) -> CleanedDocuments:
    """Write the tables `kept` and `rejected` into an existing folder.

    Args:
        documents: The input.
        out: Folder without the two.
        profile: Filters and thresholds.
        language: ISO 639 code that all documents should be in; empty: not judged.
        progress: Told rows done and rows in all, after each batch.

    Raises:
        CorpusError: A file is damaged, or no row can be used.
    """
    tables = _Tables(documents, out)
    cleaner, examples = DocumentCleaner(profile), CleaningExamples()
    unreadable: Counter[str] = Counter()
    done = 0
    with tables.kept, tables.rejected:
        for batch in documents.batches():
            before = _frame(batch, language)
            cleaned = cleaner.clean(before)
            tables.write(batch, cleaned)
            examples.add(before, cleaned)
            unreadable.update(item.reason for item in batch.unreadable)
            done += batch.num_rows_read
            if progress is not None:
                progress(done, documents.num_rows)
    if cleaner.num_documents == 0:
        raise CorpusError(
            f"{documents.path}: none of {done} rows can be used: {dict(unreadable)}; correct "
            "--text-column and --id-column"
        )
    summary = cleaner.summary()
    written = tables.kept.num_rows + tables.rejected.num_rows
    assert written == done == documents.num_rows == summary.raw + unreadable.total(), (
        f"{documents.path}: {documents.num_rows} rows in, {written} out, account {summary}"
    )
    return CleanedDocuments(
        num_rows=done,
        unreadable=dict(sorted(unreadable.items())),
        documents=summary,
        rules=cleaner.rules,
        examples=examples,
    )


def _frame(batch: DocumentBatch, language: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": batch.ids,
            "text": batch.texts,
            "source": pl.Series(batch.sources, dtype=pl.String),
            "language": pl.repeat(language, len(batch.ids), dtype=pl.String, eager=True),
            "row": pl.int_range(len(batch.ids), dtype=pl.Int64, eager=True),
        }
    )


class _Tables:
    """The two tables, with schemas that do not depend on what is in the first batch."""

    def __init__(self, documents: DocumentsOnDisk, out: Path) -> None:
        self._documents = documents
        self._measures = _measure_schema()
        own = {*MEASURES, SOURCE_ROW} - {documents.text_column, documents.id_column}
        columns = [field for field in documents.schema if field.name not in own]
        self._columns = [field.name for field in columns]
        source = pa.field(SOURCE_ROW, _TEXT)
        kept = pa.schema([*columns, source, *self._measures])
        verdict = [pa.field(name, _TEXT) for name in VERDICT]
        rejected = pa.schema(
            [pa.field("id", _TEXT), source, *verdict, pa.field("text", _TEXT), *self._measures]
        )
        self.kept = ParquetParts(out / KEPT, kept)
        self.rejected = ParquetParts(out / REJECTED, rejected)

    def write(self, batch: DocumentBatch, cleaned: CleanedBatch) -> None:
        """Write one batch."""
        sources = pa.array(batch.sources, _TEXT)
        if SOURCE_ROW in batch.rows.schema.names:
            sources = batch.rows.column(SOURCE_ROW).cast(_TEXT).combine_chunks()
        rows = cleaned.kept["row"].to_arrow()
        kept = batch.rows.select(self._columns).take(rows)
        index = kept.schema.get_field_index(self._documents.text_column)
        kept = kept.set_column(index, kept.schema.field(index), _column(cleaned.kept, "text"))
        self.kept.write(self._measured(kept, cleaned.kept, sources.take(rows)))
        rows = cleaned.rejected["row"].to_arrow()
        told = cleaned.rejected.select("id", *VERDICT, "text")
        rejected = pa.table({name: _column(told, name) for name in told.columns})
        self.rejected.write(self._measured(rejected, cleaned.rejected, sources.take(rows)))
        if batch.unreadable:
            self.rejected.write(self._unreadable(batch.unreadable))

    def _measured(self, table: pa.Table, measured: pl.DataFrame, sources: pa.Array) -> pa.Table:
        table = table.append_column(SOURCE_ROW, sources)
        for field in self._measures:
            table = table.append_column(field, _column(measured, field.name).cast(field.type))
        return table

    def _unreadable(self, unreadable: tuple[Unreadable, ...]) -> pa.Table:
        known = {
            SOURCE_ROW: [item.source for item in unreadable],
            "operator": [READ] * len(unreadable),
            "reason": [item.reason for item in unreadable],
            "value": [item.detail for item in unreadable],
        }
        return pa.table(
            [
                pa.array(known.get(field.name, [None] * len(unreadable)), field.type)
                for field in self.rejected.schema
            ],
            schema=self.rejected.schema,
        )


def _measure_schema() -> pa.Schema:
    """Columns and types of `MEASURES`, as cleaning one document gives them."""
    one = pl.DataFrame({"id": ["x"], "text": ["x"], "language": [""]})
    everything = CleaningProfile(name="everything", filters={}, deduplicate=False)
    kept = DocumentCleaner(everything).clean(one).kept.select(MEASURES)
    schema: pa.Schema = kept.to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    return schema


def _column(frame: pl.DataFrame, name: str) -> pa.Array:
    return frame[name].to_arrow(compat_level=pl.CompatLevel.oldest())
