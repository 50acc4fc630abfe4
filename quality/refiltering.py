"""Judges a cleaned corpus again with other thresholds, from its stored metrics alone.

No text is read and nothing is measured, so a threshold is tried in a moment. The verdicts equal
those of cleaning the raw corpus with the same profile: whether a document is a copy depends on
which earlier ones pass, so copies are found anew among the documents that pass now.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from quality.cleaning import REJECTED, SUMMARY
from quality.cleaning_profiles import DEDUPLICATE, CleaningProfile
from quality.document_batches import DOCUMENTS, BadDocuments
from quality.document_cleaner import COPY, Rejection
from quality.filters import FILTERS
from quality.judgement import VERDICT, OperatorRule, judge, rule_limits
from quality.measurement import DOCUMENT_ROW

VERDICTS = "verdicts.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class RefilterSummary:
    """What the new thresholds would keep."""

    profile: str
    """Name of the profile."""
    raw: int
    """Documents of the raw corpus."""
    kept: int
    """Documents that pass now."""
    newly_kept: int
    """Of these, documents that had been rejected."""
    newly_rejected: int
    """Documents that had been kept and do not pass now."""
    rejected: tuple[Rejection, ...]
    """In the order in which the rules are tried; only those that rejected something."""


def refilter(folder: Path, out: Path, profile: CleaningProfile) -> RefilterSummary:
    """Write `verdicts.parquet` and `summary.json`: the new verdict of every document.

    The table has `id`, the place in the raw corpus, the columns of a verdict (null where the
    document passes now) and `was_kept`, in the order of the raw corpus.

    Args:
        folder: What `clean_corpus` wrote.
        out: Existing folder, filled here.
        profile: Filters and thresholds to try.

    Raises:
        BadDocuments: A table of the folder is missing or lacks a column that the profile judges.
        ValueError: The profile edits lines and the stored metrics are of texts that were not
            edited, or the other way round: then the corpus has to be cleaned again.
    """
    rules = profile.rules()
    _require_same_text(folder, profile)
    stored = _read_metrics(folder, rules)
    judged = judge(stored, rules)
    if profile.deduplicate:
        judged = _mark_copies(judged)
    verdicts = judged.select("id", DOCUMENT_ROW, *VERDICT, "was_kept")
    verdicts.write_parquet(out / VERDICTS)
    summary = _summarise(verdicts, profile, rules)
    content = {**asdict(summary), "rules": rule_limits(rules)}
    (out / SUMMARY).write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    return summary


def _require_same_text(folder: Path, profile: CleaningProfile) -> None:
    path = folder / SUMMARY
    if not path.is_file():
        raise BadDocuments(f"{path}: no such file; clean the corpus first")
    operators = {rule["operator"] for rule in json.loads(path.read_text())["rules"]}
    edited = any(name in operators and parts.edits_lines for name, parts in FILTERS.items())
    if edited != profile.edits_lines:
        stored, wanted = ("edited", "whole") if edited else ("whole", "edited")
        raise ValueError(
            f"profile {profile.name!r} judges {wanted} texts, but the metrics in {folder} are of "
            f"{stored} ones (filter c4 edits lines); clean the raw corpus with this profile"
        )
    if edited and "length" in profile.filters:
        raise ValueError(
            f"profile {profile.name!r}: lengths in {folder} are of texts after editing, filter "
            "length judges them before; use gopher_quality or clean the raw corpus"
        )


def _read_metrics(folder: Path, rules: Sequence[OperatorRule]) -> pl.DataFrame:
    """Only the columns that the rules judge, of kept and rejected documents in raw order."""
    judged = {name for _, rule in rules for name in (*rule.fails.meta.root_names(), rule.metric)}
    columns = ["id", DOCUMENT_ROW, "text_hash", *sorted(judged)]
    parts = []
    for name in (DOCUMENTS, REJECTED):
        path = folder / name
        if not path.is_file():
            raise BadDocuments(f"{path}: no such file; clean the corpus first")
        missing = sorted(set(columns) - set(pl.read_parquet_schema(path)))
        if missing:
            raise BadDocuments(f"{path}: no column {missing[0]!r}; clean the corpus again")
        part = pl.read_parquet(path, columns=columns)
        parts.append(part.with_columns(was_kept=pl.lit(name == DOCUMENTS)))
    return pl.concat(parts).sort(DOCUMENT_ROW)


def _mark_copies(judged: pl.DataFrame) -> pl.DataFrame:
    """Give a verdict to documents that pass but repeat one that passes before them."""
    is_first = pl.col("text_hash").is_first_distinct()
    passing = (
        judged.with_row_index("place")
        .filter(pl.col("operator").is_null())
        .select("place", "id", "text_hash")
    )
    copies = passing.filter(~is_first)
    if copies.is_empty():
        return judged
    originals = passing.filter(is_first & pl.col("text_hash").is_in(copies["text_hash"].implode()))
    found = copies.join(originals, on="text_hash", how="left", suffix="_kept")
    copy_of = pl.repeat(None, judged.height, dtype=pl.String, eager=True)
    copy_of = copy_of.scatter(found["place"], found["id_kept"])
    verdict = {
        "operator": pl.lit(DEDUPLICATE),
        "reason": pl.lit(COPY),
        "metric": pl.lit("text_hash"),
        "value": pl.lit(copy_of),
        "limit": pl.lit("the first copy in document order"),
    }
    is_copy = copy_of.is_not_null()
    return judged.with_columns(
        **{
            column: pl.when(is_copy).then(value).otherwise(pl.col(column))
            for column, value in verdict.items()
        }
    )


def _summarise(
    verdicts: pl.DataFrame, profile: CleaningProfile, rules: Sequence[OperatorRule]
) -> RefilterSummary:
    passes = verdicts["operator"].is_null()
    reasons = verdicts.filter(~passes).group_by("operator", "reason").len()
    counts = Counter({(operator, reason): n for operator, reason, n in reasons.iter_rows()})
    order = [*((operator, rule.reason) for operator, rule in rules), (DEDUPLICATE, COPY)]
    return RefilterSummary(
        profile=profile.name,
        raw=verdicts.height,
        kept=int(passes.sum()),
        newly_kept=int((passes & ~verdicts["was_kept"]).sum()),
        newly_rejected=int((~passes & verdicts["was_kept"]).sum()),
        rejected=tuple(
            Rejection(operator=operator, reason=reason, num_documents=counts[operator, reason])
            for operator, reason in dict.fromkeys(order)
            if counts[operator, reason]
        ),
    )
