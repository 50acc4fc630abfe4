"""The text that models are trained on: what cleaning kept, less copies, held-out text and leaks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quality.contamination import read_contaminated
from quality.dedup.members import Members, read_members
from quality.document_batches import read_batches


@dataclass(frozen=True, slots=True)
class _Heldout:
    """What names a held-out document."""

    names: set[tuple[str, str]] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    clusters: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, folders: Sequence[Path]) -> "_Heldout":
        """Read some held-out sets."""
        held = cls()
        for folder in folders:
            for batch in read_batches(folder, ("corpus", "id", "text_hash", "cluster")):
                held.names.update(batch.select("corpus", "id").iter_rows())
                held.hashes.update(batch["text_hash"])
                held.clusters.update(batch["cluster"].drop_nulls())
        return held


def iterate_training_documents(
    cleaned: Mapping[str, Path],
    heldout: Sequence[Path],
    *,
    members: Mapping[str, Path] | None = None,
    contaminated: Mapping[str, Path] | None = None,
    chosen: Mapping[str, Collection[str]] | None = None,
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
        contaminated: Corpus name -> folder of its report of contamination; None: nobody looked.
        chosen: Corpus name -> ids of the documents that may be trained on; None: all.

    Raises:
        BadDocuments: A table is missing, damaged or lacks a column.
    """
    held = _Heldout.read(heldout)
    for corpus in sorted(cleaned):
        copies = None if members is None else read_members(members[corpus])
        leaks = frozenset() if contaminated is None else read_contaminated(contaminated[corpus])
        for batch in read_batches(cleaned[corpus], ("id", "text", "text_hash")):
            for document_id, text, digest in batch.iter_rows():
                if document_id in leaks or _is_heldout(held, corpus, document_id, digest, copies):
                    continue
                if chosen is None or document_id in chosen[corpus]:
                    yield document_id, text


def _is_heldout(
    held: _Heldout, corpus: str, document_id: str, digest: str, copies: Members | None
) -> bool:
    """Whether a document is held out, or a copy that deduplication leaves out."""
    if (corpus, document_id) in held.names or digest in held.hashes:
        return True
    return copies is not None and (
        document_id in copies.removed or copies.clusters.get(document_id) in held.clusters
    )


def heldout_documents(
    heldout: Sequence[Path], *, chosen: Mapping[str, Collection[str]] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield id and text of each document of some held-out sets, in stored order.

    Args:
        heldout: Folders of held-out sets.
        chosen: Corpus name -> ids of the documents that are wanted; None: all.

    Raises:
        BadDocuments: A folder has no readable `documents.parquet` with these columns.
    """
    for folder in heldout:
        for batch in read_batches(folder, ("id", "text", "corpus")):
            for document_id, text, corpus in batch.iter_rows():
                if chosen is None or document_id in chosen[corpus]:
                    yield document_id, text
