"""Gate `whole_corpus`: claims about all domains together, which no partition can prove alone.

Polars reduces all shards to a profile with one row per domain and shard. Great Expectations then
judges that table, which is named `shard_profile` because it never saw the documents.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.contamination import CONTAMINATED, ContaminationConfig, LeakSearch
from quality.dedup.members import COLUMNS as COPIES
from quality.dedup.members import MEMBERS_FILE
from quality.document_batches import BadDocuments, read_batches
from quality.expectations import run_suite
from quality.gate_tables import read_table, unreadable, verdict
from quality.gates import Criterion
from quality.suites.token_shards import COLUMNS as TOKEN_COLUMNS
from quality.suites.token_shards import read_manifest

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

PROFILE = "shard_profile.parquet"
HASHED = {"id": pl.String, "text_hash": pl.String}
"""Columns of cleaned and held-out documents that the profile joins on."""
PROFILE_COLUMNS = {
    "domain": pl.String,
    "shard": pl.Int32,
    "num_documents": pl.Int64,
    "num_tokens": pl.Int64,
    "num_bytes": pl.Int64,
    "domain_token_share": pl.Float64,
    "ids_seen_elsewhere": pl.Int64,
    "ids_not_cleaned": pl.Int64,
    "texts_seen_elsewhere": pl.Int64,
    "heldout_ids": pl.Int64,
    "heldout_texts": pl.Int64,
    "heldout_clusters": pl.Int64,
    "removed_copies": pl.Int64,
    "leaking_documents": pl.Int64,
    "tokenizer_digest": pl.String,
    "heldout_tokenizer_digest": pl.String,
}
"""Columns of the profile."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class WholeLimits:
    """What all domains together are allowed."""

    min_domains: Annotated[int, Field(ge=1)] = 2
    """Fewest domains: a mixture needs two."""
    min_token_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Least share of a domain in all training tokens, 0 to 1; below it is a warning."""
    max_token_share: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Largest share of a domain in all training tokens, 0 to 1; above it is a warning."""


def expectations(limits: WholeLimits) -> list["Expectation"]:
    """Return the suite over the profile."""
    import great_expectations.expectations as gxe

    def zero(column: str, severity: str = "critical") -> "Expectation":
        return gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=0, max_value=0, severity=severity
        )

    return [
        gxe.ExpectColumnUniqueValueCountToBeBetween(column="domain", min_value=limits.min_domains),
        *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in PROFILE_COLUMNS),
        gxe.ExpectColumnValuesToBeBetween(column="num_documents", min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="num_tokens", min_value=1),
        zero("ids_seen_elsewhere"),
        zero("ids_not_cleaned"),
        zero("texts_seen_elsewhere", severity="warning"),
        zero("heldout_ids"),
        zero("heldout_texts"),
        zero("heldout_clusters"),
        zero("removed_copies"),
        zero("leaking_documents"),
        gxe.ExpectColumnValuesToBeBetween(
            column="domain_token_share",
            min_value=limits.min_token_share,
            max_value=limits.max_token_share,
            severity="warning",
        ),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="tokenizer_digest", min_value=1, max_value=1
        ),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="tokenizer_digest", column_B="heldout_tokenizer_digest"
        ),
    ]


def judge(folder: Path, limits: WholeLimits | None = None) -> tuple[Criterion, ...]:
    """Judge a profile that `write_shard_profile` wrote.

    Args:
        folder: Holds the profile.
        limits: None for the defaults.

    Raises:
        GateCrashed: An expectation could not be evaluated.
    """
    return verdict(lambda: _criteria(folder, limits or WholeLimits()))


def _criteria(folder: Path, limits: WholeLimits) -> tuple[Criterion, ...]:
    profile = read_table(folder / PROFILE, list(PROFILE_COLUMNS), columns=PROFILE_COLUMNS)
    frame = profile.to_pandas(use_pyarrow_extension_array=True)
    return run_suite(frame, expectations(limits), name="shard_profile")


def write_shard_profile(
    *,
    token_shards: Mapping[str, Path],
    heldout_sets: Mapping[str, Path],
    cleaned_shards: Mapping[str, Path],
    cluster_members: Mapping[str, Path],
    out: Path,
    contamination: ContaminationConfig | None = None,
) -> pl.DataFrame:
    """Reduce all training shards to one row per domain and shard, and write it.

    The text of every document in a training shard is searched for evaluation items once more, so a
    leak shows whatever report or version the shards were made from.

    Args:
        token_shards: Artifact folder by domain.
        heldout_sets: Artifact folder by domain.
        cleaned_shards: Artifact folder by corpus; it knows the text hash of every document.
        cluster_members: Artifact folder by corpus; it knows which documents are copies.
        out: Folder to write `shard_profile.parquet` into.
        contamination: What leaks; None for the defaults.

    Returns:
        The profile, sorted by domain and shard.

    Raises:
        TableRefused: A file is missing, damaged, or lacks a column.
    """
    search = LeakSearch(heldout_sets, contamination or ContaminationConfig())
    training = _training_documents(token_shards)
    leaking = _leaking(training["document_id"], cleaned_shards, search)
    profile = (
        _flag(training, token_shards, heldout_sets, cleaned_shards, cluster_members)
        .with_columns(is_leaking=pl.col("document_id").is_in(leaking))
        .group_by("domain", "shard")
        .agg(
            num_documents=pl.len().cast(pl.Int64),
            num_tokens=pl.col("num_tokens").sum(),
            num_bytes=pl.col("num_bytes").sum(),
            ids_seen_elsewhere=_count("is_shared_id"),
            ids_not_cleaned=pl.col("text_hash").is_null().sum().cast(pl.Int64),
            texts_seen_elsewhere=_count("is_shared_text"),
            heldout_ids=_count("is_heldout_id"),
            heldout_texts=_count("is_heldout_text"),
            heldout_clusters=_count("is_near_heldout"),
            removed_copies=_count("is_removed"),
            leaking_documents=_count("is_leaking"),
        )
        .join(_tokenizers(token_shards), on="domain", how="left")
        .with_columns(
            domain_token_share=pl.col("num_tokens").sum().over("domain")
            / pl.col("num_tokens").sum()
        )
        .select(*PROFILE_COLUMNS)
        .sort("domain", "shard")
    )
    profile.write_parquet(out / PROFILE, compression="zstd")
    return profile


def _flag(
    training: pl.DataFrame,
    token_shards: Mapping[str, Path],
    heldout_sets: Mapping[str, Path],
    cleaned_shards: Mapping[str, Path],
    cluster_members: Mapping[str, Path],
) -> pl.DataFrame:
    """Add to each training document its text hash and what is wrong with its being there."""
    cleaned = _documents(cleaned_shards).unique("id")
    heldout = _documents(heldout_sets)
    heldout_ids = pl.concat([heldout["id"], _heldout_token_ids(token_shards)])
    copies = _copies(cluster_members)
    removed = copies.filter(pl.col("kind") != "kept")["id"]
    held_clusters = copies.filter(pl.col("id").is_in(heldout_ids.implode()))["cluster"]
    near_heldout = copies.filter(pl.col("cluster").is_in(held_clusters.unique().implode()))["id"]
    joined = training.join(cleaned, left_on="document_id", right_on="id", how="left")
    text_hash, document_id = pl.col("text_hash"), pl.col("document_id")
    return joined.with_columns(
        is_shared_id=document_id.is_duplicated(),
        is_shared_text=text_hash.is_not_null() & text_hash.is_duplicated(),
        is_heldout_id=document_id.is_in(heldout_ids.unique().implode()),
        is_near_heldout=document_id.is_in(near_heldout.implode()),
        is_removed=document_id.is_in(removed.implode()),
        is_heldout_text=text_hash.is_in(heldout["text_hash"].unique().implode()),
    )


def _leaking(trained: pl.Series, cleaned: Mapping[str, Path], search: LeakSearch) -> list[str]:
    """Ids of documents in the training shards that leak an evaluation item."""
    leaking: list[str] = []
    wanted = trained.implode()
    for _, folder in sorted(cleaned.items()):
        try:
            for batch in read_batches(folder, ("id", "text")):
                mine = batch.filter(pl.col("id").is_in(wanted))
                found = search.find(mine["text"]).filter(pl.col("kind") == CONTAMINATED)
                leaking += mine["id"].gather(found["row"].unique()).to_list()
        except BadDocuments as error:
            raise unreadable("documents.parquet", str(error)) from error
    return leaking


def _count(column: str) -> pl.Expr:
    return pl.col(column).fill_null(False).sum().cast(pl.Int64)


def _training_documents(token_shards: Mapping[str, Path]) -> pl.DataFrame:
    columns = ["document_id", "shard", "num_tokens", "num_bytes"]
    empty = pl.DataFrame(schema={name: TOKEN_COLUMNS[name] for name in columns})
    tables = [empty.with_columns(domain=pl.lit(""))]
    for domain, folder in sorted(token_shards.items()):
        table = read_table(folder / "train" / "documents.parquet", columns, columns=TOKEN_COLUMNS)
        tables.append(table.with_columns(domain=pl.lit(domain)))
    return pl.concat(tables)


def _heldout_token_ids(token_shards: Mapping[str, Path]) -> pl.Series:
    ids = [pl.Series("id", [], dtype=pl.String)]
    for _, folder in sorted(token_shards.items()):
        path = folder / "heldout" / "documents.parquet"
        ids.append(
            read_table(path, [pl.col("document_id").alias("id")], columns=TOKEN_COLUMNS)["id"]
        )
    return pl.concat(ids)


def _documents(folders: Mapping[str, Path]) -> pl.DataFrame:
    tables = [pl.DataFrame(schema=HASHED)]
    for _, folder in sorted(folders.items()):
        tables.append(read_table(folder / "documents.parquet", list(HASHED), columns=HASHED))
    return pl.concat(tables)


def _copies(folders: Mapping[str, Path]) -> pl.DataFrame:
    columns = {name: COPIES[name] for name in ("id", "cluster", "kind")}
    tables = [pl.DataFrame(schema=columns)]
    for _, folder in sorted(folders.items()):
        tables.append(read_table(folder / MEMBERS_FILE, list(columns), columns=columns))
    return pl.concat(tables)


def _tokenizers(token_shards: Mapping[str, Path]) -> pl.DataFrame:
    digests = {
        domain: [read_manifest(folder / split).tokenizer_digest for split in ("train", "heldout")]
        for domain, folder in sorted(token_shards.items())
    }
    return pl.DataFrame(
        {
            "domain": list(digests),
            "tokenizer_digest": [train for train, _ in digests.values()],
            "heldout_tokenizer_digest": [heldout for _, heldout in digests.values()],
        },
        schema=dict.fromkeys(("domain", "tokenizer_digest", "heldout_tokenizer_digest"), pl.String),
    )
