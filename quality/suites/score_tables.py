"""Gate `score_tables`: does every document have a score, and does the score tell anything?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.corpus_scores import COLUMNS, SCORES_FILE, SUMMARY
from quality.expectations import run_suite
from quality.gate_tables import read_counts, read_object, read_table, unreadable, verdict
from quality.gates import Criterion, equality_check, limit_check
from quality.quality_score import SCORE

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class ScoreLimits:
    """What quality scores are allowed."""

    min_auc: Annotated[float, Field(ge=0.5, le=1.0)] = 0.6
    """Least probability that a reference document it has not seen scores above a background one."""
    min_unique_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Least share of different scores, below it a warning: one score for all ranks nothing."""


def expectations(limits: ScoreLimits) -> list["Expectation"]:
    """Return the suite."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToNotBeNull(column="id"),
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectColumnValuesToNotBeNull(column=SCORE),
        gxe.ExpectColumnValuesToBeBetween(column=SCORE, min_value=0.0, max_value=1.0),
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column=SCORE, min_value=limits.min_unique_share, severity="warning"
        ),
        gxe.ExpectColumnValuesToBeBetween(column="num_bytes", min_value=1),
    ]


def judge(folder: Path, limits: ScoreLimits | None = None) -> tuple[Criterion, ...]:
    """Judge the scores of one corpus.

    Args:
        folder: The artifact.
        limits: None for the defaults.

    Raises:
        GateCrashed: An expectation could not be evaluated.
    """
    return verdict(lambda: _criteria(folder, limits or ScoreLimits()))


def _criteria(folder: Path, limits: ScoreLimits) -> tuple[Criterion, ...]:
    scores = read_table(folder / SCORES_FILE, list(COLUMNS), columns=COLUMNS)
    summary = read_object(folder / SUMMARY)
    (counted,) = read_counts(summary, "num_documents", file=SUMMARY)
    auc = summary.get("auc")
    if not isinstance(auc, float):
        raise unreadable(SUMMARY, f"auc must be a number, found {auc!r}")
    frame = scores.to_pandas(use_pyarrow_extension_array=True)
    return (
        *run_suite(frame, expectations(limits), name="quality_scores"),
        equality_check("summary_counts_documents", scores.height, counted),
        limit_check("separation_of_unseen_documents", auc, at_least=limits.min_auc),
    )
