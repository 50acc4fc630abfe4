"""The text that models are trained on: what cleaning kept, less what any domain holds out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from quality.document_batches import read_batches


def iterate_training_documents(
    cleaned: Mapping[str, Path], heldout: Sequence[Path]
) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of every kept document that no held-out set contains.

    A document is held out if a held-out set names its corpus and id, or holds a text with the same
    `text_hash`: a copy of held-out text in another domain would leak just as well. So the sets of
    all domains belong into `heldout`, not only the document's own.

    Args:
        cleaned: Corpus name -> folder of its cleaned shards. Order: by corpus name, then document
            order.
        heldout: Folders of the held-out sets of all domains.

    Raises:
        BadDocuments: A table is missing, damaged or lacks a column.
    """
    names: set[tuple[str, str]] = set()
    hashes: set[str] = set()
    for folder in heldout:
        for batch in read_batches(folder, ("corpus", "id", "text_hash")):
            names.update(batch.select("corpus", "id").iter_rows())
            hashes.update(batch["text_hash"])
    for corpus in sorted(cleaned):
        for batch in read_batches(cleaned[corpus], ("id", "text", "text_hash")):
            for document_id, text, digest in batch.iter_rows():
                if (corpus, document_id) not in names and digest not in hashes:
                    yield document_id, text


def heldout_documents(heldout: Path) -> Iterator[tuple[str, str]]:
    """Yield id and text of each document of a held-out set, in stored order.

    Raises:
        BadDocuments: The folder has no readable `documents.parquet` with these columns.
    """
    for batch in read_batches(heldout, ("id", "text")):
        yield from batch.select("id", "text").iter_rows()
