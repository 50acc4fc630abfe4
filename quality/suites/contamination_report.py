"""Gate `contamination`: was the training text of one corpus searched for what is measured with?

The suite judges the table of evaluations, one row each, which is never empty; the report of matches
is compared with it. That nothing of it is left in the token shards is a claim about all domains,
which gate `whole_corpus` makes by searching the shards' documents again.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.contamination import (
    CONTAMINATED,
    EVALUATION_COLUMNS,
    EVALUATIONS_FILE,
    KEPT,
    MATCHES_FILE,
    REPORT,
    SUMMARY,
)
from quality.expectations import run_suite
from quality.gate_tables import read_counts, read_object, read_table, verdict
from quality.gates import Criterion, equality_check, limit_check

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class ContaminationLimits:
    """What a report of contamination is allowed."""

    heldout_overlap: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """No overlap that is left reaches this share of an item."""
    max_contaminated_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Greatest share of documents that leak one evaluation, 0 to 1; above it is a warning: more
    likely the evaluation is part of the corpus."""
    min_sought_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least share of all items that have something to look for, 0 to 1; below it is a warning."""


def expectations(limits: ContaminationLimits) -> list["Expectation"]:
    """Return the suite over the table of evaluations."""
    import great_expectations.expectations as gxe

    between = gxe.ExpectColumnValuesToBeBetween
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="evaluation"),
        gxe.ExpectColumnValuesToBeUnique(column="evaluation"),
        between(column="items", min_value=1),
        # Every item is planted once, in its own text: a search that misses it searches in vain.
        between(column="canaries_missed", min_value=0, max_value=0),
        between(column="most_overlap_left", max_value=limits.heldout_overlap, strict_max=True),
        between(
            column="contaminated_share",
            max_value=limits.max_contaminated_share,
            severity="warning",
        ),
    ]


def judge(folder: Path, limits: ContaminationLimits | None = None) -> tuple[Criterion, ...]:
    """Judge the report on one corpus.

    Args:
        folder: The artifact.
        limits: None for the defaults.

    Raises:
        GateCrashed: An expectation could not be evaluated.
    """
    return verdict(lambda: _criteria(folder, limits or ContaminationLimits()))


def _criteria(folder: Path, limits: ContaminationLimits) -> tuple[Criterion, ...]:
    table = read_table(
        folder / EVALUATIONS_FILE, list(EVALUATION_COLUMNS), columns=EVALUATION_COLUMNS
    )
    matches = read_table(folder / MATCHES_FILE, list(REPORT), columns=REPORT)
    (counted,) = read_counts(read_object(folder / SUMMARY), "contaminated", file=SUMMARY)
    frame = table.to_pandas(use_pyarrow_extension_array=True)
    items = int(table["items"].sum())
    sought = (items - int(table["not_sought"].sum())) / max(items, 1)
    return (
        *run_suite(frame, expectations(limits), name="evaluations"),
        limit_check("sought_share", sought, at_least=limits.min_sought_share, severity="warning"),
        *_report(matches, set(table["evaluation"]), counted),
    )


def _report(matches: pl.DataFrame, evaluations: set[str], counted: int) -> tuple[Criterion, ...]:
    """Compare the rows of the report with the table of evaluations and the summary."""
    wrong = matches.filter(
        pl.any_horizontal(pl.all().is_null())
        | ~pl.col("evaluation").is_in(list(evaluations))
        | ~pl.col("kind").is_in([KEPT, CONTAMINATED])
        | (pl.col("overlap") <= 0)
        | (pl.col("overlap") > 1)
    )
    pairs = matches.select("id", "evaluation", "item_id")
    removed = matches.filter(pl.col("kind") == CONTAMINATED)["id"].n_unique()
    return (
        equality_check(
            "rows_that_make_no_sense", wrong.height, 0, examples=wrong["id"].cast(pl.String)
        ),
        equality_check("pairs_twice", int(pairs.is_duplicated().sum()), 0),
        equality_check("summary_counts_contaminated", counted, removed),
    )
