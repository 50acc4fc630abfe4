"""The text that models are trained on: what cleaning kept, less what any domain holds out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from quality.document_batches import read_batches


def iterate_training_documents(
    cleaned: Mapping[str, Path], heldout: Sequence[Path]
) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of every kept document that none of the given held-out sets contains.

    A document is held out if a set names its corpus and id, or holds a text with the same
    `text_hash`. A copy of held-out text in another domain leaks just as well: give the sets of all
    domains, or test the whole corpus for it afterwards, as the `whole_corpus` gate does.

    Args:
        cleaned: Corpus name -> folder of its cleaned shards. Order: by corpus name, then document
            order.
        heldout: Folders of held-out sets.

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
