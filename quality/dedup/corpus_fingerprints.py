"""Fingerprints of a cleaned corpus, read in bounded batches."""

from pathlib import Path

from quality.dedup.fingerprints import fingerprint, join_fingerprints, write_fingerprints
from quality.dedup.minhash import MinHashConfig
from quality.document_batches import read_batches, require_documents


def fingerprint_corpus(cleaned: Path, out: Path, config: MinHashConfig) -> dict[str, int]:
    """Write `fingerprints.parquet` of the kept documents of a corpus.

    Args:
        cleaned: Folder of its cleaned shards.
        out: Existing folder, filled here.
        config: Size of the signatures.

    Returns:
        `documents`, those of them `too_short_for_minhash`, and the `word_ngrams` of all.

    Raises:
        BadDocuments: The table is missing, damaged, empty, or lacks a column.
    """
    columns = ("id", "text")
    require_documents(cleaned, columns)
    prints = join_fingerprints(
        fingerprint(batch["id"], batch["text"], config) for batch in read_batches(cleaned, columns)
    )
    write_fingerprints(prints, out)
    return {
        "documents": len(prints.ids),
        "too_short_for_minhash": int((prints.num_ngrams == 0).sum()),
        "word_ngrams": int(prints.num_ngrams.sum()),
    }
