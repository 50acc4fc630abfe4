"""Cleans one corpus: normalise, judge, drop later copies; every dropped document stays on record.

    raw = kept + sum over (operator, reason) of rejected         exactly, or the function fails

Filters come before deduplication, so the copy that a rejected document names is one that was kept.
Documents are read in batches and written in their order; memory grows only by the set of ids and
hashes. The same input gives the same bytes.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from quality.cleaning_profiles import CleaningProfile
from quality.document_batches import (
    DOCUMENTS,
    RAW_COLUMNS,
    BadDocuments,
    read_batches,
    require_documents,
)
from quality.document_cleaner import CleaningSummary, DocumentCleaner
from quality.identity_index import IdentityIndex
from quality.judgement import VERDICT, OperatorRule, rule_limits
from quality.measurement import MEASURES
from quality.parquet_parts import GROUP_BYTES

REJECTED = "rejected.parquet"
SUMMARY = "summary.json"

_KEPT_COLUMNS = (*RAW_COLUMNS, *MEASURES)
_REJECTED_COLUMNS = ("id", *VERDICT, "text", "source", "language", *MEASURES)


def clean_corpus(
    raw: Path,
    out: Path,
    profile: CleaningProfile,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> CleaningSummary:
    """Write `documents.parquet`, `rejected.parquet` and `summary.json` of a cleaned corpus.

    A corpus of which every document is rejected is written like any other: the table of rejected
    documents is what a person needs then, and the gate stops its use.

    Args:
        raw: Folder of the raw corpus.
        out: Existing folder, filled here.
        profile: Filters and thresholds.
        progress: Told documents done and documents in all, after each batch.

    Raises:
        BadDocuments: The raw table is missing, damaged, empty, lacks a column, holds a null text
            or the same id twice.
    """
    total = require_documents(raw, RAW_COLUMNS)
    cleaner = DocumentCleaner(profile)
    seen = IdentityIndex()
    with (
        _TableWriter(out / DOCUMENTS) as kept_table,
        _TableWriter(out / REJECTED) as rejected_table,
    ):
        for batch in read_batches(raw, RAW_COLUMNS):
            _require_new(batch["id"], seen, raw)
            cleaned = cleaner.clean(batch)
            kept_table.write(cleaned.kept.select(_KEPT_COLUMNS))
            rejected_table.write(cleaned.rejected.select(_REJECTED_COLUMNS))
            if progress is not None:
                progress(cleaner.num_documents, total)
    summary = cleaner.summary()
    assert summary.raw == total, f"{raw}: {total} documents in, but the account is {summary}"
    _write_summary(summary, cleaner.rules, out)
    return summary


def _require_new(ids: pl.Series, seen: IdentityIndex, raw: Path) -> None:
    """Refuse an id that was there before: held-out documents are excluded by id."""
    repeated = seen.add(ids.to_list())
    if repeated.any():
        raise BadDocuments(
            f"{raw / DOCUMENTS}: id {ids[int(repeated.argmax())]!r} occurs twice; ids must be "
            "unique in a corpus, choose another id column"
        )


class _TableWriter:
    """One Parquet file written batch by batch; an error in the block removes it.

    Batches are collected into row groups of some megabytes: a reader of a few columns pays for each
    group.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []

    def __enter__(self) -> "_TableWriter":
        return self

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows; the first call fixes the schema, also when it brings no rows."""
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        if table.num_rows:
            self._pending.append(table)
            if sum(part.nbytes for part in self._pending) >= GROUP_BYTES:
                self._flush(self._writer)

    def _flush(self, writer: pq.ParquetWriter) -> None:
        if self._pending:
            group = pa.concat_tables(self._pending)
            writer.write_table(group, row_group_size=group.num_rows)
            self._pending = []

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._writer is None:
            return
        try:
            if error is None:
                self._flush(self._writer)
            self._writer.close()
        finally:
            if error is not None:
                self._path.unlink(missing_ok=True)


def _write_summary(summary: CleaningSummary, rules: tuple[OperatorRule, ...], out: Path) -> None:
    content = {**asdict(summary), "rules": rule_limits(rules)}
    (out / SUMMARY).write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
