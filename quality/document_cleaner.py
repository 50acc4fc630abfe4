"""Cleans documents batch by batch: normalise, judge, drop later copies; keeps the account.

    raw = kept + sum over (operator, reason) of rejected

Filters come before deduplication, so the copy that a rejected document names is one that was kept.
Memory grows only by the index of texts. The same documents in the same order give the same
verdicts, whatever the batches.
"""

from collections import Counter
from dataclasses import dataclass

import polars as pl

from quality.cleaning_profiles import DEDUPLICATE, CleaningProfile
from quality.dedup.exact import ExactIndex
from quality.filters.length import NUM_CHARS, NUM_WORDS
from quality.judgement import VERDICT, OperatorRule, judge
from quality.measurement import REDACTED, STAYING_TEXT, UNCHANGED, measure
from quality.normalise import STEPS, UNSETTLED
from quality.pii.redaction import COUNT_COLUMNS

COPY = "copy of an earlier document"
"""Reason of exact deduplication; `value` names the id of the copy that was kept."""


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
    redacted: int
    """Documents of the raw corpus in which personal or secret data was replaced."""
    redacted_kinds: tuple[str, ...]
    """Kinds of it that the profile replaces; none of them is left in a kept document."""
    pii_found: dict[str, int]
    """Kind of personal or secret data -> findings in the raw corpus, replaced or not."""
    raw_chars: int
    """Characters read."""
    kept_chars: int
    """Characters kept."""
    kept_bytes: int
    """UTF-8 bytes kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanedBatch:
    """One batch, divided; both tables in document order with every column that came in."""

    kept: pl.DataFrame
    """With the text to keep and the columns `MEASURES`."""
    rejected: pl.DataFrame
    """With the normalised text, `MEASURES`, and `VERDICT`."""
    changes: Counter[str]
    """Normalisation step -> documents that it changed."""


class DocumentCleaner:
    """Cleans the documents of one corpus with one profile."""

    def __init__(self, profile: CleaningProfile) -> None:
        self._profile = profile
        self.rules = profile.rules()
        """Pairs of operator and rule, in the order in which they are tried."""
        self._index = ExactIndex()
        self._account = _Account()

    @property
    def num_documents(self) -> int:
        """Documents so far."""
        return self._account.raw

    def clean(self, batch: pl.DataFrame) -> CleanedBatch:
        """Clean the next documents.

        Args:
            batch: String columns `id` (unique in the corpus), `text` (without nulls) and `language`
                (declared; empty for none). Other columns come along; none is named like one of
                `MEASURES` or `VERDICT`.
        """
        edited = self._profile.edits_lines
        measured, changes = measure(
            batch,
            edit_lines=edited,
            redacted=self._profile.redact,
            first_row=self._account.raw,
        )
        judged = judge(measured, self.rules)
        if self._profile.deduplicate:
            judged = _mark_copies(judged, self._index)
        kept = _kept(judged, edited=edited)
        rejected = judged.filter(pl.col("operator").is_not_null()).drop(STAYING_TEXT)
        self._account.note(batch, kept, rejected, changes)
        return CleanedBatch(kept=kept, rejected=rejected, changes=changes)

    def summary(self) -> CleaningSummary:
        """Account for all documents so far."""
        summary = self._account.summary(self._profile, self.rules)
        total = summary.kept + sum(row.num_documents for row in summary.rejected)
        assert summary.raw == total, f"the account does not close: {summary}"
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
    return kept.drop(STAYING_TEXT, *VERDICT)


class _Account:
    """Running totals over the batches of one corpus."""

    def __init__(self) -> None:
        self.raw = self.kept = self.raw_chars = self.kept_chars = self.kept_bytes = 0
        self._rejected: Counter[tuple[str, str]] = Counter()
        self._changes: Counter[str] = Counter()
        self._pii: Counter[str] = Counter()

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
        for kind, column in COUNT_COLUMNS.items():
            self._pii[kind] += int(kept[column].sum()) + int(rejected[column].sum())

    def summary(self, profile: CleaningProfile, rules: tuple[OperatorRule, ...]) -> CleaningSummary:
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
            redacted=self._changes[REDACTED],
            redacted_kinds=tuple(profile.redact),
            pii_found={kind: self._pii[kind] for kind in COUNT_COLUMNS},
            raw_chars=self.raw_chars,
            kept_chars=self.kept_chars,
            kept_bytes=self.kept_bytes,
        )
