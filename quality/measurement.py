"""Measures documents: normalised text, lengths, hash, language and the metrics of every filter.

All that cleaning decides is decided on these columns, so a threshold can be tried again on a
cleaned corpus without reading or measuring a text anew.
"""

from collections import Counter

import polars as pl

from quality.dedup.exact import text_hash
from quality.filters import FILTERS
from quality.languages import identify_languages
from quality.normalise import normalise

METRICS = {name: metric for parts in FILTERS.values() for name, metric in parts.metrics.items()}
"""Metric columns of every document, whatever filters its profile has in force."""
DOCUMENT_ROW = "document_row"
"""Column of a document's place in the raw corpus, from 0."""
MEASURES = (DOCUMENT_ROW, *METRICS, "text_hash", "detected_language", "language_confidence")
"""All columns that `measure` adds."""
STAYING_TEXT = "staying_text"
"""Column of the text that is kept if the document is; the same as `text` where no filter edits."""
UNCHANGED = "unchanged"
"""Counter key of documents that normalisation left as they were."""


def measure(
    documents: pl.DataFrame, *, edit_lines: bool = False, first_row: int = 0
) -> tuple[pl.DataFrame, Counter[str]]:
    """Replace `text` by its normalised form and add the columns `MEASURES` and `STAYING_TEXT`.

    Language is that of the normalised text, `text_hash` that of the text that stays.

    Args:
        documents: Raw documents with a string column `text` without nulls.
        edit_lines: Whether C4's rules for lines edit the text that stays.
        first_row: Place of the first document in the raw corpus.

    Returns:
        The table in the same order, and how many documents each normalisation step changed
        (keys of `quality.normalise.STEPS`, `UNSETTLED` and `UNCHANGED`).
    """
    texts, changes = _normalise(documents["text"])
    languages, confidences = identify_languages(texts)
    measured = measure_texts(
        documents.with_columns(pl.Series("text", texts, dtype=pl.String)), edit_lines=edit_lines
    )
    if edit_lines:  # cutting a line can bring characters together that compose
        staying, _ = _normalise(measured[STAYING_TEXT])
        measured = measured.with_columns(pl.Series(STAYING_TEXT, staying, dtype=pl.String))
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
