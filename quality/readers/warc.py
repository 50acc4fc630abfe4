"""Read the texts of web archives: WET files, and text records of WARC files, through FastWARC.

A WET file holds the text that was extracted from each page, as records of type `conversion`
(ISO 28500:2017, clause 6.6). Records of type `resource` with a text type are read too. Responses
hold whole HTML pages: extracting their text is another tool's work, so they are passed over.

FastWARC takes a truncated archive for a shorter one. Arrow decompresses here, which tells; and an
archive that was never compressed must end as a record does, with two line breaks.
"""

from collections.abc import Iterator
from typing import IO, BinaryIO, cast

import pyarrow as pa
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
from quality.source_files import SourceFile

PATTERNS = ("**/*.wet", "**/*.wet.gz", "**/*.warc", "**/*.warc.gz")
RECORD_END = b"\r\n\r\n"


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class WarcReader:
    """Settings of a corpus with `reader: warc`."""

    path: str
    """File or folder (`.wet`, `.warc`, plain or .gz), or its URL; relative paths start from the
    catalogue's folder."""

    def read(self, request: ReadRequest) -> Iterator[Text | Unreadable]:
        """Yield one text per record, files sorted by path; named by the record's own id.

        Raises:
            CorpusError: A file is missing, truncated or no archive.
        """
        for name, file in find_files(request, self.path, default=PATTERNS):
            try:
                yield from _read_archive(file, name)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise CorpusError(
                    f"corpus {request.corpus!r}: {file} is no complete web archive ({error}); "
                    "fetch it again"
                ) from error


class _Stream:
    """What FastWARC reads: counts, remembers the end, and keeps an error for later.

    FastWARC turns an error of its stream into a panic, so the stream ends instead.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = 0
        self._error: BaseException | None = None
        self._end = b""

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes; nothing more after an error."""
        try:
            content = b"" if self._error is not None else self._stream.read(size)
        except (pa.ArrowException, OSError) as error:
            self._error, content = error, b""
        self._position += len(content)
        self._end = (self._end + content[-len(RECORD_END) :])[-len(RECORD_END) :]
        return content

    def tell(self) -> int:
        """Count the bytes read."""
        return self._position

    def require_end(self) -> None:
        """Check that all was read and that it ends as a record does.

        Raises:
            ValueError: It does not.
            OSError: The file could not be read to its end.
        """
        if self._error is not None:
            raise OSError(str(self._error)) from self._error
        if self._end != RECORD_END:
            raise ValueError("it breaks off within a record")


def _read_archive(file: SourceFile, name: str) -> Iterator[Text | Unreadable]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    compression = "gzip" if file.suffix == ".gz" else None
    kinds = WarcRecordType.conversion | WarcRecordType.resource
    with file.open() as stored, pa.input_stream(stored, compression=compression) as opened:
        stream = _Stream(opened)
        archive = cast(BinaryIO, stream)  # FastWARC asks no more of it than read and tell
        for record in ArchiveIterator(archive, record_types=kinds, parse_http=False):
            headers = {str(key).lower(): str(value) for key, value in record.headers.items()}
            if not headers.get("content-type", "").startswith("text/"):
                continue
            source = f"{name}#{record.record_id}"
            num_bytes = int(headers.get("content-length", -1))  # cut off, if it is not there
            if num_bytes > MAX_DOCUMENT_BYTES:
                yield too_large(source, num_bytes)
                continue
            content = record.reader.read()
            if len(content) != num_bytes:
                stream.require_end()
                raise ValueError(
                    f"record {record.record_id} has {len(content)} of {num_bytes} bytes"
                )
            yield _read_record(
                content, headers, path=name, source=source, key=str(record.record_id)
            )
        stream.require_end()


def _read_record(
    content: bytes, headers: dict[str, str], *, path: str, source: str, key: str
) -> Text | Unreadable:
    found = f"{source} {headers.get('warc-target-uri', '')}".rstrip()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Unreadable(source=found, reason="invalid_utf8", detail=str(error))
    if not text.strip():
        return Unreadable(source=found, reason="empty", detail="no character but white space")
    return Text(identity=key.strip("<>"), path=path, source=found, text=text)
