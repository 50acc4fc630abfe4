"""Decontaminates files on disk: a table of what stays, and one of what shares text with which item.

sound rows = kept + removed documents                   exactly, or the function fails
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from quality.decontamination import MATCHES, DecontaminationConfig, EvaluationIndex
from quality.documents_on_disk import DocumentsOnDisk
from quality.parquet_parts import ParquetParts

REMOVED = {"id": pl.String} | {name: kind for name, kind in MATCHES.items() if name != "row"}
"""Columns of `removed/*.parquet`: one row per removed document and item in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSummary:
    """What became of one evaluation."""

    items: int
    """Its items."""
    not_sought: int
    """Items with nothing to look for: too few words, or hardly more than numbers."""
    found: int
    """Items that some document shares text with."""
    documents: int
    """Documents that share text with some item."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecontaminationSummary:
    """What came of it."""

    num_documents: int
    """Sound rows."""
    kept: int
    """Documents that stay."""
    removed: int
    """Documents that went."""
    evaluations: Mapping[str, EvaluationSummary]
    """By name."""
    put_aside: Mapping[str, int]
    """Reason -> rows that were no documents."""

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "num_documents": self.num_documents,
            "kept": self.kept,
            "removed": self.removed,
            "evaluations": {name: asdict(one) for name, one in self.evaluations.items()},
            "put_aside": dict(self.put_aside),
        }


def decontaminate(
    documents: DocumentsOnDisk,
    evaluations: Mapping[str, DocumentsOnDisk],
    out: Path,
    config: DecontaminationConfig | None = None,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> DecontaminationSummary:
    """Write `kept/*.parquet` and `removed/*.parquet`.

    Args:
        documents: What models may be trained on.
        evaluations: Name -> items.
        out: Existing folder, filled here.
        config: None for the defaults.
        progress: Told rows done and rows in all, after each batch.

    Raises:
        CorpusError: A file is damaged.
    """
    index = EvaluationIndex(_items(evaluations), config)
    put_aside: Counter[str] = Counter()
    matches: list[pl.DataFrame] = [pl.DataFrame(schema=REMOVED)]
    num_documents = num_read = 0
    removed_schema = _arrow(matches[0]).schema
    with (
        ParquetParts(out / "kept", documents.schema) as kept,
        ParquetParts(out / "removed", removed_schema) as removed,
    ):
        for batch in documents.batches():
            found = index.find(batch.texts)
            contaminated = pl.int_range(len(batch.ids), eager=True).is_in(found["row"].implode())
            kept.write(batch.rows.filter(pa.array(~contaminated.to_numpy())))
            named = found.with_columns(id=batch.ids.gather(found["row"])).select(list(REMOVED))
            removed.write(_arrow(named))
            matches.append(named.select("id", "evaluation", "item_id"))
            num_documents += len(batch.ids)
            num_read += batch.num_rows_read
            put_aside.update(row.reason for row in batch.unreadable)
            if progress is not None:
                progress(num_read, documents.num_rows)
    every = pl.concat(matches, how="diagonal")
    num_removed = every["id"].n_unique()
    assert num_documents == kept.num_rows + num_removed, f"{num_documents} documents in"
    return DecontaminationSummary(
        num_documents=num_documents,
        kept=kept.num_rows,
        removed=num_removed,
        evaluations={name: _summarise(name, index, every) for name in evaluations},
        put_aside=dict(sorted(put_aside.items())),
    )


def _items(
    evaluations: Mapping[str, DocumentsOnDisk],
) -> Iterator[tuple[str, pl.Series, pl.Series]]:
    for name, items in evaluations.items():
        for batch in items.batches():
            yield name, batch.ids, batch.texts


def _summarise(name: str, index: EvaluationIndex, matches: pl.DataFrame) -> EvaluationSummary:
    items = index.items.filter(pl.col("evaluation") == name)
    mine = matches.filter(pl.col("evaluation") == name)
    return EvaluationSummary(
        items=items.height,
        not_sought=int((items["item_ngrams"] == 0).sum()),
        found=mine["item_id"].n_unique(),
        documents=mine["id"].n_unique(),
    )


def _arrow(table: pl.DataFrame) -> pa.Table:
    return table.to_arrow(compat_level=pl.CompatLevel.oldest())
