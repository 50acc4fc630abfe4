"""Profile of any input: what `quality.corpus_profile` measures, with examples of what is odd."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from quality.corpus_profile import CorpusProfile, CorpusTally
from quality.defect_examples import Defect, DefectExamples
from quality.documents import CorpusError
from quality.documents_on_disk import DocumentsOnDisk


@dataclass(frozen=True, kw_only=True, slots=True)
class InputProfile:
    """What came in."""

    num_rows: int
    """Rows of the input; documents and unreadable rows."""
    corpus: CorpusProfile
    """Counts and distributions of the documents."""
    defects: tuple[Defect, ...]
    """What is odd, commonest first."""


def profile_documents(
    documents: DocumentsOnDisk,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> InputProfile:
    """Measure an input, batch by batch.

    Args:
        documents: The input.
        progress: Told rows done and rows in all, after each batch.

    Raises:
        CorpusError: A file is damaged, or no row can be used.
    """
    tally, odd = CorpusTally(), DefectExamples()
    unreadable: Counter[str] = Counter()
    done = 0
    for batch in documents.batches():
        frame = pl.DataFrame(
            {
                "id": batch.ids,
                "source": pl.Series(batch.sources, dtype=pl.String),
                "text": batch.texts,
                "language": pl.repeat("", len(batch.ids), dtype=pl.String, eager=True),
            }
        )
        odd.add(tally.add(frame), batch.unreadable)
        unreadable.update(item.reason for item in batch.unreadable)
        done += batch.num_rows_read
        if progress is not None:
            progress(done, documents.num_rows)
    if tally.num_documents == 0:
        raise CorpusError(
            f"{documents.path}: none of {documents.num_rows} rows can be used: {dict(unreadable)}; "
            "correct --text-column and --id-column"
        )
    return InputProfile(
        num_rows=done,
        corpus=tally.profile(dict(sorted(unreadable.items()))),
        defects=tuple(odd.defects()),
    )
