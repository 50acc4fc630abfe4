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
MEASURES = (*METRICS, "text_hash", "detected_language", "language_confidence")
"""All columns that `measure` adds."""
STAYING_TEXT = "staying_text"
"""Column of the text that is kept if the document is; the same as `text` where no filter edits."""
UNCHANGED = "unchanged"
"""Counter key of documents that normalisation left as they were."""


def measure(
    documents: pl.DataFrame, *, edit_lines: bool = False
) -> tuple[pl.DataFrame, Counter[str]]:
    """Replace `text` by its normalised form and add the columns `MEASURES` and `STAYING_TEXT`.

    Language is that of the normalised text, `text_hash` that of the text that stays.

    Args:
        documents: Raw documents with a string column `text` without nulls.
        edit_lines: Whether C4's rules for lines edit the text that stays.

    Returns:
        The table in the same order, and how many documents each normalisation step changed
        (keys of `quality.normalise.STEPS`, `UNSETTLED` and `UNCHANGED`).
    """
    normalised = [normalise(text) for text in documents["text"]]
    changes = Counter(name for one in normalised for name in one.changes or (UNCHANGED,))
    texts = [one.text for one in normalised]
    languages, confidences = identify_languages(texts)
    measured = measure_texts(
        documents.with_columns(pl.Series("text", texts, dtype=pl.String)), edit_lines=edit_lines
    )
    hashes = [text_hash(text) for text in measured[STAYING_TEXT]]
    return measured.with_columns(
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
