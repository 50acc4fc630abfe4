"""Gate `skill_labels`: does every document of a corpus have its row of skill tags, and which?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.corpus_tags import COLUMNS, SUMMARY, TAGS_FILE
from quality.expectations import run_suite
from quality.gate_tables import read_counts, read_object, read_table, unreadable, verdict
from quality.gates import Criterion, equality_check, limit_check

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class TagLimits:
    """What skill tags are allowed."""

    min_coverage: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least share of documents that the tagger that counts labels; below it is a warning."""


def expectations(labels: list[str]) -> list["Expectation"]:
    """Return the suite.

    `labelled_without_confidence` is the id of a document whose skill and confidence contradict each
    other, else null.

    Args:
        labels: Skills that the tagger may give; none: any.
    """
    import great_expectations.expectations as gxe

    suite = [
        gxe.ExpectColumnValuesToNotBeNull(column="id"),
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectColumnValuesToNotBeNull(column="confidence"),
        gxe.ExpectColumnValuesToBeBetween(column="confidence", min_value=0.0, max_value=1.0),
        gxe.ExpectColumnValuesToBeNull(column="labelled_without_confidence"),
    ]
    if labels:
        suite.append(gxe.ExpectColumnValuesToBeInSet(column="skill", value_set=labels))
    return suite


def judge(folder: Path, limits: TagLimits | None = None) -> tuple[Criterion, ...]:
    """Judge the skill tags of one corpus.

    Args:
        folder: The artifact.
        limits: None for the defaults.

    Raises:
        GateCrashed: An expectation could not be evaluated.
    """
    return verdict(lambda: _criteria(folder, limits or TagLimits()))


def _criteria(folder: Path, limits: TagLimits) -> tuple[Criterion, ...]:
    tags = read_table(folder / TAGS_FILE, list(COLUMNS), columns=COLUMNS)
    summary = read_object(folder / SUMMARY)
    (counted,) = read_counts(summary, "num_documents", file=SUMMARY)
    labels = summary.get("labels")
    if not isinstance(labels, list):
        raise unreadable(SUMMARY, f"labels must be a list, found {labels!r}")
    counting = tags.filter(pl.col("tagger") == str(summary.get("tagger")))
    contradicts = pl.col("skill").is_null() & (pl.col("confidence") != 0)
    frame = counting.with_columns(
        labelled_without_confidence=pl.when(contradicts).then("id"),
    ).to_pandas(use_pyarrow_extension_array=True)
    others = tags.filter(pl.col("tagger") != str(summary.get("tagger")))
    strangers = others.filter(~pl.col("id").is_in(counting["id"].implode()))
    coverage = counting["skill"].is_not_null().mean()
    return (
        *run_suite(frame, expectations([str(label) for label in labels]), name="skill_tags"),
        equality_check("summary_counts_documents", counting.height, counted),
        equality_check("documents_only_the_second_tagger_knows", strangers.height, 0),
        limit_check(
            "coverage",
            float(coverage) if isinstance(coverage, float) else 0.0,
            at_least=limits.min_coverage,
            severity="warning",
        ),
    )
