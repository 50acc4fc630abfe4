"""Tags files on disk with one tagger or several, and says how far they agree.

kept/   every column of the input, and for each tagger NAME_tag (null: no opinion) and
        NAME_confidence

sound rows of the input = rows of `kept`, exactly
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import polars as pl
import pyarrow as pa

from quality.document_sample import document_frame, sample_documents
from quality.documents import CorpusError
from quality.documents_on_disk import DocumentsOnDisk
from quality.parquet_parts import ParquetParts
from quality.tagger_comparison import TaggerComparison, compare_taggers
from quality.taggers import Tagger, TaggerSettings

KEPT = "kept"
FIT_ROWS = 20_000
"""Documents that a tagger learns from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaggedDocuments:
    """What came of it."""

    num_documents: int
    """Sound rows, all of them kept."""
    tags: Mapping[str, Mapping[str, int]]
    """Tagger -> tag -> documents, most frequent first; the empty tag: not labelled."""
    comparisons: Mapping[tuple[str, str], TaggerComparison]
    """Each pair of taggers."""
    put_aside: Mapping[str, int]
    """Reason -> rows that were no documents."""

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "num_documents": self.num_documents,
            "tags": {name: dict(counts) for name, counts in self.tags.items()},
            "comparisons": [
                {"first": first, "second": second, **compared.to_json()}
                for (first, second), compared in self.comparisons.items()
            ],
            "put_aside": dict(self.put_aside),
        }


def tag_documents(
    documents: DocumentsOnDisk,
    taggers: Mapping[str, TaggerSettings],
    out: Path,
    *,
    fit_rows: int = FIT_ROWS,
    progress: Callable[[int, int | None], None] | None = None,
) -> TaggedDocuments:
    """Fit the taggers on an even sample of the input, tag all of it and write `kept/*.parquet`.

    Args:
        documents: The input.
        taggers: Name -> settings.
        out: Existing folder, filled here.
        fit_rows: Most documents to learn from.
        progress: Told rows done and rows in all, after each batch.

    Raises:
        CorpusError: A file is damaged, no row is a document, or a column has the name of a new one.
        ValueError: There is no tagger, or one lacks a column or documents to learn from.
    """
    if not taggers:
        raise ValueError("no tagger is named; name one")
    schema = _schema(documents, tuple(taggers))
    sample = sample_documents(documents, fit_rows)
    if sample.is_empty():
        raise CorpusError(f"{documents.path}: none of {documents.num_rows} rows is a document")
    fitted = {name: settings.fit(sample) for name, settings in taggers.items()}
    answers: dict[str, list[pl.DataFrame]] = {name: [] for name in fitted}
    put_aside: Counter[str] = Counter()
    num_documents = num_read = 0
    with ParquetParts(out / KEPT, schema) as kept:
        for batch in documents.batches():
            rows = batch.rows
            for name, answer in _answers(fitted, document_frame(batch)).items():
                answers[name].append(answer)
                rows = rows.append_column(f"{name}_tag", _arrow(answer["tag"]))
                rows = rows.append_column(f"{name}_confidence", _arrow(answer["confidence"]))
            kept.write(rows)
            num_documents += rows.num_rows
            num_read += batch.num_rows_read
            put_aside.update(row.reason for row in batch.unreadable)
            if progress is not None:
                progress(num_read, documents.num_rows)
    tables = {name: pl.concat(parts) for name, parts in answers.items()}
    assert num_documents == kept.num_rows, f"{num_documents} documents in, {kept.num_rows} out"
    return TaggedDocuments(
        num_documents=num_documents,
        tags={name: _counts(table) for name, table in tables.items()},
        comparisons={
            (one, other): compare_taggers(tables[one], tables[other])
            for one, other in combinations(tables, 2)
        },
        put_aside=dict(sorted(put_aside.items())),
    )


def _schema(documents: DocumentsOnDisk, names: tuple[str, ...]) -> pa.Schema:
    added = [
        field
        for name in names
        for field in (
            pa.field(f"{name}_tag", pa.large_string()),
            pa.field(f"{name}_confidence", pa.float64()),
        )
    ]
    if taken := sorted({field.name for field in added} & set(documents.schema.names)):
        raise CorpusError(
            f"{documents.path}: the input has a column {taken[0]!r} already; rename it"
        )
    return pa.schema([*documents.schema, *added])


def _answers(fitted: Mapping[str, Tagger], frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {name: tagger.tag(frame) for name, tagger in fitted.items()}


def _counts(table: pl.DataFrame) -> dict[str, int]:
    counts = table.group_by(pl.col("tag").fill_null("")).len("documents")
    return dict(counts.sort("documents", "tag", descending=[True, False]).iter_rows())


def _arrow(column: pl.Series) -> pa.Array:
    return column.to_arrow(compat_level=pl.CompatLevel.oldest())
