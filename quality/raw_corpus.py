"""Write a corpus as it was read: documents, what could not be read, and the counts.

    documents.parquet    id, text, source, licence, language, domain, metadata (JSON); all strings
    unreadable.parquet   source, reason, detail
    summary.json         the counts

A document is named `<corpus>/<text>` or, when its text was cut, `<corpus>/<text>#<nnnn>`. Its
metadata say `path`, `segment` (null if not cut) and `group`: the name of the whole text, so that
held-out selection can keep together what belongs together.

Memory is bounded by one batch of text and by 20 bytes of hash and place for each name.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from quality.catalogue import Corpus
from quality.documents import CorpusError, Text, Unreadable
from quality.identity_index import IdentityIndex
from quality.segments import split_text

DOCUMENT_COLUMNS = ("id", "text", "source", "licence", "language", "domain", "metadata")
UNREADABLE_COLUMNS = ("source", "reason", "detail")
EMPTY = ("empty", "nothing_extracted")
"""Reasons that tell of no damage: there was no text to begin with."""
BATCH_ROWS = 1024
BATCH_BYTES = 8 * 2**20

Progress = Callable[[int, int | None], None]
Row = dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class RawSummary:
    """The counts of one corpus; also in `summary.json`."""

    corpus: str
    """Name of the corpus."""
    num_texts: int
    """Texts that became documents: files, rows or conversations."""
    num_documents: int
    """Documents after cutting."""
    num_bytes: int
    """UTF-8 bytes of all documents."""
    num_unreadable: int
    """Things put aside in `unreadable.parquet`."""
    unreadable: Mapping[str, int]
    """Number of things put aside by reason."""
    num_damaged: int
    """Of the things put aside, those that are not merely empty."""
    num_left_out: int
    """Readable texts that `sample_share` leaves out; they are not in any table."""
    num_left_out_bytes: int
    """UTF-8 bytes of the texts that `sample_share` leaves out."""


def write_raw_corpus(
    corpus: Corpus, out: Path, *, cache: Path, progress: Progress | None = None
) -> RawSummary:
    """Read a corpus from its source and write its three files.

    Args:
        corpus: Entry of the catalogue.
        out: Existing folder.
        cache: Folder for downloads, keyed by sha256, shared by all corpora.
        progress: Called with (documents so far, None) after each batch.

    Raises:
        CorpusError: The source cannot be read, or no document came out of it.
        OSError: A file cannot be written; names it.
    """
    intake = _Intake(corpus, cache)
    documents = out / "documents.parquet"
    with (
        _TableWriter(documents, DOCUMENT_COLUMNS) as kept,
        _TableWriter(out / "unreadable.parquet", UNREADABLE_COLUMNS) as aside,
    ):
        for item in intake.items():
            if isinstance(item, Unreadable):
                aside.add({"source": item.source, "reason": item.reason, "detail": item.detail})
            elif kept.add(item) and progress is not None:
                progress(kept.num_rows, None)
    summary = intake.summary()
    if summary.num_documents == 0:
        raise CorpusError(
            f"corpus {corpus.name!r}: no readable document in {dict(corpus.source)}; put aside: "
            f"{dict(summary.unreadable) or 'nothing'}, left out by sample_share: "
            f"{summary.num_left_out}; check 'source', 'select', 'exclude' and 'text_column'"
        )
    if progress is not None:
        progress(summary.num_documents, None)
    content = json.dumps(asdict(summary), sort_keys=True, indent=1)
    (out / "summary.json").write_text(content + "\n", encoding="utf-8")
    return summary


class _Intake:
    """Turns what a reader yields into rows, and counts."""

    def __init__(self, corpus: Corpus, cache: Path) -> None:
        self._corpus = corpus
        self._request = corpus.request(cache)
        self._seen = IdentityIndex()
        self._reasons: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def items(self) -> Iterator[Row | Unreadable]:
        """Yield one row per document and one `Unreadable` per thing put aside."""
        for chunk in _in_chunks(self._corpus.make_reader().read(self._request)):
            for item in self._refuse_some(chunk):
                if isinstance(item, Unreadable):
                    self._reasons[item.reason] += 1
                    yield item
                elif self._is_sampled(item):
                    yield from self._documents(item)

    def _refuse_some(self, chunk: list[Text | Unreadable]) -> Iterator[Text | Unreadable]:
        """Put aside what cannot be written as UTF-8, and names that were there before."""
        checked = [_refuse_surrogates(item) for item in chunk]
        named = [item.identity for item in checked if isinstance(item, Text)]
        repeated = iter(self._seen.add(named))
        for item in checked:
            if isinstance(item, Text) and next(repeated):
                detail = f"the id {item.identity!r} is taken"
                yield Unreadable(source=item.source, reason="duplicate_id", detail=detail)
            else:
                yield item

    def _is_sampled(self, text: Text) -> bool:
        name = f"{self._corpus.name}/{text.identity}".encode()
        draw = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") / 2**64
        if draw < self._corpus.sample_share:
            return True
        self._counts["left_out"] += 1
        self._counts["left_out_bytes"] += len(text.text.encode())
        return False

    def _documents(self, text: Text) -> Iterator[Row]:
        corpus = self._corpus
        segments = [text.text]
        if corpus.segment_chars is not None and len(text.text) > corpus.segment_chars:
            segments = [s for s in split_text(text.text, corpus.segment_chars) if s.strip()]
        group = f"{corpus.name}/{text.identity}"
        self._counts["texts"] += 1
        for number, segment in enumerate(segments):
            cut = number if len(segments) > 1 else None
            metadata = {"group": group, "path": text.path, "segment": cut}
            self._counts["documents"] += 1
            self._counts["bytes"] += len(segment.encode())
            yield {
                "id": group if cut is None else f"{group}#{cut:04d}",
                "text": segment,
                "source": text.source,
                "licence": corpus.licence,
                "language": corpus.language,
                "domain": corpus.domain,
                "metadata": json.dumps(metadata, sort_keys=True, ensure_ascii=False),
            }

    def summary(self) -> RawSummary:
        """Give the counts so far."""
        return RawSummary(
            corpus=self._corpus.name,
            num_texts=self._counts["texts"],
            num_documents=self._counts["documents"],
            num_bytes=self._counts["bytes"],
            num_unreadable=self._reasons.total(),
            unreadable=dict(sorted(self._reasons.items())),
            num_damaged=sum(n for reason, n in self._reasons.items() if reason not in EMPTY),
            num_left_out=self._counts["left_out"],
            num_left_out_bytes=self._counts["left_out_bytes"],
        )


def _in_chunks(items: Iterator[Text | Unreadable]) -> Iterator[list[Text | Unreadable]]:
    """Collect what a reader yields into lists of bounded length and size."""
    chunk: list[Text | Unreadable] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item.text) if isinstance(item, Text) else 0
        if len(chunk) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk


def _refuse_surrogates(item: Text | Unreadable) -> Text | Unreadable:
    """Put half of a surrogate pair aside, which JSON can spell and UTF-8 cannot."""
    if isinstance(item, Unreadable):
        return item
    try:
        item.identity.encode()
        item.text.encode()
    except UnicodeEncodeError as error:
        source = item.source.encode(errors="backslashreplace").decode()
        return Unreadable(source=source, reason="invalid_unicode", detail=str(error))
    return item


class _TableWriter:
    """A Parquet file of string columns, written one row group at a time."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path = path
        self._schema = pa.schema([pa.field(column, pa.large_string()) for column in columns])
        with self._naming_the_file():
            self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Row] = []
        self._pending_bytes = 0
        self.num_rows = 0

    def __enter__(self) -> "_TableWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            with suppress(OSError):  # the first error is the one to report
                self._writer.close()
            return
        self._flush()
        with self._naming_the_file():
            self._writer.close()

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(
                f"{self._path} cannot be written ({error}); free space or correct the folder"
            ) from error

    def add(self, row: Row) -> bool:
        """Take one row; True when that filled a row group, which is then written."""
        self._rows.append(row)
        self._pending_bytes += sum(map(len, row.values()))
        if len(self._rows) < BATCH_ROWS and self._pending_bytes < BATCH_BYTES:
            return False
        self._flush()
        return True

    def _flush(self) -> None:
        if self._rows:
            with self._naming_the_file():
                self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self.num_rows += len(self._rows)
            self._rows = []
            self._pending_bytes = 0
