"""Deduplicates files on disk: one table of what stays, one of what went and why.

    sound rows = kept + removed                           exactly, or the function fails

The inputs are read twice (three times with paragraphs): once for the fingerprints, once to write.
Memory grows by the fingerprints, about 300 bytes a document, not by the texts.
Priority: the input named first, then the longer text, then the lesser id.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from quality.dedup.clusters import DeduplicationConfig, find_clusters
from quality.dedup.fingerprints import Fingerprints, fingerprint, join_fingerprints
from quality.dedup.paragraphs import ParagraphIndex, without
from quality.documents import CorpusError
from quality.documents_on_disk import DocumentBatch, DocumentsOnDisk
from quality.parquet_parts import ParquetParts

REMOVED = {
    "id": pl.String,
    "input": pl.String,
    "kept_id": pl.String,
    "kept_input": pl.String,
    "kind": pl.String,
    "similarity": pl.Float64,
    "cluster": pl.String,
}
"""Columns of `removed/*.parquet`: kind is `exact`, `near` or `paragraphs` (a document of which no
paragraph is left; `kept_id` holds its first)."""

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeduplicationSummary:
    """What came of it."""

    num_documents: int
    """Sound rows of all inputs."""
    kept: int
    """Documents that stay."""
    removed: Mapping[str, int]
    """Kind -> documents removed."""
    num_clusters: int
    """Clusters of two or more documents."""
    largest_cluster: int
    """Documents of the largest one; 0: there is none."""
    paragraphs_removed: int
    """Paragraphs cut out of documents, those of removed documents included."""
    chars_removed: int
    """Characters less: of removed documents and paragraphs."""
    put_aside: Mapping[str, int]
    """Reason -> rows that were no documents."""

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "num_documents": self.num_documents,
            "kept": self.kept,
            "removed": dict(self.removed),
            "num_clusters": self.num_clusters,
            "largest_cluster": self.largest_cluster,
            "paragraphs_removed": self.paragraphs_removed,
            "chars_removed": self.chars_removed,
            "put_aside": dict(self.put_aside),
        }


def deduplicate(
    inputs: Mapping[str, DocumentsOnDisk],
    out: Path,
    config: DeduplicationConfig,
    *,
    min_paragraph_chars: int | None = None,
    progress: Progress | None = None,
) -> DeduplicationSummary:
    """Write `kept/*.parquet` and `removed/*.parquet`.

    Args:
        inputs: Name -> documents, the best first.
        out: Existing folder, filled here.
        config: What counts as a copy; its priority goes before the order of the inputs.
        min_paragraph_chars: Also cut repeated paragraphs of at least so many characters; None: off.
        progress: Told rows done and rows in all, over all readings.

    Raises:
        CorpusError: A file is damaged, or a column has different types in different inputs.
        ValueError: The priority names an unknown input.
    """
    names = list(inputs)
    schema = _common_schema(inputs)
    readings = 2 if min_paragraph_chars is None else 3
    bar = _Bar(progress, readings * sum(one.num_rows for one in inputs.values()))
    account = _Account()
    found = {name: _fingerprints(inputs[name], config, account, bar) for name in names}
    clusters = find_clusters(found, config, order=names)
    table = _verdicts(found, clusters)
    cuts: dict[int, _Cut] = {}
    if min_paragraph_chars is not None:
        cuts = _paragraph_cuts(inputs, table, min_paragraph_chars, config, bar)
    removed = [_removed_documents(clusters)]
    with ParquetParts(out / "kept", schema) as kept:
        for name in names:
            for batch, verdicts in _with_verdicts(inputs[name], table, name, bar):
                rows, cut_away = _rows_to_keep(
                    *(batch, verdicts, cuts, table),
                    account=account,
                    text_column=inputs[name].text_column,
                )
                kept.write(_fit(rows, schema))
                removed.append(cut_away)
    gone = pl.concat(removed)
    removed_schema = gone.to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    with ParquetParts(out / "removed", removed_schema) as parts:
        parts.write(gone.to_arrow(compat_level=pl.CompatLevel.oldest()))
    total = table.height
    assert total == kept.num_rows + gone.height, f"{total} documents, {kept.num_rows} kept"
    sizes = clusters.group_by("cluster").len()["len"]
    return DeduplicationSummary(
        num_documents=total,
        kept=kept.num_rows,
        removed=dict(gone.group_by("kind").len().sort("kind").iter_rows()),
        num_clusters=len(sizes),
        largest_cluster=int(sizes.max() or 0),  # type: ignore[arg-type]
        paragraphs_removed=account.paragraphs_removed,
        chars_removed=account.chars_removed,
        put_aside=dict(sorted(account.put_aside.items())),
    )


class _Bar:
    """Counts rows over several readings."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, batch: DocumentBatch) -> None:
        self._done += batch.num_rows_read
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Account:
    """Running totals."""

    def __init__(self) -> None:
        self.put_aside: Counter[str] = Counter()
        self.chars_removed = self.paragraphs_removed = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """Paragraphs of one document that stand elsewhere."""

    places: set[int]
    keeper: int  # document that keeps the first of them


def _common_schema(inputs: Mapping[str, DocumentsOnDisk]) -> pa.Schema:
    """Columns of all inputs; one that an input lacks is null there."""
    try:
        return pa.unify_schemas(
            [one.schema for one in inputs.values()], promote_options="permissive"
        )
    except pa.ArrowException as error:
        raise CorpusError(
            f"{', '.join(inputs)}: a column has different types in different inputs ({error}); "
            "convert it, or deduplicate them one by one"
        ) from error


def _fingerprints(
    documents: DocumentsOnDisk, config: DeduplicationConfig, account: _Account, bar: _Bar
) -> Fingerprints:
    parts = []
    for batch in documents.batches():
        parts.append(fingerprint(batch.ids, batch.texts, config.signatures))
        account.put_aside.update(row.reason for row in batch.unreadable)
        bar.advance(batch)
    return join_fingerprints(parts)


def _verdicts(found: Mapping[str, Fingerprints], clusters: pl.DataFrame) -> pl.DataFrame:
    """Every document in the order in which it is read: number, corpus, id, length, kept or not."""
    every = pl.concat(
        [
            pl.DataFrame({"id": prints.ids, "num_chars": prints.num_chars}).with_columns(
                corpus=pl.lit(name), position=pl.int_range(pl.len(), dtype=pl.Int64)
            )
            for name, prints in found.items()
        ]
    ).with_row_index("document")
    return every.join(
        clusters.select("corpus", "id", "kind"),
        on=["corpus", "id"],
        how="left",
        maintain_order="left",
    ).with_columns(pl.col("kind").fill_null("kept"), document=pl.col("document").cast(pl.Int64))


def _with_verdicts(
    documents: DocumentsOnDisk, table: pl.DataFrame, name: str, bar: _Bar
) -> Iterator[tuple[DocumentBatch, pl.DataFrame]]:
    """Read an input again, with the verdicts about each batch."""
    mine, done = table.filter(pl.col("corpus") == name), 0
    for batch in documents.batches():
        verdicts = mine.slice(done, len(batch.ids))
        if not verdicts["id"].equals(batch.ids):
            raise CorpusError(f"{name} changed while it was read; run the command again")
        done += len(batch.ids)
        yield batch, verdicts
        bar.advance(batch)


def _paragraph_cuts(
    inputs: Mapping[str, DocumentsOnDisk],
    table: pl.DataFrame,
    min_chars: int,
    config: DeduplicationConfig,
    bar: _Bar,
) -> dict[int, _Cut]:
    """Find the repeated paragraphs of documents that stay, by document."""
    index = ParagraphIndex(min_chars=min_chars)
    for name, documents in inputs.items():
        for batch, verdicts in _with_verdicts(documents, table, name, bar):
            index.add(batch.texts.filter(verdicts["kind"] == "kept"))
    kept = table.filter(pl.col("kind") == "kept").with_row_index("number")
    order = [*config.priority, *(name for name in inputs if name not in config.priority)]
    best_first = kept.sort(pl.col("corpus").cast(pl.Enum(order)), -pl.col("num_chars"), "id")[
        "number"
    ].to_numpy()
    ranks = np.empty(kept.height, dtype=np.int64)
    ranks[best_first] = np.arange(kept.height)
    number_of = kept["document"].to_list()
    return {
        number_of[document]: _Cut(places=set(places), keeper=number_of[keeps[0]])
        for document, places, keeps in index.repeated(ranks)
        .group_by("document", maintain_order=True)
        .agg("place", "keeps")
        .iter_rows()
    }


def _rows_to_keep(
    batch: DocumentBatch,
    verdicts: pl.DataFrame,
    cuts: Mapping[int, _Cut],
    table: pl.DataFrame,
    *,
    account: _Account,
    text_column: str,
) -> tuple[pa.Table, pl.DataFrame]:
    """Rows that stay, their texts cut, and documents of which no paragraph is left."""
    keep = (verdicts["kind"] == "kept").to_numpy(writable=True)
    account.chars_removed += int(verdicts["num_chars"].filter(pl.Series(~keep)).sum())
    numbers = verdicts["document"].to_list()
    cut_texts: dict[int, str] = {}
    emptied: list[tuple[object, ...]] = []
    for row, number in enumerate(numbers):
        if number not in cuts:
            continue
        cut = cuts[number]
        text = without(batch.texts[row], cut.places)
        account.paragraphs_removed += len(cut.places)
        account.chars_removed += len(batch.texts[row]) - len(text)
        cut_texts[row] = text
        if not text.strip():
            keep[row] = False
            keeper = table.row(cut.keeper, named=True)
            mine = (verdicts["id"][row], verdicts["corpus"][row])
            emptied.append((*mine, keeper["id"], keeper["corpus"], "paragraphs", None, None))
    rows = batch.rows
    if cut_texts:
        texts = batch.texts.to_list()
        for row, text in cut_texts.items():
            texts[row] = text
        place = rows.schema.get_field_index(text_column)
        rows = rows.set_column(place, rows.schema.field(place), pa.array(texts, pa.large_string()))
    if not keep.all():
        rows = rows.filter(pa.array(keep))
    return rows, pl.DataFrame(emptied, schema=REMOVED, orient="row")


def _removed_documents(clusters: pl.DataFrame) -> pl.DataFrame:
    return (
        clusters.filter(pl.col("kind") != "kept")
        .select(
            "id",
            "kind",
            "similarity",
            "cluster",
            kept_id="kept_id",
            input="corpus",
            kept_input="kept_corpus",
        )
        .select(list(REMOVED))
    )


def _fit(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give rows all columns of the common schema."""
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
