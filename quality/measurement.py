"""Measures documents: normalised text, lengths, hash, language and the metrics of every filter.

All that cleaning decides is decided on these columns, so a threshold can be tried again on a
cleaned corpus without reading or measuring a text anew.
"""

from collections import Counter

import polars as pl

from quality.dedup.exact import text_hash
from quality.filters import FILTERS
from quality.filters.length import NUM_CHARS, NUM_WORDS
from quality.languages import identify_languages
from quality.normalise import normalise

METRICS = {name: metric for parts in FILTERS.values() for name, metric in parts.metrics.items()}
"""Metric columns of every document, whatever filters its profile has in force."""
MEASURES = (
    "num_chars",
    "num_words",
    "text_hash",
    "detected_language",
    "language_confidence",
    *METRICS,
)
"""All columns that `measure` adds."""
UNCHANGED = "unchanged"
"""Counter key of documents that normalisation left as they were."""


def measure(documents: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
    """Replace `text` by its normalised form and add the columns `MEASURES`.

    Args:
        documents: Raw documents with a string column `text` without nulls.

    Returns:
        The table in the same order, and how many documents each normalisation step changed
        (keys of `quality.normalise.STEPS`, `UNSETTLED` and `UNCHANGED`).
    """
    normalised = [normalise(text) for text in documents["text"]]
    changes = Counter(name for one in normalised for name in one.changes or (UNCHANGED,))
    texts = [one.text for one in normalised]
    languages, confidences = identify_languages(texts)
    measured = (
        documents.with_columns(pl.Series("text", texts, dtype=pl.String))
        .with_columns(num_chars=NUM_CHARS, num_words=NUM_WORDS)
        .with_columns(
            pl.Series("text_hash", [text_hash(text) for text in texts], dtype=pl.String),
            pl.Series("detected_language", languages, dtype=pl.String),
            pl.Series("language_confidence", confidences, dtype=pl.Float64),
        )
        .with_columns(**METRICS)
    )
    return measured, changes
