"""Measures documents: normalised text, lengths, hash, language and the metrics of every filter.

All that cleaning decides is decided on these columns, so a threshold can be tried again on a
cleaned corpus without reading or measuring a text anew.
"""

from collections import Counter
from collections.abc import Collection

import polars as pl

from quality.dedup.exact import text_hash
from quality.filters import FILTERS
from quality.languages import identify_languages
from quality.normalise import normalise
from quality.pii.redaction import COUNT_COLUMNS, redact

METRICS = {name: metric for parts in FILTERS.values() for name, metric in parts.metrics.items()}
"""Metric columns of every document, whatever filters its profile has in force."""
DOCUMENT_ROW = "document_row"
"""Column of a document's place in the raw corpus, from 0."""
MEASURES = (
    DOCUMENT_ROW,
    *METRICS,
    *COUNT_COLUMNS.values(),
    "text_hash",
    "detected_language",
    "language_confidence",
)
"""All columns that `measure` adds."""
STAYING_TEXT = "staying_text"
"""Column of the text that is kept if the document is; the same as `text` where no filter edits."""
REDACTED = "redacted"
"""Counter key of documents in which a placeholder replaced something."""
UNCHANGED = "unchanged"
"""Counter key of documents that normalisation left as they were."""


def measure(
    documents: pl.DataFrame,
    *,
    edit_lines: bool = False,
    redacted: Collection[str] = (),
    first_row: int = 0,
) -> tuple[pl.DataFrame, Counter[str]]:
    """Replace `text` by its normalised form and add the columns `MEASURES` and `STAYING_TEXT`.

    Personal and secret data is replaced before anything is measured, so that what is stored is what
    was judged, and cleaning it again gives the same. Language is that of the normalised text,
    `text_hash` that of the text that stays.

    Args:
        documents: Raw documents with a string column `text` without nulls.
        edit_lines: Whether C4's rules for lines edit the text that stays.
        redacted: Kinds of personal and secret data that placeholders replace; all are counted.
        first_row: Place of the first document in the raw corpus.

    Returns:
        The table in the same order, and how many documents each normalisation step changed
        (keys of `quality.normalise.STEPS`, `UNSETTLED` and `UNCHANGED`; `REDACTED`).
    """
    normal, changes = _normalise(documents["text"])
    texts, found = _redact(pl.Series("text", normal, dtype=pl.String), redacted)
    if num_redacted := _with_findings(found, redacted).len():
        changes[REDACTED] = num_redacted
    languages, confidences = identify_languages(texts.to_list())
    measured = measure_texts(documents.with_columns(texts), edit_lines=edit_lines).hstack(found)
    if edit_lines:  # cutting a line can bring characters together that compose
        staying, _ = _normalise(measured[STAYING_TEXT])
        edited, _ = _redact(pl.Series(STAYING_TEXT, staying, dtype=pl.String), redacted)
        measured = measured.with_columns(edited)
    hashes = [text_hash(text) for text in measured[STAYING_TEXT]]
    return measured.with_columns(
        pl.int_range(first_row, first_row + documents.height, dtype=pl.Int64).alias(DOCUMENT_ROW),
        pl.Series("text_hash", hashes, dtype=pl.String),
        pl.Series("detected_language", languages, dtype=pl.String),
        pl.Series("language_confidence", confidences, dtype=pl.Float64),
    ), changes


def measure_texts(documents: pl.DataFrame, *, edit_lines: bool) -> pl.DataFrame:
    """Add the metrics of every filter and `STAYING_TEXT` to documents taken as they are.

    Args:
        documents: Documents with a string column `text` without nulls.
        edit_lines: Whether C4's rules for lines edit the text that stays.
    """
    from quality.text_buffers import count_texts

    counts, staying = count_texts(documents["text"], edit_lines=edit_lines)
    metrics = counts.select(**METRICS)
    return documents.hstack(metrics).with_columns(staying.alias(STAYING_TEXT))


def _redact(texts: pl.Series, kinds: Collection[str]) -> tuple[pl.Series, pl.DataFrame]:
    """Put placeholders in place and count what was found; the texts are in normal form again."""
    redacted, found = redact(texts, kinds)
    # A mark behind a finding composes with the placeholder's last character.
    changed = _with_findings(found, kinds)
    normal, _ = _normalise(redacted.gather(changed))
    return redacted.clone().scatter(changed, pl.Series(normal, dtype=pl.String)), found


def _with_findings(found: pl.DataFrame, kinds: Collection[str]) -> pl.Series:
    """Rows with a finding of one of the kinds."""
    is_found = [pl.col(COUNT_COLUMNS[kind]) > 0 for kind in kinds]
    return found.select(pl.any_horizontal(False, *is_found)).to_series().arg_true()


def _normalise(texts: pl.Series) -> tuple[list[str], Counter[str]]:
    """Return the normal forms, and how many texts each step changed."""
    from quality.text_buffers import may_need_normalising

    normal = texts.to_list()
    changes: Counter[str] = Counter()
    suspects = may_need_normalising(texts).nonzero()[0].tolist()
    for index in suspects:
        one = normalise(normal[index])
        normal[index] = one.text
        changes.update(one.changes or (UNCHANGED,))
    changes[UNCHANGED] += len(normal) - len(suspects)
    return normal, +changes
