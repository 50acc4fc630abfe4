"""What a reader hands over: texts, things it could not read, and the error that ends a corpus.

A reader yields one `Text` for each file, row or conversation, in a fixed order, and one
`Unreadable` for each that is damaged. Only damage that leaves nothing to read (a missing or
truncated file, a column that does not exist) is a `CorpusError`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MAX_DOCUMENT_BYTES = 64 * 2**20
"""A longer text, line or file is put aside as `too_large`: it is held in memory as a whole."""


class CorpusError(ValueError):
    """A corpus cannot be read at all; the message names file, field and remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """One text as it stands in its source, before it is cut into documents."""

    identity: str
    """Stable name within the corpus: path, path:row, path#key or the value of the id column."""
    path: str
    """File within the source, relative, with forward slashes."""
    source: str
    """Where a person finds it: archive or file, and the row if there is one."""
    text: str
    """The characters, unchanged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """Something that is counted and put aside instead of becoming a document."""

    source: str
    """File, or file:row."""
    reason: str
    """Short constant such as `invalid_utf8`; the summary counts by it."""
    detail: str
    """What was observed."""


def too_large(source: str, num_bytes: int) -> Unreadable:
    """Put aside what would not fit into memory beside others."""
    return Unreadable(
        source=source,
        reason="too_large",
        detail=f"{num_bytes} bytes, limit {MAX_DOCUMENT_BYTES}; split it",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadRequest:
    """What every reader is told, whatever its own settings are."""

    corpus: str
    """Name of the corpus, for messages."""
    folder: Path
    """Folder that relative paths of the settings start from."""
    cache: Path
    """Folder for downloads, keyed by sha256."""
    text_column: str
    """Column that holds the text (table readers)."""
    id_column: str | None
    """Column that holds a stable id; None: file and row number (table readers)."""
    select: tuple[str, ...]
    """Patterns of the files to read; empty: the reader's own default."""
    exclude: tuple[str, ...]
    """Patterns of files to leave out."""


class Reader(Protocol):
    """Settings of one kind of source, able to read it."""

    def read(self, request: ReadRequest) -> Iterator[Text | Unreadable]:
        """Yield every text of the source in a fixed order.

        Raises:
            CorpusError: The source is missing, truncated or lacks a named column.
        """
        ...
