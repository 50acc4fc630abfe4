"""What deduplication says about one corpus: which documents have copies, and which of them go.

It is cut out of the clusters of all corpora, so that what reads one corpus depends only on its own
part: a new corpus elsewhere that shares nothing with this one leaves the table as it is.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from quality.dedup.clusters import MEMBERS
from quality.document_batches import BadDocuments

CLUSTERS = "clusters.parquet"
MEMBERS_FILE = "members.parquet"
SUMMARY = "summary.json"
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    **{name: kind for name, kind in MEMBERS.items() if name != "corpus"},
    "kept_in": pl.List(pl.String),
}
"""Columns of `members.parquet`; `kept_in`: corpora that keep some document of the cluster."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberSummary:
    """Counts of one corpus."""

    cleaned_version: str
    """Data version of the cleaned shards that were compared."""
    num_documents: int
    """Documents of the corpus."""
    in_clusters: int
    """Documents that have copies somewhere."""
    removed: Mapping[str, int]
    """Kind (`exact`, `near`) -> documents left out of training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Members:
    """The same, for those who read the corpus."""

    removed: frozenset[str]
    """Ids of documents that go."""
    clusters: Mapping[str, str]
    """Id -> cluster of each document that stays and has, or had, copies."""
    kept_in: Mapping[str, frozenset[str]]
    """Cluster -> corpora that keep some document of it."""


def write_members(
    clusters: pl.DataFrame, corpus: str, out: Path, *, cleaned_version: str, num_documents: int
) -> MemberSummary:
    """Write `members.parquet` and `summary.json` of one corpus.

    Args:
        clusters: Table of `find_clusters`.
        corpus: Name of the corpus.
        out: Existing folder, filled here.
        cleaned_version: Data version of its cleaned shards.
        num_documents: Its documents.
    """
    kept_in = (
        clusters.filter(pl.col("kind") == "kept")
        .group_by("cluster")
        .agg(kept_in=pl.col("corpus").unique().sort())
    )
    mine = (
        clusters.filter(pl.col("corpus") == corpus)
        .join(kept_in, on="cluster", how="left", maintain_order="left")
        .select(list(COLUMNS))
        .sort("id")
    )
    mine.write_parquet(out / MEMBERS_FILE, compression="zstd")
    kinds = Counter(kind for kind in mine["kind"] if kind != "kept")
    summary = MemberSummary(
        cleaned_version=cleaned_version,
        num_documents=num_documents,
        in_clusters=mine.height,
        removed=dict(sorted(kinds.items())),
    )
    (out / SUMMARY).write_text(json.dumps(asdict(summary), sort_keys=True, indent=1) + "\n")
    return summary


def read_members(folder: Path) -> Members:
    """Read what `write_members` wrote.

    Raises:
        BadDocuments: The table is missing, damaged, or lacks a column.
    """
    path = folder / MEMBERS_FILE
    try:
        table = pl.read_parquet(path, columns=list(COLUMNS))
    except (OSError, PolarsError) as error:
        raise BadDocuments(
            f"{path}: no complete table of copies ({error}); materialise it again"
        ) from error
    kept = table.filter(pl.col("kind") == "kept")
    return Members(
        removed=frozenset(table.filter(pl.col("kind") != "kept")["id"]),
        clusters=dict(kept.select("id", "cluster").iter_rows()),
        kept_in={
            cluster: frozenset(corpora)
            for cluster, corpora in kept.select("cluster", "kept_in").iter_rows()
        },
    )
