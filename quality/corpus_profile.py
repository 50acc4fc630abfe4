"""Profile of a raw corpus: what is in it, before anything is changed or dropped.

Token estimate: UTF-8 bytes / 4, a rule of thumb for byte-level BPE vocabularies of some ten
thousand entries on English; other scripts and small vocabularies need more tokens. It serves to
plan; the tokenizer's own count is in the manifest of the token shards.
Quantiles are the smallest length that at least the named share of documents does not exceed, so
each is the length of some document.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quality.dedup.exact import text_hash
from quality.document_batches import BadDocuments, read_batches, require_documents
from quality.filters.declared_language import DECLARED, IS_DECLARED
from quality.filters.length import NUM_CHARS, NUM_WORDS
from quality.identity_index import IdentityIndex
from quality.languages import identify_languages
from quality.normalise import has_control_characters, has_mojibake

PROFILE = "profile.json"
UNREADABLE = "unreadable.parquet"
BYTES_PER_TOKEN = 4
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
HISTOGRAM_STEP = 10**0.25
"""Ratio of neighbouring bin edges: four bins per power of ten."""

ENCODING_DEFECTS: dict[str, Callable[[str], bool]] = {
    "replacement_character": lambda text: "\ufffd" in text,
    "mojibake": has_mojibake,
    "control_characters": has_control_characters,
}
"""Fields of `EncodingDefects` -> whether a text shows it."""

_COLUMNS = ("id", "text", "language")


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageShare:
    """What was found of one language."""

    num_documents: int
    """Documents in which it is the most probable one."""
    num_chars: int
    """Their characters."""
    mean_confidence: float
    """Mean probability that the detector gives it in these documents, in [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodingDefects:
    """Documents with at least one sign of damage; one document may show several."""

    replacement_character: int
    """U+FFFD: bytes were lost in decoding."""
    mojibake: int
    """A line that looks like UTF-8 read in a one-byte encoding; a suspicion, see ftfy."""
    control_characters: int
    """Control characters other than line breaks and tabs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusProfile:
    """Counts and distributions of one raw corpus."""

    num_documents: int
    """> 0."""
    num_bytes: int
    """UTF-8."""
    num_chars: int
    """Unicode code points."""
    num_words: int
    """Runs of characters between white space."""
    estimated_tokens: int
    """Bytes / 4, rounded."""
    length_quantiles_chars: dict[str, int]
    """Share of documents, as a decimal -> length in characters."""
    length_histogram_edges_chars: tuple[float, ...]
    """Bin edges, log-spaced, one more than bins; a bin includes its lower edge. Empty documents are
    in no bin."""
    length_histogram_documents: tuple[int, ...]
    """Documents per bin."""
    num_empty_documents: int
    """Documents without a character."""
    languages: dict[str, LanguageShare]
    """Detected language -> share, most characters first."""
    declared_languages: dict[str, int]
    """Language that the corpus declares -> documents."""
    declared_share: float | None
    """Share of characters detected as the declared language; None if none is declared."""
    num_exact_copies: int
    """Documents whose text, up to case and white space, occurs earlier in the corpus."""
    exact_copy_share: float
    """`num_exact_copies` / `num_documents`, in [0, 1)."""
    encoding_defects: EncodingDefects
    """Damage seen."""
    unreadable: dict[str, int]
    """Reason -> sources that could not be read at all."""


def profile_corpus(
    raw: Path, *, progress: Callable[[int, int | None], None] | None = None
) -> CorpusProfile:
    """Measure a raw corpus, in batches.

    Args:
        raw: Folder with `documents.parquet` and `unreadable.parquet`.
        progress: Told documents done and documents in all, after each batch.

    Raises:
        BadDocuments: A table is missing or damaged, or the corpus has no documents.
    """
    unreadable = _count_unreadable(raw)
    total = require_documents(raw, _COLUMNS)
    tally = CorpusTally()
    for batch in read_batches(raw, _COLUMNS):
        tally.add(batch)
        if progress is not None:
            progress(tally.num_documents, total)
    return tally.profile(unreadable)


def write_profile(profile: CorpusProfile, out: Path) -> None:
    """Write `profile.json` into an existing folder."""
    content = json.dumps(asdict(profile), sort_keys=True, indent=1)
    (out / PROFILE).write_text(content + "\n", encoding="utf-8")


class CorpusTally:
    """Running totals over the batches of one corpus; 24 bytes a document."""

    def __init__(self) -> None:
        self.num_documents = 0
        self._num_bytes = self._num_words = self._declared_chars = self._agreeing_chars = 0
        self._lengths: list[NDArray[np.int64]] = []
        self._texts = IdentityIndex()
        self._documents_of: Counter[str] = Counter()
        self._chars_of: Counter[str] = Counter()
        self._confidence_of: defaultdict[str, float] = defaultdict(float)
        self._declared: Counter[str] = Counter()
        self._defects: Counter[str] = Counter()

    def add(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Measure one batch.

        Args:
            batch: Columns `text` and `language` (declared; empty for none), others come along.

        Returns:
            The batch with what was found of each document: `num_chars`, `num_words`, `num_bytes`,
            `detected`, `confidence`, and true or false: `is_copy` (of an earlier text),
            `replacement_character`, `mojibake`, `control_characters`.
        """
        texts = batch["text"].to_list()
        codes, confidences = identify_languages(texts)
        measured = batch.with_columns(
            pl.Series("detected", codes, dtype=pl.String),
            pl.Series("confidence", confidences, dtype=pl.Float64),
            pl.Series("is_copy", self._texts.add([text_hash(text) for text in texts])),
            *(
                pl.Series(name, [shows(text) for text in texts], dtype=pl.Boolean)
                for name, shows in ENCODING_DEFECTS.items()
            ),
            num_chars=NUM_CHARS,
            num_words=NUM_WORDS,
            num_bytes=pl.col("text").str.len_bytes(),
        )
        self.num_documents += batch.height
        self._num_bytes += int(measured["num_bytes"].sum())
        self._num_words += int(measured["num_words"].sum())
        self._lengths.append(measured["num_chars"].to_numpy())
        self._declared.update(batch["language"].fill_null("").to_list())
        for code, chars, confidence in measured.select(
            "detected", "num_chars", "confidence"
        ).iter_rows():
            self._documents_of[code] += 1
            self._chars_of[code] += chars
            self._confidence_of[code] += confidence
        declared = measured.filter(IS_DECLARED)
        agreeing = declared.filter(pl.col("detected") == DECLARED)
        self._declared_chars += int(declared["num_chars"].sum())
        self._agreeing_chars += int(agreeing["num_chars"].sum())
        for name in ENCODING_DEFECTS:
            self._defects[name] += int(measured[name].sum())
        return measured

    def profile(self, unreadable: dict[str, int]) -> CorpusProfile:
        """Close the account."""
        lengths = np.sort(np.concatenate(self._lengths))
        edges, bins = _histogram(lengths)
        num_copies = self.num_documents - len(self._texts)
        by_chars = sorted(self._chars_of, key=lambda code: (-self._chars_of[code], code))
        return CorpusProfile(
            num_documents=self.num_documents,
            num_bytes=self._num_bytes,
            num_chars=int(lengths.sum()),
            num_words=self._num_words,
            estimated_tokens=round(self._num_bytes / BYTES_PER_TOKEN),
            length_quantiles_chars={
                f"{share:g}": int(np.quantile(lengths, share, method="inverted_cdf"))
                for share in QUANTILES
            },
            length_histogram_edges_chars=edges,
            length_histogram_documents=bins,
            num_empty_documents=int((lengths == 0).sum()),
            languages={
                code: LanguageShare(
                    num_documents=self._documents_of[code],
                    num_chars=self._chars_of[code],
                    mean_confidence=self._confidence_of[code] / self._documents_of[code],
                )
                for code in by_chars
            },
            declared_languages=dict(sorted(self._declared.items())),
            declared_share=(
                self._agreeing_chars / self._declared_chars if self._declared_chars else None
            ),
            num_exact_copies=num_copies,
            exact_copy_share=num_copies / self.num_documents,
            encoding_defects=EncodingDefects(
                replacement_character=self._defects["replacement_character"],
                mojibake=self._defects["mojibake"],
                control_characters=self._defects["control_characters"],
            ),
            unreadable=unreadable,
        )


def _histogram(lengths: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Count lengths >= 1 in bins from 1 to beyond the longest; edges grow by `HISTOGRAM_STEP`."""
    num_bins = 1
    while HISTOGRAM_STEP**num_bins <= lengths[-1]:
        num_bins += 1
    edges = HISTOGRAM_STEP ** np.arange(num_bins + 1)
    counts, _ = np.histogram(lengths, bins=edges)
    return tuple(round(float(edge), 3) for edge in edges), tuple(int(count) for count in counts)


def _count_unreadable(raw: Path) -> dict[str, int]:
    path = raw / UNREADABLE
    if not path.is_file():
        raise BadDocuments(f"{path}: no such file; materialise the raw corpus again")
    counts = pl.read_parquet(path, columns=["reason"])["reason"].value_counts().sort("reason")
    return dict(counts.iter_rows())
