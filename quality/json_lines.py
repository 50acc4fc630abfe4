"""The lines of a JSONL file, plain or compressed, in bounded memory.

Arrow decompresses: unlike the streaming readers of other libraries it tells a truncated file from a
complete one. A line is read in pieces, so one that exceeds `MAX_DOCUMENT_BYTES` is passed over
without ever being held; the lines after it are read as usual.
"""

import io
import json
from collections.abc import Iterator

import pyarrow as pa

from quality.documents import MAX_DOCUMENT_BYTES, CorpusError, Unreadable, too_large
from quality.source_files import SourceFile

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
JSONL_PATTERNS = ("**/*.jsonl", "**/*.jsonl.gz", "**/*.jsonl.zst")
BUFFER_BYTES = 2**20

Record = dict[str, object]


def read_records(file: SourceFile) -> Iterator[tuple[int, Record | Unreadable]]:
    """Yield (number of the line from 1, the object that stands in it); blank lines are no rows.

    What is no JSON object, no UTF-8 or too long comes as `Unreadable`.

    Raises:
        CorpusError: The file cannot be read to its end.
    """
    for row, line in enumerate(_lines(file), start=1):
        source = f"{file.name}:{row}"
        if isinstance(line, int):
            yield row, too_large(source, line)
        elif line.strip():
            yield row, _parse(line, source)


def _lines(file: SourceFile) -> Iterator[bytes | int]:
    """Yield each line, or the length of one that is too long."""
    try:
        with file.open() as stored:
            stream = pa.input_stream(stored, compression=COMPRESSIONS.get(file.suffix))
            with io.BufferedReader(stream, BUFFER_BYTES) as lines:
                while line := lines.readline(MAX_DOCUMENT_BYTES + 1):
                    if len(line) <= MAX_DOCUMENT_BYTES or line.endswith(b"\n"):
                        yield line
                    else:
                        length = len(line)
                        del line
                        yield length + _pass_over(lines)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{file} cannot be read to its end ({error}); fetch it again") from error


def _pass_over(lines: io.BufferedReader) -> int:
    """Go to the end of the line and count its bytes."""
    length = 0
    while piece := lines.readline(BUFFER_BYTES):
        length += len(piece)
        if piece.endswith(b"\n"):
            break
    return length


def _parse(line: bytes, source: str) -> Record | Unreadable:
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Unreadable(source=source, reason="invalid_utf8", detail=str(error))
    except (json.JSONDecodeError, RecursionError) as error:
        return Unreadable(source=source, reason="invalid_json", detail=str(error))
    if not isinstance(record, dict):
        detail = f"a JSON {type(record).__name__} instead of an object"
        return Unreadable(source=source, reason="no_object", detail=detail)
    return record
