"""Anybody's finished runs: a CSV file as a run table, or one clear error.

One row per run, one column of shares per training domain and one of losses per evaluation domain,
told apart by prefixes; other columns are ignored. `run_id` names the rows; without it they are
numbered. A row is used or the file is refused: never a fit on silently fewer rows.

Published shares are rounded, so a row need not sum to exactly 1. Rounding to d decimals moves the
sum of D shares by at most D * 10^-d / 2; up to that (and never more than 1 %) rows are divided by
their sum, and a note says so. Beyond it something else is wrong with them.
Shapes: N runs, D training domains, E evaluation domains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import polars as pl

from training.arrays import Floats
from training.csv_cells import (
    LARGEST_LOSS,
    RUN_ID,
    numbers_of,
    read_cells,
    read_numbers,
    read_run_ids,
    require_cells,
    row_of,
)
from training.run_table import RunTable

LARGEST_ROUNDING = 0.01
EXACT = 1e-6
"""Sums this near to 1 are called exact; they are divided by all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvColumns:
    """Which columns of a file mean what."""

    weights_prefix: str = "p_"
    """Of the shares; the rest of the name is the training domain."""
    losses_prefix: str = "loss_"
    """Of the losses; the rest of the name is the evaluation domain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureRows:
    """Mixtures read from a file."""

    run_ids: tuple[str, ...]
    """N names, in the order of the file."""
    weights: Floats
    """Shares, shape (N, D), rows on the simplex."""
    notes: tuple[str, ...]
    """What was done to the rows, for a reader."""


def read_runs(
    path: Path,
    columns: CsvColumns | None = None,
    *,
    domains: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    for_fit: bool = True,
    numbered: bool = False,
) -> tuple[RunTable, tuple[str, ...]]:
    """Read every row of a file of finished runs, and what was done to them.

    Args:
        path: CSV file with a header.
        columns: None: the default prefixes.
        domains: Training domains that must be there and no others, in the order wanted. None:
            all that have the prefix.
        targets: Evaluation domains wanted. None: all that have the prefix.
        for_fit: A column with one value is an error, since nothing can be learned from it.
        numbered: Rows are numbered, not named: a run may have several.

    Raises:
        ValueError: The file is unreadable or empty; a column is missing, unknown or constant; a
            run id is missing or occurs twice; a share is negative or no finite number; shares do
            not sum to 1; a loss is missing, not positive or not finite. It names row and column.
    """
    columns = columns or CsvColumns()
    frame = read_cells(path)
    rows = read_mixtures(path, columns.weights_prefix, domains=domains, numbered=numbered)
    names = tuple(domains or _named(path, frame, columns.weights_prefix))
    wanted = _targets(path, frame, columns.losses_prefix, targets)
    cells = [f"{columns.losses_prefix}{target}" for target in wanted]
    losses = read_numbers(path, frame, cells, rows.run_ids, what="loss")
    for good, rule in (
        (losses > 0, "loss must be positive"),
        (losses <= LARGEST_LOSS, f"loss must be at most {LARGEST_LOSS:g} nats per token"),
    ):
        require_cells(path, good, losses, cells, rows.run_ids, rule=rule)
    if for_fit:
        shares = [f"{columns.weights_prefix}{name}" for name in names]
        _require_variation(path, rows.weights, shares)
        _require_rank(path, rows.weights, shares)
        _require_variation(path, losses, cells)
    table = RunTable(
        run_ids=rows.run_ids,
        domains=names,
        eval_domains=wanted,
        weights=rows.weights,
        losses=losses,
    )
    return table, rows.notes


def _targets(
    path: Path, frame: pl.DataFrame, prefix: str, targets: Sequence[str] | None
) -> tuple[str, ...]:
    """Evaluation domains that are wanted; each has its column."""
    found = _named(path, frame, prefix)
    wanted = tuple(found if targets is None else targets)
    if not wanted:
        raise ValueError(
            f"{path}: no column begins with {prefix!r}, found {', '.join(frame.columns)}"
        )
    for target in wanted:
        if target not in found:
            raise ValueError(
                f"{path}: no column {prefix}{target}; its losses are {', '.join(found) or 'none'}"
            )
    return wanted


def read_mixtures(
    path: Path,
    weights_prefix: str = "p_",
    *,
    domains: Sequence[str] | None = None,
    numbered: bool = False,
) -> MixtureRows:
    """Read the mixtures of a file; losses are not looked at.

    Args:
        path: CSV file with a header.
        weights_prefix: Of the columns with shares.
        domains: Training domains that must be there and no others. None: all with the prefix.
        numbered: As `read_runs`.

    Raises:
        ValueError: As `read_runs`, for run ids and shares.
    """
    frame = read_cells(path)
    found = _named(path, frame, weights_prefix)
    names = found if domains is None else list(domains)
    if not names:
        raise ValueError(
            f"{path}: no column begins with {weights_prefix!r}, found {', '.join(frame.columns)}"
        )
    for name in names:
        if name not in found:
            raise ValueError(f"{path}: no column {weights_prefix}{name}: every share is needed")
    for name in found:
        if name not in names:
            raise ValueError(
                f"{path}: column {weights_prefix}{name} is no domain of the law "
                f"({', '.join(names)})"
            )
    run_ids = numbers_of(frame) if numbered else read_run_ids(path, frame)
    cells = [f"{weights_prefix}{name}" for name in names]
    shares = read_numbers(path, frame, cells, run_ids, what="share")
    rule = "share must not be negative"
    require_cells(path, shares >= 0, shares, cells, run_ids, rule=rule)
    tolerance = _rounding(frame.select(cells))
    sums = shares.sum(axis=1)
    for row, total in enumerate(sums):
        if abs(total - 1) > tolerance:
            raise ValueError(
                f"{path}: {row_of(row, run_ids)}, columns {weights_prefix}*: shares sum to "
                f"{total:.6g}, not to 1 within rounding ({tolerance:.2g}); write shares, not counts"
            )
    notes = []
    rounded = np.abs(sums - 1) > EXACT
    if rounded.any():
        notes.append(
            f"{path.name}: shares of {rounded.sum()} of {len(sums)} rows are rounded (sums "
            f"{sums.min():.6g} to {sums.max():.6g}); each row was divided by its sum"
        )
    if RUN_ID not in frame.columns and not numbered:
        notes.append(f"{path.name}: no column {RUN_ID}; rows are numbered from row1")
    return MixtureRows(run_ids=run_ids, weights=shares / sums[:, None], notes=tuple(notes))


def _named(path: Path, frame: pl.DataFrame, prefix: str) -> list[str]:
    """What follows the prefix in the names of columns."""
    if prefix in frame.columns:
        raise ValueError(f"{path}: column {prefix}: a name is missing after the prefix")
    return [name.removeprefix(prefix) for name in frame.columns if name.startswith(prefix)]


def _require_variation(path: Path, values: Floats, cells: Sequence[str]) -> None:
    for column, name in enumerate(cells):
        if np.ptp(values[:, column]) < 1e-12:
            raise ValueError(
                f"{path}: column {name} is {values[0, column]:.6g} in all {len(values)} rows: "
                "nothing can be learned about it; leave the column out or add runs that vary it"
            )


def _require_rank(path: Path, weights: Floats, columns: Sequence[str]) -> None:
    """Refuse shares that go together in all rows: no law can tell which of them did it."""
    _, sizes, axes = np.linalg.svd(weights)
    if len(sizes) < len(columns) or sizes[-1] > 1e-9 * sizes[0]:
        return  # too few rows are refused where it is known how many are needed
    bound = [name for name, part in zip(columns, axes[-1], strict=True) if abs(part) > 1e-6]
    raise ValueError(
        f"{path}: columns {', '.join(bound)} go together in all {len(weights)} rows: nothing can "
        "be learned about each; merge them into one domain, or add runs that vary them alone"
    )


def _rounding(shares: pl.DataFrame) -> float:
    """Most that rounding to the decimals in the file can move the sum of a row."""
    decimals = 0
    for text in {text for column in shares.iter_columns() for text in column}:
        try:
            exponent = Decimal(text.strip()).normalize().as_tuple().exponent
        except InvalidOperation:
            return EXACT
        decimals = max(decimals, -exponent if isinstance(exponent, int) else 0)
    return float(np.clip(shares.width * 0.5 * 10.0**-decimals, EXACT, LARGEST_ROUNDING))
