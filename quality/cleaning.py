"""Cleans one corpus: normalise, judge, drop later copies; every dropped document stays on record.

    raw = kept + sum over (operator, reason) of rejected         exactly, or the function fails

Filters come before deduplication, so the copy that a rejected document names is one that was kept.
Documents are read in batches and written in their order; memory grows only by the set of ids and
hashes. The same input gives the same bytes.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from quality.cleaning_profiles import DEDUPLICATE, CleaningProfile
from quality.dedup.exact import ExactIndex
from quality.document_batches import (
    DOCUMENTS,
    RAW_COLUMNS,
    BadDocuments,
    read_batches,
    require_documents,
)
from quality.filters.length import NUM_CHARS, NUM_WORDS
from quality.filters.rules import Rule
from quality.judgement import VERDICT, judge
from quality.measurement import MEASURES, STAYING_TEXT, UNCHANGED, measure
from quality.normalise import STEPS, UNSETTLED

REJECTED = "rejected.parquet"
SUMMARY = "summary.json"
COPY = "copy of an earlier document"
"""Reason of exact deduplication; `value` names the id of the copy that was kept."""

_KEPT_COLUMNS = (*RAW_COLUMNS, *MEASURES)
_REJECTED_COLUMNS = ("id", *VERDICT, "text", "language", *MEASURES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """How many documents one rule rejected."""

    operator: str
    """Filter, `normalise` or `exact_deduplication`."""
    reason: str
    """What is wrong with them."""
    num_documents: int
    """At least 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleaningSummary:
    """The account of one cleaned corpus."""

    profile: str
    """Name of the cleaning profile."""
    raw: int
    """Documents read, > 0."""
    kept: int
    """Documents kept; may be 0, which the gate of the cleaned corpus does not let pass."""
    rejected: tuple[Rejection, ...]
    """In the order in which the rules are tried; only those that rejected something."""
    changed: dict[str, int]
    """Normalisation step -> documents of the raw corpus that it changed."""
    unchanged: int
    """Documents of the raw corpus that no step changed."""
    raw_chars: int
    """Characters read."""
    kept_chars: int
    """Characters kept."""
    kept_bytes: int
    """UTF-8 bytes kept."""


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
    rules = profile.rules()
    index = ExactIndex()
    account = _Account()
    with (
        _TableWriter(out / DOCUMENTS) as kept_table,
        _TableWriter(out / REJECTED) as rejected_table,
    ):
        for batch in read_batches(raw, RAW_COLUMNS):
            account.note_ids(batch["id"], raw)
            measured, changes = measure(batch, edit_lines=profile.edits_lines)
            judged = judge(measured, rules)
            if profile.deduplicate:
                judged = _mark_copies(judged, index)
            kept = _kept(judged, edited=profile.edits_lines)
            rejected = judged.filter(pl.col("operator").is_not_null()).select(_REJECTED_COLUMNS)
            kept_table.write(kept)
            rejected_table.write(rejected)
            account.note(batch, kept, rejected, changes)
            if progress is not None:
                progress(account.raw, total)
    summary = account.summary(profile, rules)
    assert summary.raw == total == summary.kept + sum(r.num_documents for r in summary.rejected), (
        f"{raw}: {total} documents in, but the account is {summary}"
    )
    _write_summary(summary, rules, out)
    return summary


def _mark_copies(judged: pl.DataFrame, index: ExactIndex) -> pl.DataFrame:
    """Fill the verdict columns of documents that passed all filters but repeat an earlier one."""
    passed = judged.filter(pl.col("operator").is_null())
    copies = passed.select(
        "id",
        copy_of=pl.Series(
            index.first_copies(passed["id"].to_list(), passed["text_hash"].to_list()),
            dtype=pl.String,
        ),
    )
    is_copy = pl.col("copy_of").is_not_null()
    verdict = {
        "operator": pl.lit(DEDUPLICATE),
        "reason": pl.lit(COPY),
        "metric": pl.lit("text_hash"),
        "value": pl.col("copy_of"),
        "limit": pl.lit("the first copy in document order"),
    }
    return judged.join(copies, on="id", how="left", maintain_order="left").with_columns(
        **{
            column: pl.when(is_copy).then(value).otherwise(pl.col(column))
            for column, value in verdict.items()
        }
    )


def _kept(judged: pl.DataFrame, *, edited: bool) -> pl.DataFrame:
    """Documents without a verdict, with the text that stays and its lengths."""
    kept = judged.filter(pl.col("operator").is_null())
    if edited:
        kept = kept.with_columns(text=pl.col(STAYING_TEXT)).with_columns(
            num_chars=NUM_CHARS, num_words=NUM_WORDS
        )
    return kept.select(_KEPT_COLUMNS)


class _Account:
    """Running totals over the batches of one corpus."""

    def __init__(self) -> None:
        self.raw = self.kept = self.raw_chars = self.kept_chars = self.kept_bytes = 0
        self._ids: set[str] = set()
        self._rejected: Counter[tuple[str, str]] = Counter()
        self._changes: Counter[str] = Counter()

    def note_ids(self, ids: pl.Series, raw: Path) -> None:
        """Refuse an id that was there before: held-out documents are excluded by id."""
        for document_id in ids:
            if document_id in self._ids:
                raise BadDocuments(
                    f"{raw / DOCUMENTS}: id {document_id!r} occurs twice; ids must be unique in a "
                    "corpus, choose another id column"
                )
            self._ids.add(document_id)

    def note(
        self,
        batch: pl.DataFrame,
        kept: pl.DataFrame,
        rejected: pl.DataFrame,
        changes: Counter[str],
    ) -> None:
        """Book one batch."""
        self.raw += batch.height
        self.raw_chars += int(batch["text"].str.len_chars().sum())
        self.kept += kept.height
        self.kept_chars += int(kept["num_chars"].sum())
        self.kept_bytes += int(kept["text"].str.len_bytes().sum())
        self._rejected.update(rejected.select("operator", "reason").rows())
        self._changes.update(changes)

    def summary(
        self, profile: CleaningProfile, rules: tuple[tuple[str, Rule], ...]
    ) -> CleaningSummary:
        """Close the account, rejections in the order of the rules."""
        order = [*((operator, rule.reason) for operator, rule in rules), (DEDUPLICATE, COPY)]
        return CleaningSummary(
            profile=profile.name,
            raw=self.raw,
            kept=self.kept,
            rejected=tuple(
                Rejection(operator=key[0], reason=key[1], num_documents=self._rejected[key])
                for key in order
                if self._rejected[key]
            ),
            changed={name: self._changes[name] for name in (*STEPS, UNSETTLED)},
            unchanged=self._changes[UNCHANGED],
            raw_chars=self.raw_chars,
            kept_chars=self.kept_chars,
            kept_bytes=self.kept_bytes,
        )


class _TableWriter:
    """One Parquet file written batch by batch; an error in the block removes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "_TableWriter":
        return self

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows; the first call fixes the schema, also when it brings no rows."""
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        if table.num_rows:
            self._writer.write_table(table)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._writer is None:
            return
        try:
            self._writer.close()
        finally:
            if error is not None:
                self._path.unlink(missing_ok=True)


def _write_summary(
    summary: CleaningSummary, rules: tuple[tuple[str, Rule], ...], out: Path
) -> None:
    limits = [
        {"operator": operator, "reason": rule.reason, "metric": rule.metric, "limit": rule.limit}
        for operator, rule in rules
    ]
    content = {**asdict(summary), "rules": limits}
    (out / SUMMARY).write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
