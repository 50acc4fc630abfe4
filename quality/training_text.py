"""The text that models are trained on: what cleaning kept, less copies and held-out text."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from quality.dedup.members import read_members
from quality.document_batches import read_batches


def iterate_training_documents(
    cleaned: Mapping[str, Path],
    heldout: Sequence[Path],
    *,
    members: Mapping[str, Path] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of every kept document that is no copy and in no given held-out set.

    A document is held out if a set names its corpus and id, or holds a text with the same
    `text_hash` or of the same cluster. A copy of held-out text in another domain leaks just as
    well: held-out sets are chosen so that there is none, and the `whole_corpus` gate tests it.

    Args:
        cleaned: Corpus name -> folder of its cleaned shards. Order: by corpus name, then document
            order.
        heldout: Folders of held-out sets.
        members: Corpus name -> folder of its cluster members; None: nothing was deduplicated.

    Raises:
        BadDocuments: A table is missing, damaged or lacks a column.
    """
    columns = ("corpus", "id", "text_hash", "cluster")
    names: set[tuple[str, str]] = set()
    hashes: set[str] = set()
    clusters: set[str] = set()
    for folder in heldout:
        for batch in read_batches(folder, columns):
            names.update(batch.select("corpus", "id").iter_rows())
            hashes.update(batch["text_hash"])
            clusters.update(batch["cluster"].drop_nulls())
    for corpus in sorted(cleaned):
        copies = None if members is None else read_members(members[corpus])
        for batch in read_batches(cleaned[corpus], ("id", "text", "text_hash")):
            for document_id, text, digest in batch.iter_rows():
                if (corpus, document_id) in names or digest in hashes:
                    continue
                if copies is not None and (
                    document_id in copies.removed or copies.clusters.get(document_id) in clusters
                ):
                    continue
                yield document_id, text


def heldout_documents(heldout: Path) -> Iterator[tuple[str, str]]:
    """Yield id and text of each document of a held-out set, in stored order.

    Raises:
        BadDocuments: The folder has no readable `documents.parquet` with these columns.
    """
    for batch in read_batches(heldout, ("id", "text")):
        yield from batch.select("id", "text").iter_rows()
