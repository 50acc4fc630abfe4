"""Contamination of training text: which documents hold what models are measured with.

A training document leaks an evaluation item if it holds enough of the item's n-grams of words:

    overlap = n-grams of the item that the document holds / n-grams of the item
    leak    iff  overlap >= heldout_overlap    for a document of a held-out set
            iff  overlap > 0                   for an item of an evaluation that the user names

Every overlap is reported, leaks are left out of training. What counts as an n-gram, and its source,
is in quality.decontamination. Held-out sets come from the corpora themselves, whose documents share
notices, licence clauses and interface texts: of the licence texts of our demo 30 % share thirteen
words with some held-out licence, but 0.3 % hold half of one (docs/log.md). So a document is judged
by how much of the held-out one can be learnt from it: half, about as in Lambert et al. 2024,
"Tulu 3: Pushing Frontiers in Open Language Model Post-Training", arXiv 2411.15124, section 3.2
(there 8-grams). Deviation: documents are judged one by one; several that hold different halves of
one item stay. Near-copies as a whole are what deduplication and the choice of the held-out sets
take care of.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, field
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
from polars.exceptions import PolarsError
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.decontamination import MATCHES, DecontaminationConfig, EvaluationIndex
from quality.document_batches import BATCH_ROWS, BadDocuments, read_batches
from quality.documents_on_disk import open_documents

MATCHES_FILE, EVALUATIONS_FILE, SUMMARY = "matches.parquet", "evaluations.parquet", "summary.json"
KEPT, CONTAMINATED = "kept", "contaminated"
REPORT = (
    {"id": pl.String}
    | {name: kind for name, kind in MATCHES.items() if name != "row"}
    | {"kind": pl.String}
)
"""Columns of the report: a row per document and item that share an n-gram; `kind`: kept, or
contaminated, which means that the document leaks the item."""
EVALUATION_COLUMNS = {
    "evaluation": pl.String,
    "items": pl.Int64,
    "not_sought": pl.Int64,
    "canaries_missed": pl.Int64,
    "found": pl.Int64,
    "documents": pl.Int64,
    "contaminated": pl.Int64,
    "contaminated_share": pl.Float64,
    "most_overlap_left": pl.Float64,
    "least_overlap_removed": pl.Float64,
}
"""Columns of the table of evaluations: items, those with nothing to look for, those that were not
found in their own text; items found, documents they were found in, documents that leak one and
their share of all; the limits of the overlaps on both sides, null where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class ContaminationConfig:
    """What is looked for, and what leaks."""

    search: DecontaminationConfig = DecontaminationConfig()
    """What counts as an overlap."""
    heldout_overlap: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Least share of a held-out document's n-grams in a training document that leaks it."""
    evaluations: Mapping[str, Path] = field(default_factory=dict)
    """Name -> Parquet or JSONL file or folder of items with a column `text`; a path in a preset is
    relative to its file. One shared n-gram leaks an item."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class ContaminationSummary:
    """What was found in one corpus."""

    cleaned_version: str
    """Data version of the cleaned shards that were searched."""
    heldout_version: str
    """Data version of the held-out set of its domain, whose documents were not searched."""
    num_documents: int
    """Training documents searched."""
    num_chars: int
    """Their characters."""
    overlapping: int
    """Documents that share an n-gram with some item."""
    contaminated: int
    """Documents that leak an item."""
    contaminated_chars: int
    """Their characters."""


class LeakSearch:
    """Looks for the items of held-out sets and of the user's evaluations."""

    def __init__(self, heldout: Mapping[str, Path], config: ContaminationConfig) -> None:
        """Read all items.

        Args:
            heldout: Domain -> folder of its held-out set.
            config: What leaks, and the user's evaluations.

        Raises:
            BadDocuments: A held-out set is missing or damaged.
            CorpusError: An evaluation cannot be read.
        """
        self._config = config
        self._heldout = tuple(heldout_name(domain) for domain in heldout)
        self._texts: dict[str, list[pl.Series]] = {}
        self._index = EvaluationIndex(self._items(heldout), config.search)

    @property
    def evaluations(self) -> tuple[str, ...]:
        """Names: held-out sets, then the user's evaluations."""
        return (*self._heldout, *self._config.evaluations)

    @property
    def items(self) -> pl.DataFrame:
        """Every item, columns `evaluation`, `item_id`, `item_ngrams`."""
        return self._index.items

    def find(self, texts: pl.Series) -> pl.DataFrame:
        """Overlaps of texts with items: `MATCHES` and `kind`."""
        found = self._index.find(texts)
        leaks = (pl.col("overlap") >= self._config.heldout_overlap) | ~pl.col("evaluation").is_in(
            self._heldout
        )
        return found.with_columns(
            kind=pl.when(leaks).then(pl.lit(CONTAMINATED)).otherwise(pl.lit(KEPT))
        )

    def missed_canaries(self) -> dict[str, int]:
        """Evaluation -> items with n-grams that are not found in their own text: 0 if all is well.

        Each item is its own planted leak: a search that does not find it would find nothing else.
        """
        missed = {}
        for name in self.evaluations:
            texts = pl.concat([pl.Series("text", [], dtype=pl.String), *self._texts.get(name, ())])
            mine = self.items.filter(pl.col("evaluation") == name).with_row_index("row")
            found = self._index.find(texts).filter(pl.col("overlap") == 1.0)
            found = found.filter(pl.col("evaluation") == name)
            itself = mine.with_columns(pl.col("row").cast(pl.Int64)).join(
                found, on=["row", "item_id"], how="semi"
            )
            missed[name] = mine.filter(pl.col("item_ngrams") > 0).height - itself.height
        return missed

    def _items(self, heldout: Mapping[str, Path]) -> Iterator[tuple[str, pl.Series, pl.Series]]:
        for domain, folder in heldout.items():
            for batch in read_batches(folder, ("id", "text")):
                yield self._keep(heldout_name(domain), batch["id"], batch["text"])
        for name, path in self._config.evaluations.items():
            for items in open_documents(str(path)).batches():
                yield self._keep(name, items.ids, items.texts)

    def _keep(
        self, name: str, ids: pl.Series, texts: pl.Series
    ) -> tuple[str, pl.Series, pl.Series]:
        self._texts.setdefault(name, []).append(texts.alias("text"))
        return name, ids, texts


def heldout_name(domain: str) -> str:
    """Name of a held-out set among the evaluations."""
    return f"held-out {domain}"


def report_contamination(
    documents: Iterable[tuple[str, str]],
    search: LeakSearch,
    out: Path,
    *,
    cleaned_version: str,
    heldout_version: str,
) -> ContaminationSummary:
    """Write the report on one corpus: `matches.parquet`, `evaluations.parquet`, `summary.json`.

    Args:
        documents: Id and text of every document that would be trained on.
        search: What to look for.
        out: Existing folder, filled here.
        cleaned_version: Data version of the cleaned shards that the documents come from.
        heldout_version: Data version of the held-out set that they are not in.
    """
    parts = [pl.DataFrame(schema=REPORT)]
    num_documents = num_chars = contaminated_chars = 0
    for ids, texts in _batches(documents):
        found = search.find(texts)
        lengths = texts.str.len_chars()
        leaking = found.filter(pl.col("kind") == CONTAMINATED)["row"].unique()
        contaminated_chars += int(lengths.gather(leaking).sum())
        parts.append(found.with_columns(id=ids.gather(found["row"])).select(list(REPORT)))
        num_documents += len(ids)
        num_chars += int(lengths.sum())
    matches = pl.concat(parts)
    matches.write_parquet(out / MATCHES_FILE, compression="zstd")
    _by_evaluation(matches, search, num_documents).write_parquet(
        out / EVALUATIONS_FILE, compression="zstd"
    )
    summary = ContaminationSummary(
        cleaned_version=cleaned_version,
        heldout_version=heldout_version,
        num_documents=num_documents,
        num_chars=num_chars,
        overlapping=matches["id"].n_unique(),
        contaminated=matches.filter(pl.col("kind") == CONTAMINATED)["id"].n_unique(),
        contaminated_chars=contaminated_chars,
    )
    (out / SUMMARY).write_text(json.dumps(asdict(summary), sort_keys=True, indent=1) + "\n")
    return summary


def _batches(documents: Iterable[tuple[str, str]]) -> Iterator[tuple[pl.Series, pl.Series]]:
    stream = iter(documents)
    while True:
        batch = [document for _, document in zip(range(BATCH_ROWS), stream, strict=False)]
        if not batch:
            return
        ids, texts = zip(*batch, strict=True)
        yield pl.Series("id", ids, dtype=pl.String), pl.Series("text", texts, dtype=pl.String)


def _by_evaluation(matches: pl.DataFrame, search: LeakSearch, num_documents: int) -> pl.DataFrame:
    leaks = pl.col("kind") == CONTAMINATED
    items = search.items.group_by("evaluation").agg(
        items=pl.len().cast(pl.Int64), not_sought=(pl.col("item_ngrams") == 0).sum().cast(pl.Int64)
    )
    found = matches.group_by("evaluation").agg(
        found=pl.col("item_id").n_unique().cast(pl.Int64),
        documents=pl.col("id").n_unique().cast(pl.Int64),
        contaminated=pl.col("id").filter(leaks).n_unique().cast(pl.Int64),
        most_overlap_left=pl.col("overlap").filter(~leaks).max(),
        least_overlap_removed=pl.col("overlap").filter(leaks).min(),
    )
    missed = search.missed_canaries()
    table = (
        pl.DataFrame(
            {"evaluation": list(missed), "canaries_missed": list(missed.values())},
            schema={"evaluation": pl.String, "canaries_missed": pl.Int64},
        )
        .join(items, on="evaluation", how="left", maintain_order="left")
        .join(found, on="evaluation", how="left", maintain_order="left")
    )
    counts = ("items", "not_sought", "found", "documents", "contaminated")
    share = pl.col("contaminated") / max(num_documents, 1)
    return (
        table.with_columns(pl.col(name).fill_null(0) for name in counts)
        .with_columns(contaminated_share=share)
        .select(list(EVALUATION_COLUMNS))
    )


def read_contaminated(folder: Path) -> frozenset[str]:
    """Ids of the documents of one corpus that leak an item.

    Raises:
        BadDocuments: The report is missing, damaged, or lacks a column.
    """
    path = folder / MATCHES_FILE
    try:
        matches = pl.read_parquet(path, columns=["id", "kind"])
    except (OSError, PolarsError) as error:
        raise BadDocuments(
            f"{path}: no complete report of contamination ({error}); materialise it again"
        ) from error
    return frozenset(matches.filter(pl.col("kind") == CONTAMINATED)["id"])
