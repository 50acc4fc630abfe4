"""Writes the documents of an input as token shards: joins reading with encoding."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from quality.documents import CorpusError, Unreadable
from quality.documents_on_disk import DocumentsOnDisk
from training.shard_format import ShardManifest
from training.shard_writer import EncodedDocuments, write_encoded

UNREADABLE = "unreadable.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenTokens:
    """What was written."""

    manifest: ShardManifest
    """Counts and digests of the shards."""
    unreadable: dict[str, int]
    """Reason -> rows that could not be read."""

    def to_json(self) -> dict[str, object]:
        """State all counts as JSON values."""
        counts = asdict(self.manifest)
        names = ("num_documents", "num_tokens", "num_bytes", "vocab_size", "dtype")
        return {**{name: counts[name] for name in names}, "unreadable": self.unreadable}


def write_tokens(
    documents: DocumentsOnDisk,
    tokenizer: Path,
    out: Path,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> WrittenTokens:
    """Encode every document, in the order of the input.

    Args:
        documents: The input.
        tokenizer: A tokenizer.json, or a folder that holds it.
        out: Existing folder.
        progress: Told rows done and rows in all, after each batch.

    Raises:
        ValueError: The tokenizer cannot be used, a file is damaged, or no row can be used.
    """
    from training.tokenizer import Encoder, tokenizer_digest

    encoder = Encoder(tokenizer)
    aside: list[Unreadable] = []
    done = 0

    def encoded() -> Iterator[EncodedDocuments]:
        nonlocal done
        for batch in documents.batches():
            texts = batch.rows[documents.text_column].combine_chunks()
            found = encoder.encode_texts(texts)
            yield EncodedDocuments(
                ids=batch.ids.to_list(),
                num_bytes=found.num_bytes,
                tokens=found.tokens,
                ends=found.ends,
            )
            aside.extend(batch.unreadable)
            done += batch.num_rows_read
            if progress is not None:
                progress(done, documents.num_rows)

    manifest = write_encoded(
        encoded(),
        out,
        vocab_size=encoder.vocab_size,
        eos_id=encoder.eos_id,
        tokenizer_digest=tokenizer_digest(tokenizer),
    )
    reasons = dict(sorted(Counter(item.reason for item in aside).items()))
    if manifest.num_documents == 0:
        raise CorpusError(f"{documents.path}: none of {done} rows can be used: {reasons}")
    assert manifest.num_documents + len(aside) == done == documents.num_rows
    columns = ("source", "reason", "detail")
    pl.DataFrame(
        [(item.source, item.reason, item.detail) for item in aside],
        schema=dict.fromkeys(columns, pl.String),
        orient="row",
    ).write_parquet(out / UNREADABLE)
    return WrittenTokens(manifest=manifest, unreadable=reasons)
