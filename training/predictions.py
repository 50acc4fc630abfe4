"""Predicted against actual: what the laws said about runs, and what happened.

A law fitted on small proxies ranks larger runs well and prices them badly, by an offset that is
common to the runs. So three figures per evaluation domain, and for their mean:

    rank           Spearman over runs
    level error    mean |predicted - actual|, as it stands
    recalibrated   the same after adding one constant, mean(actual - predicted) over the *other*
                   runs, so that no run helps to correct itself

Shapes: N runs, E evaluation domains.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from training.arrays import Floats
from training.fitted_laws import FittedLaws
from training.law_evidence import spearman
from training.recalibration import left_out_offset_error
from training.run_table import RunTable

FEWEST_FOR_RANK = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionScores:
    """One evaluation domain, or the mean of all."""

    spearman: float | None
    """Rank correlation over runs. None: fewer than three runs, or one side is constant."""
    level_error_nats: float
    """Mean absolute error as it stands."""
    offset_nats: float
    """Mean of actual minus predicted over all runs."""
    recalibrated_error_nats: float | None
    """Mean absolute error after the offset of the other runs. None: there is only one run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionRow:
    """One run and one evaluation domain."""

    run_id: str
    """Which run."""
    eval_domain: str
    """Which domain."""
    predicted_nats: float
    """Loss that the laws gave for its realised shares."""
    actual_nats: float
    """Loss that was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionReport:
    """The series that keeps the laws honest."""

    rows: tuple[PredictionRow, ...]
    """Sorted by run, then in the order of the evaluation domains."""
    per_domain: Mapping[str, PredictionScores]
    """By evaluation domain."""
    average: PredictionScores
    """On the mean over evaluation domains."""

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)


def compare_predictions(laws: FittedLaws, table: RunTable) -> PredictionReport:
    """Predict every run from its realised shares and compare.

    A run whose weights changed while it trained is predicted from its mean shares, though the laws
    know fixed mixtures only.

    Args:
        laws: Fitted on other runs.
        table: Runs to compare; its columns are matched by name. At least one run.

    Raises:
        ValueError: The table has no runs, or its domains are not those of the laws.
    """
    if not table.run_ids:
        raise ValueError("no runs to compare: train one first")
    for what, given, wanted in (
        ("domains", table.domains, laws.domains),
        ("eval_domains", table.eval_domains, laws.eval_domains),
    ):
        if set(given) != set(wanted):
            raise ValueError(f"{what} of the runs are {sorted(given)}, the laws know {wanted}")
    columns = [table.domains.index(domain) for domain in laws.domains]
    targets = [table.eval_domains.index(name) for name in laws.eval_domains]
    predicted = laws.predict(table.weights[:, columns])
    actual = table.losses[:, targets]
    rows = tuple(
        PredictionRow(
            run_id=run_id,
            eval_domain=name,
            predicted_nats=float(predicted[run, target]),
            actual_nats=float(actual[run, target]),
        )
        for run, run_id in enumerate(table.run_ids)
        for target, name in enumerate(laws.eval_domains)
    )
    return PredictionReport(
        rows=rows,
        per_domain={
            name: _score(predicted[:, target], actual[:, target])
            for target, name in enumerate(laws.eval_domains)
        },
        average=_score(predicted.mean(axis=1), actual.mean(axis=1)),
    )


def _score(predicted: Floats, actual: Floats) -> PredictionScores:
    residuals = actual - predicted
    num_runs = len(residuals)
    rank = float(spearman(predicted, actual)) if num_runs >= FEWEST_FOR_RANK else float("nan")
    return PredictionScores(
        spearman=rank if np.isfinite(rank) else None,
        level_error_nats=float(np.abs(residuals).mean()),
        offset_nats=float(residuals.mean()),
        recalibrated_error_nats=left_out_offset_error(predicted, actual),
    )
