"""From a table of runs of several scales to a joint law with all that speaks for and against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.arrays import Floats
from training.csv_cells import LARGEST_SIZE, read_cells, read_numbers, read_run_ids, require_cells
from training.given_scores import GivenScores, score_predictions
from training.joint_evidence import LEVEL, JointEvidence, gather_joint_evidence, judge_joint
from training.joint_laws import JointTable, Tick, bootstrap_joint, fit_joint
from training.joint_record import JointRecord, ScaleColumns
from training.law_gate import LawVerdict
from training.law_record import heldout_half_width
from training.runs_csv import CsvColumns, read_runs


@dataclass(frozen=True, kw_only=True, slots=True)
class JointFit:
    """The record to store, and the objects behind it."""

    record: JointRecord
    """Content of law.json."""
    evidence: JointEvidence
    """Held-out scores."""
    verdict: LawVerdict
    """Of the gate."""
    predicted: Floats
    """Losses of runs whose mixture was left out, shape (K, E)."""


def read_joint_runs(
    path: Path,
    columns: CsvColumns,
    scale: ScaleColumns,
    *,
    domains: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    for_fit: bool = True,
) -> tuple[JointTable, tuple[str, ...]]:
    """Read every row of a file of finished runs with their size and length.

    Args:
        path: CSV file with a header.
        columns: Prefixes of shares and losses.
        scale: Columns of size and length.
        domains: As `read_runs`.
        targets: As `read_runs`.
        for_fit: As `read_runs`; size and length must then vary too.

    Raises:
        ValueError: As `read_runs`, or a size or length is missing, not positive, or the same in
            every row.
    """
    runs, notes = read_runs(path, columns, domains=domains, targets=targets, for_fit=for_fit)
    sizes = read_scales(path, scale)
    if for_fit:
        for column, name in enumerate((scale.params, scale.tokens)):
            if np.ptp(sizes[:, column]) == 0:
                raise ValueError(
                    f"{path}: column {name} is {sizes[0, column]:g} in all {len(sizes)} rows: a "
                    "joint law needs runs of several sizes and lengths; use a law of the mixture"
                )
    return JointTable(runs=runs, params=sizes[:, 0], tokens=sizes[:, 1]), notes


def read_scales(path: Path, scale: ScaleColumns) -> Floats:
    """Sizes and lengths of the rows of a file, shape (N, 2), > 0.

    Raises:
        ValueError: A column is missing, or a cell is no number above 0.
    """
    frame, names = read_cells(path), [scale.params, scale.tokens]
    for name in names:
        if name not in frame.columns:
            raise ValueError(f"{path}: no column {name}; there are {', '.join(frame.columns)}")
    run_ids = read_run_ids(path, frame)
    sizes = read_numbers(path, frame, names, run_ids, what="number")
    for good, rule in (
        (sizes > 0, "number must be > 0"),
        (sizes <= LARGEST_SIZE, f"number must be at most {LARGEST_SIZE:g}"),
    ):
        require_cells(path, good, sizes, names, run_ids, rule=rule)
    return sizes


def fit_joint_with_evidence(
    table: JointTable,
    *,
    method: str,
    num_folds: int | None = None,
    num_refits: int = 100,
    seed: int = 0,
    columns: CsvColumns | None = None,
    scale: ScaleColumns | None = None,
    notes: Sequence[str] = (),
    tick: Tick | None = None,
) -> JointFit:
    """Fit, predict every mixture and the largest scale without them, judge, and refit.

    Args:
        table: The runs; all of them are used.
        method: Key of `joint_laws.FORMS`.
        num_folds: Folds over mixtures. None: 10, or one each where there are fewer.
        num_refits: Draws of the bootstrap.
        seed: Decides folds and draws.
        columns: Prefixes of the file that the runs came from.
        scale: Its columns of size and length.
        notes: What was done to its rows.
        tick: Told of progress.

    Raises:
        ValueError: The method is unknown, or there are too few runs for it or for its evidence.
    """
    laws = fit_joint(table, method=method)
    evidence, predicted = gather_joint_evidence(
        table, method=method, num_folds=num_folds, seed=seed, tick=tick
    )
    verdict = judge_joint(evidence)
    errors = np.abs(predicted - table.runs.losses)
    record = JointRecord(
        laws=laws,
        table=table,
        refits=bootstrap_joint(table, method=method, num_refits=num_refits, seed=seed, tick=tick),
        half_widths_nats={
            name: heldout_half_width(errors[:, at], level=LEVEL)
            for at, name in enumerate(laws.eval_domains)
        },
        level=LEVEL,
        evidence=evidence.to_json(),
        gate=verdict.to_json(),
        columns=columns or CsvColumns(),
        scale_columns=scale or ScaleColumns(),
        notes=tuple(notes),
    )
    return JointFit(record=record, evidence=evidence, verdict=verdict, predicted=predicted)


def predict_at_scales(
    record: JointRecord, weights: Floats, sizes: Floats, *, of_run: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Losses of mixtures at their sizes and lengths with intervals, shape (M, E) each.

    Args:
        record: The laws.
        weights: Rows on the simplex, shape (M, D).
        sizes: Parameters and tokens of each row, shape (M, 2), > 0.
        of_run: Intervals of one run instead of the expected loss.
    """
    shape = (len(weights), len(record.laws.eval_domains))
    middle, low, high = np.empty(shape), np.empty(shape), np.empty(shape)
    scales, which = np.unique(sizes, axis=0, return_inverse=True)
    for at, (params, tokens) in enumerate(scales.tolist()):
        rows = which.ravel() == at
        here = record.at(params=params, tokens=tokens)
        middle[rows] = here.laws.predict(weights[rows])
        low[rows], high[rows] = here.intervals(weights[rows], of_run=of_run)
    return middle, low, high


def score_joint(record: JointRecord, given: JointTable) -> dict[str, GivenScores]:
    """Score every evaluation domain on given rows of any scale.

    Args:
        record: The laws.
        given: Rows with the same training and evaluation domains, in the same order.
    """
    sizes = np.column_stack([given.params, given.tokens])
    predicted, low, high = predict_at_scales(record, given.runs.weights, sizes, of_run=True)
    return score_predictions(given.runs, predicted, low=low, high=high)
