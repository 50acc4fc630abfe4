"""An even sample of the training text of several corpora: what taggers and scores learn from.

Of each corpus the documents whose names have the smallest hashes, so that one more document changes
at most one of the sample, and the sample does not depend on any order.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from quality.document_batches import RAW_COLUMNS, read_batches
from quality.training_text import iterate_training_documents

SAMPLE_COLUMNS = ("corpus", *RAW_COLUMNS)
"""Columns of the sample, all strings."""


def sample_training_text(
    cleaned: Mapping[str, Path],
    heldout: Mapping[str, Path],
    *,
    members: Mapping[str, Path],
    contaminated: Mapping[str, Path],
    rows: int,
) -> pl.DataFrame:
    """Read up to so many training documents of each corpus, with all that is known of them.

    Args:
        cleaned: Corpus name -> folder of its cleaned shards.
        heldout: Corpus name -> folder of the held-out set of its domain.
        members: Corpus name -> folder of its cluster members.
        contaminated: Corpus name -> folder of its report of contamination.
        rows: Most documents of one corpus, > 0.

    Raises:
        BadDocuments: A table is missing, damaged or lacks a column.
    """
    parts = [pl.DataFrame(schema=dict.fromkeys(SAMPLE_COLUMNS, pl.String))]
    for corpus in sorted(cleaned):
        documents = iterate_training_documents(
            {corpus: cleaned[corpus]},
            [heldout[corpus]],
            members=members,
            contaminated=contaminated,
        )
        chosen = sorted((name for name, _ in documents), key=_rank)[:rows]
        wanted = pl.Series(chosen, dtype=pl.String).implode()
        for batch in read_batches(cleaned[corpus], RAW_COLUMNS):
            mine = batch.filter(pl.col("id").is_in(wanted))
            parts.append(mine.select(pl.lit(corpus).alias("corpus"), *RAW_COLUMNS))
    return pl.concat(parts)


def _rank(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()
