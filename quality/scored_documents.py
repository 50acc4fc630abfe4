"""Scores files on disk with a quality model: as filter, as strata, or for sampling.

kept/              every column of the input, quality_score, sampling_weight (mean one over all
                   kept documents), quality_stratum if strata are asked for: then the rows of each
                   stand in kept/stratum-K/, 0 the lowest, so that each can be a domain
rejected/          id, operator, reason, metric, value, limit: documents below the threshold

sound rows of the input = kept + rejected                  exactly, or the function fails
"""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from quality.documents import CorpusError
from quality.documents_on_disk import DocumentsOnDisk
from quality.judgement import VERDICT
from quality.parquet_parts import ParquetParts
from quality.quality_score import SCORE, QualityModel, Separation, score_strata, score_weights

KEPT, REJECTED = "kept", "rejected"
WEIGHT, STRATUM = "sampling_weight", "quality_stratum"
Floats = NDArray[np.float64]
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class StratumSummary:
    """One stratum, or all kept documents if there are no strata."""

    stratum: int
    """0: the lowest scores."""
    documents: int
    """Kept documents."""
    num_bytes: int
    """Of text, UTF-8."""
    least_score: float
    """Least score, in [0, 1]."""
    greatest_score: float
    """Greatest score, in [0, 1]."""
    weight: float
    """Share of the text when documents are drawn by their sampling weights; sums to one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredDocuments:
    """What came of it."""

    separation: Separation
    """What the score is worth: measured on documents outside the fit."""
    num_documents: int
    """Sound rows."""
    kept: int
    """Documents that stay."""
    rejected: int
    """Documents below the threshold."""
    strata: tuple[StratumSummary, ...]
    """From the lowest scores to the highest."""
    put_aside: dict[str, int]
    """Reason -> rows that were no documents."""

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


def score_documents(
    documents: DocumentsOnDisk,
    model: QualityModel,
    out: Path,
    *,
    min_score: float | None = None,
    num_strata: int = 1,
    progress: Progress | None = None,
) -> ScoredDocuments:
    """Score an input and write `kept` and `rejected`; reads it twice.

    Args:
        documents: The input.
        model: What good text is.
        out: Existing folder, filled here.
        min_score: Documents below it are rejected, in [0, 1]; None: all are kept.
        num_strata: Strata of equal numbers of documents.
        progress: Told rows done and rows in all of both passes.

    Raises:
        CorpusError: A file is damaged, a column has the name of a new one, or nothing is kept.
        ValueError: min_score or num_strata is out of its range.
    """
    if min_score is not None and not 0.0 <= min_score <= 1.0:
        raise ValueError(f"the least score must be in [0, 1], got {min_score}")
    if taken := sorted({SCORE, WEIGHT, STRATUM} & set(documents.schema.names)):
        raise CorpusError(
            f"{documents.path}: the input has a column {taken[0]!r} already; leave it out"
        )
    scores, num_bytes = _score(documents, model, progress)
    keeps = np.ones(len(scores), dtype=bool) if min_score is None else scores >= min_score
    if not keeps.any():
        raise CorpusError(
            f"{documents.path}: none of {len(scores)} documents has a score of at least "
            f"{min_score}; lower it"
        )
    strata = score_strata(scores[keeps], num_strata)
    weights = score_weights(scores[keeps])
    columns = pl.DataFrame({"keeps": keeps, SCORE: scores, "bytes": num_bytes}).with_row_index()
    chosen = pl.DataFrame(
        {"index": np.flatnonzero(keeps).astype(np.uint32), STRATUM: strata, WEIGHT: weights}
    )
    columns = columns.join(chosen, on="index", how="left", maintain_order="left")
    put_aside = _write(
        documents, columns, out, num_strata=num_strata, min_score=min_score, progress=progress
    )
    return ScoredDocuments(
        separation=model.separation,
        num_documents=len(scores),
        kept=int(keeps.sum()),
        rejected=int((~keeps).sum()),
        strata=_summarise(columns.filter("keeps")),
        put_aside=put_aside,
    )


def _score(
    documents: DocumentsOnDisk, model: QualityModel, progress: Progress | None
) -> tuple[Floats, NDArray[np.int64]]:
    scores: list[Floats] = [np.zeros(0)]
    sizes = [np.zeros(0, dtype=np.int64)]
    num_read = 0
    for batch in documents.batches():
        scores.append(model.score(batch.texts.to_list()))
        sizes.append(batch.texts.str.len_bytes().cast(pl.Int64).to_numpy())
        num_read += batch.num_rows_read
        if progress is not None:
            progress(num_read, 2 * documents.num_rows)
    return np.concatenate(scores), np.concatenate(sizes)


def _write(
    documents: DocumentsOnDisk,
    columns: pl.DataFrame,
    out: Path,
    *,
    num_strata: int,
    min_score: float | None,
    progress: Progress | None,
) -> dict[str, int]:
    added = [pa.field(SCORE, pa.float64()), pa.field(WEIGHT, pa.float64())]
    added += [pa.field(STRATUM, pa.int64())] if num_strata > 1 else []
    schema = pa.schema([*documents.schema, *added])
    folders = [f"stratum-{k}" for k in range(num_strata)] if num_strata > 1 else [""]
    verdict = pa.schema([pa.field(name, pa.large_string()) for name in ("id", *VERDICT)])
    put_aside: Counter[str] = Counter()
    first = num_read = 0
    with ExitStack() as stack:
        kept = [
            stack.enter_context(ParquetParts(out / KEPT / folder, schema)) for folder in folders
        ]
        rejected = stack.enter_context(ParquetParts(out / REJECTED, verdict))
        for batch in documents.batches():
            mine = columns[first : first + len(batch.ids)]
            first += len(batch.ids)
            rows = batch.rows
            for field in added:
                rows = rows.append_column(field, _arrow(mine[field.name]))
            for number, table in enumerate(kept):
                here = (mine["keeps"] & (mine[STRATUM] == number)).fill_null(value=False)
                table.write(rows.filter(_arrow(here)))
            rejected.write(_verdicts(batch.ids, mine, min_score))
            num_read += batch.num_rows_read
            put_aside.update(row.reason for row in batch.unreadable)
            if progress is not None:
                progress(documents.num_rows + num_read, 2 * documents.num_rows)
    written = sum(table.num_rows for table in kept) + rejected.num_rows
    assert written == first == columns.height, f"{columns.height} documents in, {written} out"
    return dict(sorted(put_aside.items()))


def _verdicts(ids: pl.Series, mine: pl.DataFrame, min_score: float | None) -> pa.Table:
    told = mine.select(
        ids.alias("id"),
        "keeps",
        operator=pl.lit(SCORE),
        reason=pl.lit("score below the least one"),
        metric=pl.lit(SCORE),
        value=pl.col(SCORE).cast(pl.String),
        limit=pl.lit(f">= {min_score}"),
    ).filter(~pl.col("keeps"))
    table: pa.Table = told.select("id", *VERDICT).to_arrow(compat_level=pl.CompatLevel.oldest())
    return table


def _summarise(kept: pl.DataFrame) -> tuple[StratumSummary, ...]:
    drawn = pl.col(WEIGHT) * pl.col("bytes")
    table = (
        kept.group_by(pl.col(STRATUM).alias("stratum"))
        .agg(
            documents=pl.len(),
            num_bytes=pl.col("bytes").sum(),
            least_score=pl.col(SCORE).min(),
            greatest_score=pl.col(SCORE).max(),
            weight=drawn.sum(),
        )
        .with_columns(pl.col("weight") / pl.col("weight").sum())
        .sort("stratum")
    )
    return tuple(StratumSummary(**row) for row in table.iter_rows(named=True))


def _arrow(column: pl.Series) -> pa.Array:
    return column.to_arrow(compat_level=pl.CompatLevel.oldest())
