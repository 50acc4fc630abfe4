"""Read a folder of text files, one text per file."""

from collections.abc import Iterator
from dataclasses import field

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from quality.documents import (
    MAX_DOCUMENT_BYTES,
    CorpusError,
    ReadRequest,
    Text,
    Unreadable,
    too_large,
)
from quality.path_selection import find_files
from quality.text_files import read_text_file, require_extractors


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class TextFolderReader:
    """Settings of a corpus with `reader: text_folder`."""

    path: str
    """Folder (default `**/*.txt`) or file, or its URL; relative paths start from the catalogue."""
    extract: dict[str, str] = field(default_factory=dict)
    """Pattern of paths -> extractor; the first match counts; without one a file is plain text."""

    def __post_init__(self) -> None:
        require_extractors(self.extract)

    def read(self, request: ReadRequest) -> Iterator[Text | Unreadable]:
        """Yield the texts of all selected files, sorted by path.

        Raises:
            CorpusError: The folder is missing, nothing is selected, or a file cannot be opened.
        """
        for name, file in find_files(request, self.path, default=("**/*.txt",)):
            try:
                num_bytes = file.num_bytes()
                if num_bytes > MAX_DOCUMENT_BYTES:
                    yield too_large(name, num_bytes)
                    continue
                with file.open() as stream:
                    content = stream.read()
            except OSError as error:
                raise CorpusError(
                    f"corpus {request.corpus!r}: {file} cannot be read ({error}); "
                    "check that it exists and may be read"
                ) from error
            yield from read_text_file(content, path=name, source=name, extract=self.extract)
