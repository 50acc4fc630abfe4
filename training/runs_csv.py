"""Anybody's finished runs: a CSV file as a run table, or one clear error.

One row per run, one column of shares per training domain and one of losses per evaluation domain,
told apart by prefixes; other columns are ignored. `run_id` names the rows; without it they are
numbered. A row is used or the file is refused: never a fit on silently fewer rows.

Published shares are rounded, so a row need not sum to exactly 1. Rounding to d decimals moves the
sum of D shares by at most D * 10^-d / 2; up to that (and never more than 1 %) rows are divided by
their sum, and a note says so. Beyond it something else is wrong with them.
Shapes: N runs, D training domains, E evaluation domains.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import polars as pl

from training.arrays import Floats
from training.run_table import RunTable

RUN_ID = "run_id"
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
) -> tuple[RunTable, tuple[str, ...]]:
    """Read every row of a file of finished runs, and what was done to them.

    Args:
        path: CSV file with a header.
        columns: None: the default prefixes.
        domains: Training domains that must be there and no others, in the order wanted. None:
            all that have the prefix.
        targets: Evaluation domains wanted. None: all that have the prefix.
        for_fit: A column with one value is an error, since nothing can be learned from it.

    Raises:
        ValueError: The file is unreadable or empty; a column is missing, unknown or constant; a
            run id is missing or occurs twice; a share is negative or no finite number; shares do
            not sum to 1; a loss is missing, not positive or not finite. It names row and column.
    """
    columns = columns or CsvColumns()
    frame = _read_text(path)
    rows = read_mixtures(path, columns.weights_prefix, domains=domains)
    names = tuple(domains or _named(frame, columns.weights_prefix))
    found = _named(frame, columns.losses_prefix)
    wanted = tuple(found if targets is None else targets)
    if not wanted:
        raise ValueError(
            f"{path}: no column begins with {columns.losses_prefix!r}, found "
            f"{', '.join(frame.columns)}"
        )
    for target in wanted:
        if target not in found:
            raise ValueError(
                f"{path}: no column {columns.losses_prefix}{target}; its losses are "
                f"{', '.join(found) or 'none'}"
            )
    cells = [f"{columns.losses_prefix}{target}" for target in wanted]
    losses = _numbers(path, frame, cells, rows.run_ids, what="loss")
    _require(path, losses > 0, losses, cells, rows.run_ids, what="loss", rule="must be positive")
    if for_fit:
        shares = [f"{columns.weights_prefix}{name}" for name in names]
        _require_variation(path, rows.weights, shares)
        _require_variation(path, losses, cells)
    table = RunTable(
        run_ids=rows.run_ids,
        domains=names,
        eval_domains=wanted,
        weights=rows.weights,
        losses=losses,
    )
    return table, rows.notes


def read_mixtures(
    path: Path, weights_prefix: str = "p_", *, domains: Sequence[str] | None = None
) -> MixtureRows:
    """Read the mixtures of a file; losses are not looked at.

    Args:
        path: CSV file with a header.
        weights_prefix: Of the columns with shares.
        domains: Training domains that must be there and no others. None: all with the prefix.

    Raises:
        ValueError: As `read_runs`, for run ids and shares.
    """
    frame = _read_text(path)
    found = _named(frame, weights_prefix)
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
    run_ids = _run_ids(path, frame)
    cells = [f"{weights_prefix}{name}" for name in names]
    shares = _numbers(path, frame, cells, run_ids, what="share")
    rule = "must not be negative"
    _require(path, shares >= 0, shares, cells, run_ids, what="share", rule=rule)
    tolerance = _rounding(frame.select(cells))
    sums = shares.sum(axis=1)
    for row, total in enumerate(sums):
        if abs(total - 1) > tolerance:
            raise ValueError(
                f"{path}: {_where(row, run_ids)}, columns {weights_prefix}*: shares sum to "
                f"{total:.6g}, not to 1 within rounding ({tolerance:.2g}); write shares, not counts"
            )
    notes = []
    rounded = np.abs(sums - 1) > EXACT
    if rounded.any():
        notes.append(
            f"{path.name}: shares of {rounded.sum()} of {len(sums)} rows are rounded (sums "
            f"{sums.min():.6g} to {sums.max():.6g}); each row was divided by its sum"
        )
    if RUN_ID not in frame.columns:
        notes.append(f"{path.name}: no column {RUN_ID}; rows are numbered from row1")
    return MixtureRows(run_ids=run_ids, weights=shares / sums[:, None], notes=tuple(notes))


def _read_text(path: Path) -> pl.DataFrame:
    """The file with every cell as the text that stands there."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: not a readable CSV file: {reason}") from error
    if frame.height == 0:
        raise ValueError(f"{path}: no rows below the header")
    doubled = [name for name in frame.columns if "_duplicated_" in name]
    if doubled:
        name = doubled[0].split("_duplicated_")[0]
        raise ValueError(f"{path}: column {name} occurs twice in the header")
    return frame.rename(str.strip)


def _named(frame: pl.DataFrame, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in frame.columns if name.startswith(prefix)]


def _run_ids(path: Path, frame: pl.DataFrame) -> tuple[str, ...]:
    if RUN_ID not in frame.columns:
        return tuple(f"row{number}" for number in range(1, frame.height + 1))
    first: dict[str, int] = {}
    for row, name in enumerate(frame[RUN_ID]):
        if name is None or not name.strip():
            raise ValueError(f"{path}: row {row + 1} (line {row + 2}), column {RUN_ID}: empty")
        if name in first:
            raise ValueError(
                f"{path}: rows {first[name] + 1} and {row + 1} (lines {first[name] + 2} and "
                f"{row + 2}), column {RUN_ID}: {name} occurs twice; keep one row per run"
            )
        first[name] = row
    return tuple(first)


def _numbers(
    path: Path, frame: pl.DataFrame, cells: Sequence[str], run_ids: Sequence[str], *, what: str
) -> Floats:
    """The named columns as finite numbers, shape (N, number of columns)."""
    values = np.empty((frame.height, len(cells)))
    for column, name in enumerate(cells):
        for row, text in enumerate(frame[name]):
            where = f"{path}: {_where(row, run_ids)}, column {name}"
            if text is None or not text.strip():
                raise ValueError(f"{where}: the {what} is missing; fill it in or leave the row out")
            try:
                values[row, column] = float(text)
            except ValueError as error:
                raise ValueError(f"{where}: {what} must be a number, got {text!r}") from error
            if not math.isfinite(values[row, column]):
                raise ValueError(f"{where}: {what} must be finite, got {text.strip()}")
    return values


def _require(
    path: Path,
    good: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    values: Floats,
    cells: Sequence[str],
    run_ids: Sequence[str],
    *,
    what: str,
    rule: str,
) -> None:
    for row, column in np.argwhere(~good)[:1]:
        raise ValueError(
            f"{path}: {_where(row, run_ids)}, column {cells[column]}: {what} {rule}, got "
            f"{values[row, column]:.6g}"
        )


def _require_variation(path: Path, values: Floats, cells: Sequence[str]) -> None:
    for column, name in enumerate(cells):
        if np.ptp(values[:, column]) < 1e-12:
            raise ValueError(
                f"{path}: column {name} is {values[0, column]:.6g} in all {len(values)} rows: "
                "nothing can be learned about it; leave the column out or add runs that vary it"
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


def _where(row: int, run_ids: Sequence[str]) -> str:
    return f"row {row + 1} (line {row + 2}, run {run_ids[row]})"
