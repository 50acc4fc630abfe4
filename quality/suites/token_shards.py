"""Gate `token_tables`: do the token shards of one domain say what is in them?

The document tables of `train/` and `heldout/` are judged by one suite; the token files themselves
are compared with the manifest: size, sha256, largest token, the end token after every document.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import polars as pl
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from quality.expectations import run_suite
from quality.gate_tables import read_object, read_table, unreadable, verdict
from quality.gates import Criterion, equality_check, limit_check

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

SPLITS = ("train", "heldout")
COLUMNS = {
    "document_id": pl.String,
    "shard": pl.Int32,
    "start": pl.Int64,
    "num_tokens": pl.Int64,
    "num_bytes": pl.Int64,
}
"""Columns of the document table."""
DTYPES: dict[str, np.dtype[np.uint16] | np.dtype[np.uint32]] = {
    "uint16": np.dtype("<u2"),
    "uint32": np.dtype("<u4"),
}
"""Types of a token."""
CHUNK_TOKENS = 2**22
"""Tokens held in memory at once."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class TokenLimits:
    """What token shards are allowed."""

    context_tokens: Annotated[int, Field(ge=1)] = 128
    """Inputs of one sequence, tokens."""
    min_rows: Annotated[int, Field(ge=1)] = 64
    """Fewest training sequences."""
    min_heldout_rows: Annotated[int, Field(ge=1)] = 1
    """Fewest held-out sequences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardEntry:
    """One shard as the manifest describes it."""

    file: str
    num_tokens: Annotated[int, Field(ge=1)]
    num_documents: Annotated[int, Field(ge=1)]
    sha256: str
    offsets_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The parts of manifest.json that this gate compares with the files."""

    dtype: str
    vocab_size: Annotated[int, Field(ge=1)]
    eos_id: Annotated[int, Field(ge=0)]
    tokenizer_digest: Annotated[str, Field(min_length=1)]
    num_tokens: int
    num_documents: int
    num_bytes: int
    documents_sha256: str
    shards: Annotated[tuple[ShardEntry, ...], Field(min_length=1)]


def expectations() -> list["Expectation"]:
    """Return the suite over the document tables of both splits.

    `gap` is the distance from the end of the previous document of the shard: 0 if contiguous.
    `no_end_token_in` is the id of a document that its end token does not follow, else null.
    """
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnDistinctValuesToEqualSet(column="split", value_set=list(SPLITS)),
        gxe.ExpectColumnValuesToNotBeNull(column="document_id"),
        gxe.ExpectColumnValuesToBeUnique(column="document_id"),
        gxe.ExpectColumnValuesToNotBeNull(column="num_tokens"),
        gxe.ExpectColumnValuesToBeBetween(column="num_tokens", min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="num_bytes"),
        gxe.ExpectColumnValuesToBeBetween(column="num_bytes", min_value=1, severity="warning"),
        gxe.ExpectColumnValuesToNotBeNull(column="gap"),
        gxe.ExpectColumnValuesToBeBetween(column="gap", min_value=0, max_value=0),
        gxe.ExpectColumnValuesToBeNull(column="no_end_token_in"),
    ]


def judge(folder: Path, limits: TokenLimits | None = None) -> tuple[Criterion, ...]:
    """Judge the token shards of one domain.

    Args:
        folder: The artifact, with `train/` and `heldout/`.
        limits: None for the defaults.

    Raises:
        GateCrashed: An expectation could not be evaluated.
    """
    return verdict(lambda: _criteria(folder, limits or TokenLimits()))


def _criteria(folder: Path, limits: TokenLimits) -> tuple[Criterion, ...]:
    manifests = {split: read_manifest(folder / split) for split in SPLITS}
    tables = {
        split: read_table(
            folder / split / "documents.parquet", list(COLUMNS), columns=COLUMNS
        ).with_columns(pl.lit(split).alias("split"), _gap().alias("gap"))
        for split in SPLITS
    }
    least = {"train": limits.min_rows, "heldout": limits.min_heldout_rows}
    rows: list[Criterion] = []
    for split in SPLITS:
        manifest, table = manifests[split], tables[split]
        damaged = _damaged_files(folder / split, manifest)
        rows += [
            equality_check(f"{split}_damaged_files", len(damaged), 0, examples=damaged),
            *_against_manifest(table, manifest, split=split),
            limit_check(
                f"{split}_rows", _num_rows(manifest, limits.context_tokens), at_least=least[split]
            ),
        ]
        if damaged:  # their tokens are not worth reading
            tables[split] = table.with_columns(no_end_token_in=pl.lit(None, dtype=pl.String))
        else:
            largest, table = _read_tokens(folder / split, manifest, table)
            tables[split] = table
            rows.append(
                limit_check(f"{split}_largest_token", largest, at_most=manifest.vocab_size - 1)
            )
    rows.append(
        equality_check(
            "same_tokenizer_in_both_splits",
            manifests["heldout"].tokenizer_digest,
            manifests["train"].tokenizer_digest,
        )
    )
    frame = pl.concat(tables.values()).to_pandas(use_pyarrow_extension_array=True)
    return (*run_suite(frame, expectations(), name="token_tables"), *rows)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of one split.

    Raises:
        TableRefused: It is missing, broken, or lacks a field.
    """
    try:
        manifest = TypeAdapter(Manifest).validate_python(read_object(folder / "manifest.json"))
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in mistake["loc"])
        file = f"{folder.name}/manifest.json"
        raise unreadable(file, f"{field}: {mistake['msg']}") from error
    if manifest.dtype not in DTYPES:
        raise unreadable(f"{folder.name}/manifest.json", f"dtype: {manifest.dtype!r} is unknown")
    return manifest


def _gap() -> pl.Expr:
    end = pl.col("start") + pl.col("num_tokens")
    return pl.col("start") - end.shift(1, fill_value=0).over("shard")


def _num_rows(manifest: Manifest, context_tokens: int) -> int:
    """Count sequences of context_tokens + 1 tokens that overlap by one and lie in one shard."""
    return sum((shard.num_tokens - 1) // context_tokens for shard in manifest.shards)


def _damaged_files(folder: Path, manifest: Manifest) -> list[str]:
    """Name the files that are missing or not those that the manifest describes."""
    expected = {"documents.parquet": manifest.documents_sha256}
    for shard in manifest.shards:
        expected[shard.file] = shard.sha256
        expected[Path(shard.file).with_suffix(".doc").name] = shard.offsets_sha256
    damaged = []
    for name, sha256 in sorted(expected.items()):
        path = folder / name
        if not path.is_file():
            damaged.append(f"{name}: missing")
            continue
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                damaged.append(f"{name}: sha256 differs from the manifest")
    item_bytes = DTYPES[manifest.dtype].itemsize
    for shard in manifest.shards:
        path = folder / shard.file
        size = path.stat().st_size if path.is_file() else 0
        if size != shard.num_tokens * item_bytes:
            damaged.append(f"{shard.file}: {size} bytes for {shard.num_tokens} tokens")
    return damaged


def _against_manifest(
    table: pl.DataFrame, manifest: Manifest, *, split: str
) -> tuple[Criterion, ...]:
    shards = {index: entry.num_tokens for index, entry in enumerate(manifest.shards)}
    found = dict(table.group_by("shard").agg(pl.col("num_tokens").sum()).iter_rows())
    differing = sorted(set(shards.items()) ^ set(found.items()))
    largest_vocab = 2 ** (8 * DTYPES[manifest.dtype].itemsize)
    return (
        equality_check(
            f"{split}_tokens_match_manifest", int(table["num_tokens"].sum()), manifest.num_tokens
        ),
        equality_check(
            f"{split}_tokens_match_shards",
            len(differing),
            0,
            examples=[f"shard {index}: {tokens} tokens" for index, tokens in differing],
        ),
        equality_check(f"{split}_documents_match_manifest", table.height, manifest.num_documents),
        equality_check(
            f"{split}_bytes_match_manifest", int(table["num_bytes"].sum()), manifest.num_bytes
        ),
        limit_check(f"{split}_vocab_size", manifest.vocab_size, at_most=largest_vocab),
        limit_check(f"{split}_end_token", manifest.eos_id, at_most=manifest.vocab_size - 1),
    )


def _read_tokens(folder: Path, manifest: Manifest, table: pl.DataFrame) -> tuple[int, pl.DataFrame]:
    """Return the largest token, and the table with `no_end_token_in`."""
    largest = 0
    unended: list[str] = []
    for index, shard in enumerate(manifest.shards):
        tokens = np.memmap(folder / shard.file, dtype=DTYPES[manifest.dtype], mode="r")
        for start in range(0, len(tokens), CHUNK_TOKENS):
            largest = max(largest, int(tokens[start : start + CHUNK_TOKENS].max()))
        documents = table.filter(pl.col("shard") == index)
        last = (documents["start"] + documents["num_tokens"] - 1).to_numpy()
        inside = (last >= 0) & (last < len(tokens))
        ended = np.zeros(len(last), dtype=bool)
        ended[inside] = tokens[last[inside]] == manifest.eos_id
        offsets = np.fromfile(folder / Path(shard.file).with_suffix(".doc"), dtype="<u8")
        # A start that the offsets file contradicts points into another document.
        starts = documents["start"].to_numpy()
        ended &= np.isin(starts, offsets.astype(np.int64))
        unended += documents["document_id"].filter(pl.Series(~ended)).to_list()
    is_unended = pl.col("document_id").is_in(unended)
    return largest, table.with_columns(
        no_end_token_in=pl.when(is_unended).then("document_id").otherwise(None)
    )
