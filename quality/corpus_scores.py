"""Quality scores of the cleaned documents of one corpus, by a model of the preset's own choice.

The reference and the background are corpora of the catalogue, so documents that the model learns
from are scored too, and a model flatters what it has learnt. So two models are fitted, each on the
half of the texts that a hash assigns to it, and every document is scored by the one of the other
half (cross-fitting; Chernozhukov et al. 2018, "Double/debiased machine learning", section 3).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.document_batches import BadDocuments, read_batches
from quality.quality_score import SCORE, QualityModel, Separation, fit_quality_model

SCORES_FILE, SUMMARY = "scores.parquet", "summary.json"
COLUMNS = {"id": pl.String, SCORE: pl.Float64, "num_bytes": pl.Int64}
"""Columns of a table of scores."""
HALVES = ("half-0", "half-1")
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class ScoreChoice:
    """What good text is in a preset."""

    reference: Annotated[Sequence[str], Field(min_length=1)]
    """Corpora that are good text for this purpose."""
    background: Sequence[str] = field(default_factory=list)
    """Corpora of other text; none named: all that are not reference."""
    fit_rows: Annotated[int, Field(ge=40)] = 2000
    """Most documents of each corpus that the model learns from."""
    c: Annotated[float, Field(gt=0.0)] = 10.0
    """Inverse strength of the L2 penalty."""
    keep_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Filter: share of the documents of each corpus domain that are trained on, the best."""
    min_auc: Annotated[float, Field(ge=0.5, le=1.0)] = 0.6
    """Least probability that a reference document it has not seen scores above a background one."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class CrossFittedScore:
    """Two models; a text is scored by the one that cannot have seen it."""

    halves: tuple[QualityModel, QualityModel]
    """Fitted on texts of half 0 and of half 1."""

    def score(self, texts: Sequence[str]) -> Floats:
        """Probability that each text is of the reference, shape (len(texts),), in [0, 1]."""
        scores = np.zeros(len(texts))
        halves = np.array([half_of(text) for text in texts], dtype=np.int64)
        for half, model in enumerate(self.halves):
            others = np.flatnonzero(halves != half)
            scores[others] = model.score([texts[row] for row in others.tolist()])
        return scores

    @property
    def separation(self) -> Separation:
        """Of both models together: the mean, weighted by what each was measured on."""
        both = [model.separation for model in self.halves]
        sizes = [one.num_reference + one.num_background for one in both]
        return Separation(
            auc=float(np.average([one.auc for one in both], weights=sizes)),
            num_reference=sum(one.num_reference for one in both),
            num_background=sum(one.num_background for one in both),
        )

    def save(self, folder: Path) -> None:
        """Write both models below an existing folder."""
        for name, model in zip(HALVES, self.halves, strict=True):
            (folder / name).mkdir()
            model.save(folder / name)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: A file is missing or is not what `save` writes.
        """
        first, second = (QualityModel.load(folder / name) for name in HALVES)
        return cls(halves=(first, second))


def half_of(text: str) -> int:
    """The half that may learn from a text, 0 or 1."""
    # Not the byte by which a fit holds texts out for its own measurement.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest()[1] % 2


def fit_score(
    reference: Sequence[str], background: Sequence[str], *, c: float = 10.0
) -> CrossFittedScore:
    """Fit both models.

    Args:
        reference: What good text is for this purpose.
        background: What there is otherwise.
        c: Inverse strength of the L2 penalty, > 0.

    Raises:
        ValueError: A half is too small to be fitted or measured, or both sides share a text.
    """
    first, second = (
        fit_quality_model(
            [text for text in reference if half_of(text) == half],
            [text for text in background if half_of(text) == half],
            c=c,
        )
        for half in range(2)
    )
    return CrossFittedScore(halves=(first, second))


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSummary:
    """What came of it."""

    cleaned_version: str
    """Data version of the cleaned shards."""
    num_documents: int
    """Documents scored."""
    auc: float
    """What the score is worth, measured on documents outside its fits."""
    quantiles: dict[str, float]
    """Share of the documents in percent -> score that they do not exceed."""


def write_scores(
    cleaned: Path, score: CrossFittedScore, out: Path, *, cleaned_version: str
) -> ScoreSummary:
    """Score one corpus: `scores.parquet` and `summary.json`.

    Args:
        cleaned: Folder of its cleaned shards.
        score: The models.
        out: Existing folder, filled here.
        cleaned_version: Data version of the shards.

    Raises:
        BadDocuments: The table is missing, damaged or lacks a column.
    """
    parts = [pl.DataFrame(schema=COLUMNS)]
    for batch in read_batches(cleaned, ("id", "text")):
        scores = pl.Series(SCORE, score.score(batch["text"].to_list()), dtype=pl.Float64)
        size = pl.col("text").str.len_bytes().cast(pl.Int64)
        parts.append(batch.select("id", scores, num_bytes=size))
    table = pl.concat(parts)
    table.write_parquet(out / SCORES_FILE, compression="zstd")
    shares = (5, 25, 50, 75, 95) if table.height else ()
    summary = ScoreSummary(
        cleaned_version=cleaned_version,
        num_documents=table.height,
        auc=score.separation.auc,
        quantiles={
            str(share): float(np.quantile(table[SCORE].to_numpy(), share / 100)) for share in shares
        },
    )
    (out / SUMMARY).write_text(json.dumps(asdict(summary), indent=1) + "\n")
    return summary


def read_scores(folders: Mapping[str, Path]) -> pl.DataFrame:
    """Scores of several corpora, by corpus name and then document order; `corpus` and `COLUMNS`.

    Raises:
        BadDocuments: A table is missing, damaged, or lacks a column.
    """
    parts = [pl.DataFrame(schema={"corpus": pl.String, **COLUMNS})]
    for corpus, folder in sorted(folders.items()):
        path = folder / SCORES_FILE
        try:
            table = pl.read_parquet(path, columns=list(COLUMNS))
        except (OSError, PolarsError) as error:
            raise BadDocuments(
                f"{path}: no complete table of scores ({error}); materialise it again"
            ) from error
        parts.append(table.select(pl.lit(corpus).alias("corpus"), *COLUMNS))
    return pl.concat(parts)
