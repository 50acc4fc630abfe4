"""What a tagger is: settings that learn from documents, and the result, which labels documents.

A tag is null where a tagger has no opinion; the share of documents that it labels is its coverage.
Confidence is the tagger's own estimate in [0, 1] that the tag is right; taggers define it in their
files, and only `quality.tagger_comparison` tells how far two of them agree.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float64] | NDArray[np.float32] | NDArray[np.str_]]
"""What a fitted tagger has learnt, by name."""

TAG_COLUMNS = {"id": pl.String, "tag": pl.String, "confidence": pl.Float64}
"""Columns of a table of tags: id, tag or null, confidence (0 where the tag is null)."""


class Tagger(Protocol):
    """Labels documents."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All tags that it may give, sorted."""
        ...

    def tag(self, documents: pl.DataFrame) -> pl.DataFrame:
        """Return one row per document in the same order, columns `TAG_COLUMNS`.

        Args:
            documents: Columns `id` and `text`, and those that the tagger's settings name.
        """
        ...

    def learnt(self) -> Arrays:
        """Return what has been learnt; with the settings it is all that `restore` needs."""
        ...


class TaggerSettings(Protocol):
    """Settings of one kind of tagger: a frozen dataclass that refuses unknown keys."""

    def fit(self, documents: pl.DataFrame) -> Tagger:
        """Learn what there is to learn; kinds without a memory ignore the documents.

        Raises:
            ValueError: The documents lack a column or do not suffice.
        """
        ...

    def restore(self, learnt: Arrays) -> Tagger:
        """Make the tagger that `fit` had made.

        Raises:
            KeyError: An array is missing.
        """
        ...


def require_columns(documents: pl.DataFrame, *columns: str) -> None:
    """Check that a table has string columns.

    Raises:
        ValueError: One is missing or holds something else.
    """
    for column in columns:
        found = documents.schema.get(column)
        if found != pl.String:
            raise ValueError(
                f"documents have no string column {column!r}: {found or documents.columns}"
            )


def tag_table(ids: pl.Series, tags: pl.Series, confidence: pl.Series) -> pl.DataFrame:
    """Put a tagger's answer into its columns; confidence becomes 0 where there is no tag."""
    table = pl.DataFrame([ids.alias("id"), tags.alias("tag"), confidence.alias("confidence")])
    return table.select(
        pl.col("id"),
        pl.col("tag").cast(pl.String),
        pl.when(pl.col("tag").is_null())
        .then(0.0)
        .otherwise(pl.col("confidence"))
        .cast(pl.Float64)
        .alias("confidence"),
    )
