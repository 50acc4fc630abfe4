"""Examples of what cleaning did: rejected documents by rule, changed ones before and after."""

from dataclasses import dataclass

import polars as pl

from quality.defect_examples import NUM_EXAMPLES, clip
from quality.document_cleaner import CleanedBatch
from quality.normalise import STEPS, UNSETTLED, normalise
from quality.text_differences import Piece, first_difference

EDITED_LINES = "lines_edited"
"""Documents from which a filter took lines or characters out, after normalisation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedExample:
    """One rejected document."""

    id: str
    source: str
    """File and row."""
    metric: str
    """What was measured."""
    value: str
    """What came out."""
    limit: str
    """What it should have been."""
    excerpt: str
    """Beginning of the text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedExample:
    """One document before and after."""

    id: str
    source: str
    """File and row."""
    difference: tuple[Piece, ...]
    """The first place where the two differ."""


class CleaningExamples:
    """First examples of each kind; memory does not grow with the corpus."""

    def __init__(self) -> None:
        self.rejected: dict[tuple[str, str], list[RejectedExample]] = {}
        """(operator, reason) -> documents."""
        self.changed: dict[str, list[ChangedExample]] = {}
        """Normalisation step, or `EDITED_LINES` -> documents."""

    def add(self, before: pl.DataFrame, cleaned: CleanedBatch) -> None:
        """Look at one batch.

        Args:
            before: `id`, `text` and `source` as they came in.
            cleaned: What became of them.
        """
        for row in cleaned.rejected.iter_rows(named=True):
            shown = self.rejected.setdefault((row["operator"], row["reason"]), [])
            if len(shown) < NUM_EXAMPLES:
                shown.append(
                    RejectedExample(
                        id=row["id"],
                        source=row["source"],
                        metric=row["metric"],
                        value=row["value"],
                        limit=row["limit"],
                        excerpt=clip(row["text"]),
                    )
                )
        wanted = {name for name in (*STEPS, UNSETTLED) if cleaned.changes[name]} | {EDITED_LINES}
        if any(len(self.changed.get(name, ())) < NUM_EXAMPLES for name in wanted):
            self._add_changed(before, cleaned)

    def _add_changed(self, before: pl.DataFrame, cleaned: CleanedBatch) -> None:
        after = pl.concat(
            [
                cleaned.kept.select("id", after="text", kept=True),
                cleaned.rejected.select("id", after="text", kept=False),
            ]
        )
        changed = before.select("id", "text", "source").join(after, on="id", maintain_order="left")
        for name, text, source, last, kept in changed.filter(
            pl.col("text") != pl.col("after")
        ).iter_rows():
            settled = normalise(text)
            for step in settled.changes:
                function = STEPS.get(step)
                found = first_difference(text, function(text)) if function else ()
                # A step may act only on what another one has left.
                self._show(step, name, source, found or first_difference(text, settled.text))
            if kept:
                self._show(EDITED_LINES, name, source, first_difference(settled.text, last))

    def _show(self, kind: str, name: str, source: str, difference: tuple[Piece, ...]) -> None:
        shown = self.changed.setdefault(kind, [])
        if difference and len(shown) < NUM_EXAMPLES:
            shown.append(ChangedExample(id=name, source=source, difference=difference))
