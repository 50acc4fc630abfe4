"""From the bytes of a text file to texts: decode, extract, name.

Shared by the readers whose source is files of text, in a folder or in an archive.
"""

from collections.abc import Iterator, Mapping

from quality.documents import CorpusError, Text, Unreadable
from quality.extractors import EXTRACTORS, ExtractionError, Extractor
from quality.path_selection import compile_pattern


def choose_extractor(path: str, extract: Mapping[str, str]) -> Extractor:
    """Find the extractor of the first pattern that matches a relative path; plain if none does."""
    for pattern, name in extract.items():
        if compile_pattern(pattern).fullmatch(path):
            return EXTRACTORS[name]
    return EXTRACTORS["plain"]


def require_extractors(extract: Mapping[str, str]) -> None:
    """Check the `extract` setting of a reader: pattern -> name of an extractor.

    Raises:
        CorpusError: An extractor is unknown or a pattern cannot be read.
    """
    for pattern, name in extract.items():
        compile_pattern(pattern)
        if name not in EXTRACTORS:
            raise CorpusError(
                f"extract {pattern!r}: unknown extractor {name!r}; "
                f"choose one of {sorted(EXTRACTORS)}"
            )


def read_text_file(
    content: bytes, *, path: str, source: str, extract: Mapping[str, str]
) -> Iterator[Text | Unreadable]:
    """Yield the texts of one file.

    Args:
        content: The bytes; UTF-8, a byte order mark is no part of the text.
        path: Relative path, which names the texts.
        source: Where a person finds the file.
        extract: Pattern of paths -> extractor.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Unreadable(source=source, reason="invalid_utf8", detail=str(error))
        return
    if not text.strip():
        yield Unreadable(source=source, reason="empty", detail="no character but white space")
        return
    try:
        for key, extracted in choose_extractor(path, extract)(text):
            identity, found = (f"{path}#{key}", f"{source}#{key}") if key else (path, source)
            if extracted.strip():
                yield Text(identity=identity, path=path, source=found, text=extracted)
            else:
                detail = "the extractor found no text in it"
                yield Unreadable(source=found, reason="nothing_extracted", detail=detail)
    except ExtractionError as error:
        yield Unreadable(source=source, reason="not_extractable", detail=str(error))
