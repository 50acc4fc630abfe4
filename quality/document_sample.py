"""An even sample of an input in bounded memory: what a tagger or a score learns from."""

import polars as pl

from quality.documents_on_disk import DocumentBatch, DocumentsOnDisk


def sample_documents(documents: DocumentsOnDisk, max_rows: int) -> pl.DataFrame:
    """Return every k-th row of the input, the least k that gives at most `max_rows`.

    Args:
        documents: The input; rows that are no documents are not counted.
        max_rows: > 0.

    Returns:
        All columns, among them `id` and `text` whatever they are called in the input.

    Raises:
        CorpusError: A file is damaged.
    """
    step = -(-documents.num_rows // max_rows)
    parts: list[pl.DataFrame] = []
    seen = 0
    for batch in documents.batches():
        frame = document_frame(batch)
        parts.append(_alone(frame.gather_every(step, offset=-seen % step)))
        seen += frame.height
    return pl.concat(parts)


def _alone(rows: pl.DataFrame) -> pl.DataFrame:
    """Copy some rows of a batch: taken as they are, they would keep all of its texts in memory."""
    return pl.DataFrame(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))


def document_frame(batch: DocumentBatch) -> pl.DataFrame:
    """Return the rows of a batch with `id` and `text` under these names."""
    return pl.DataFrame(pl.from_arrow(batch.rows)).with_columns(id=batch.ids, text=batch.texts)
