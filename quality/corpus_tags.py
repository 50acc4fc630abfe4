"""Skill tags of the cleaned documents of one corpus, by one tagger or by two that are compared."""

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from quality.document_batches import RAW_COLUMNS, read_batches
from quality.tagger_comparison import TaggerComparison, compare_taggers
from quality.taggers import TAGGERS, Tagger, TaggerSettings
from quality.taggers.interface import TAG_COLUMNS

TAGS_FILE, SUMMARY, COMPARISON = "tags.parquet", "summary.json", "comparison.json"
COLUMNS = {"id": pl.String, "skill": pl.String, "confidence": pl.Float64, "tagger": pl.String}
"""Columns of a table of skill tags: a row per document and tagger; null: no opinion."""
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class TaggerChoice:
    """One tagger and its settings."""

    tagger: str
    """Key of `TAGGERS`."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings of that kind."""

    def __post_init__(self) -> None:
        """Refuse an unknown tagger or setting."""
        self.make()

    def make(self) -> TaggerSettings:
        """Make the settings.

        Raises:
            ValueError: The tagger or one of its settings is unknown or wrong.
        """
        if self.tagger not in TAGGERS:
            raise ValueError(f"unknown tagger {self.tagger!r}; choose one of {sorted(TAGGERS)}")
        try:
            return TypeAdapter(TAGGERS[self.tagger]).validate_python(dict(self.settings))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in (self.tagger, *first["loc"]))
            raise ValueError(f"settings of {place}: {first['msg']}") from error


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class TagChoice:
    """How the documents of a preset are tagged."""

    by: TaggerChoice
    """The tagger whose tags count."""
    corpora: Mapping[str, TaggerChoice] = field(default_factory=dict)
    """Corpus -> the tagger that counts there instead."""
    beside: TaggerChoice | None = None
    """A second opinion, which is compared and does not count. None: none."""
    fit_rows: Annotated[int, Field(ge=1)] = 2000
    """Most documents of each corpus that a tagger learns from."""
    min_coverage: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Least share of a corpus's documents with a tag; below it the gate warns."""

    def __post_init__(self) -> None:
        """Refuse a second opinion of the same kind: rows of a table are told apart by it."""
        kinds = {choice.tagger for choice in (self.by, *self.corpora.values())}
        if self.beside is not None and self.beside.tagger in kinds:
            raise ValueError(f"beside: {self.beside.tagger!r} counts already; name another kind")

    def counting(self, corpus: str) -> TaggerChoice:
        """The tagger that counts in a corpus."""
        return self.corpora.get(corpus, self.by)


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class TagSummary:
    """What came of it."""

    cleaned_version: str
    """Data version of the cleaned shards."""
    num_documents: int
    """Documents, each tagged or not."""
    tagger: str
    """The kind that counts."""
    skills: dict[str, int]
    """Skill by the tagger that counts -> documents, commonest first; empty: not tagged."""
    labels: tuple[str, ...]
    """Skills that the tagger may give; none: it takes them from the data."""


def write_tags(
    cleaned: Path, taggers: Mapping[str, Tagger], out: Path, *, counting: str, cleaned_version: str
) -> tuple[TagSummary, TaggerComparison | None]:
    """Tag one corpus: `tags.parquet`, `summary.json`, and `comparison.json` if there are two.

    Args:
        cleaned: Folder of its cleaned shards.
        taggers: Kind -> fitted tagger, one or two.
        out: Existing folder, filled here.
        counting: The kind that counts.
        cleaned_version: Data version of the shards.

    Raises:
        BadDocuments: The table is missing, damaged or lacks a column.
        ValueError: A tagger lacks a column.
    """
    answers = {name: [pl.DataFrame(schema=TAG_COLUMNS)] for name in taggers}
    for batch in read_batches(cleaned, RAW_COLUMNS):
        for name, tagger in taggers.items():
            answers[name].append(tagger.tag(batch))
    tables = {name: pl.concat(parts) for name, parts in answers.items()}
    tags = pl.concat(
        table.select("id", pl.col("tag").alias("skill"), "confidence", pl.lit(name).alias("tagger"))
        for name, table in tables.items()
    )
    tags.write_parquet(out / TAGS_FILE, compression="zstd")
    counts = tables[counting].group_by(pl.col("tag").fill_null("")).len("documents")
    summary = TagSummary(
        cleaned_version=cleaned_version,
        num_documents=tables[counting].height,
        tagger=counting,
        skills=dict(counts.sort("documents", "tag", descending=[True, False]).iter_rows()),
        labels=taggers[counting].labels if TAGGERS[counting] is not TAGGERS["metadata"] else (),
    )
    (out / SUMMARY).write_text(json.dumps(asdict(summary), indent=1) + "\n")
    other = next((name for name in taggers if name != counting), None)
    if other is None or tables[counting].is_empty():
        return summary, None
    compared = compare_taggers(tables[counting], tables[other])
    told = {"first": counting, "second": other, **compared.to_json()}
    (out / COMPARISON).write_text(json.dumps(told, sort_keys=True, indent=1) + "\n")
    return summary, compared


def read_skills(folder: Path) -> dict[str, str | None]:
    """Document -> skill by the tagger that counts, None: not tagged.

    Raises:
        OSError: A file is missing.
    """
    counting = json.loads((folder / SUMMARY).read_text())["tagger"]
    tags = pl.read_parquet(folder / TAGS_FILE).filter(pl.col("tagger") == counting)
    return dict(tags.select("id", "skill").iter_rows())
