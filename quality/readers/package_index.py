"""Read the files of a Python distribution from the user's package index.

So a corpus needs no copy in the repository, every text keeps its licence, and whoever can install
this project can fetch it.
"""

from collections.abc import Iterator
from dataclasses import field
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.archives import TAR_SUFFIXES, ZIP_SUFFIXES, Member, iterate_members
from quality.distributions import Distribution, fetch_distribution
from quality.documents import (
    MAX_DOCUMENT_BYTES,
    CorpusError,
    ReadRequest,
    Text,
    Unreadable,
    too_large,
)
from quality.path_selection import PathSelection
from quality.text_files import read_text_file, require_extractors


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class PackageIndexReader:
    """Settings of a corpus with `reader: package_index`."""

    distribution: Annotated[str, Field(min_length=1)]
    """Name of the project on the index."""
    version: Annotated[str, Field(min_length=1)]
    """Version of the project."""
    filename: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    """File of that version: a source distribution or a wheel."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Checksum of the file, as the index states it."""
    extract: dict[str, str] = field(default_factory=dict)
    """Pattern of paths -> extractor; the first match counts; without one a file is plain text."""

    def __post_init__(self) -> None:
        require_extractors(self.extract)
        if not self.filename.endswith(TAR_SUFFIXES + ZIP_SUFFIXES):
            raise CorpusError(
                f"filename {self.filename!r}: unknown kind of archive; name one that ends in "
                f"one of {', '.join(TAR_SUFFIXES + ZIP_SUFFIXES)}"
            )

    def read(self, request: ReadRequest) -> Iterator[Text | Unreadable]:
        """Yield the texts of all selected members in the order of the archive.

        Raises:
            CorpusError: The file is not found, damaged or not the expected one, `select` is empty,
                or one of its patterns matches nothing.
        """
        if not request.select:
            raise CorpusError(
                f"corpus {request.corpus!r}, field 'select': name the files to read, for example "
                '["docs/**/*.rst"]'
            )
        wanted = Distribution(
            name=self.distribution,
            version=self.version,
            filename=self.filename,
            sha256=self.sha256,
        )
        selection = PathSelection(request.select, request.exclude)
        for member in iterate_members(fetch_distribution(wanted, request.cache)):
            if selection.takes(member.path):
                yield from self._read_member(member)
        selection.require_all_matched(self.filename, corpus=request.corpus)

    def _read_member(self, member: Member) -> Iterator[Text | Unreadable]:
        source = f"{self.filename}/{member.path}"
        if member.read is None:
            detail = "a link or a device, which has no content of its own"
            yield Unreadable(source=source, reason="no_regular_file", detail=detail)
        elif member.num_bytes > MAX_DOCUMENT_BYTES:
            yield too_large(source, member.num_bytes)
        else:
            yield from read_text_file(
                member.read(), path=member.path, source=source, extract=self.extract
            )
