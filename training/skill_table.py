"""Columns of the table of runs behind a skill graph: found, checked, and damaged rows refused.

The layout stands in training.skill_runs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from training.csv_cells import (
    LARGEST_LOSS,
    RUN_ID,
    place_of,
    read_cells,
    read_number,
    read_run_ids,
)

WEIGHTS_PREFIX = "p_"
LOSSES_PREFIX = "loss_"
INITIAL_PREFIX = "initial_loss_"
WHOLE = ("seed", "steps")
LARGEST_WHOLE = 2**53
SUM_TOLERANCE = 1e-3
"""How far rounded shares may sum from one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillColumns:
    """Names of the skills, in the order of their columns."""

    trained: tuple[str, ...]
    """Training skills."""
    evaluated: tuple[str, ...]
    """Evaluated skills."""
    has_initial: bool
    """Whether the losses before training stand in columns of their own."""


def read_table(path: Path) -> pl.DataFrame:
    """Read CSV or Parquet.

    Raises:
        ValueError: The file is missing or no such table.
    """
    if path.suffix != ".parquet":
        return _numbered(path, read_cells(path))
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: cannot be read as a table of runs: {reason}") from error


def _numbered(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Cells of CSV as numbers where numbers belong; an empty one stays empty, to be named later."""
    run_ids = read_run_ids(path, frame)
    series = []
    for name in frame.columns:
        if name == RUN_ID:
            series.append(pl.Series(name, run_ids))
        elif name in WHOLE or name.startswith((WEIGHTS_PREFIX, LOSSES_PREFIX, INITIAL_PREFIX)):
            cells = [
                _number(raw, place_of(path, row, run_ids, name), whole=name in WHOLE)
                for row, raw in enumerate(frame[name])
            ]
            kind = pl.Int64 if name in WHOLE else pl.Float64
            series.append(pl.Series(name, cells, dtype=pl.Float64).cast(kind))
        else:
            series.append(frame[name])
    return pl.DataFrame(series)


def _number(raw: str | None, place: str, *, whole: bool) -> float | None:
    if raw is None or not raw.strip():
        return None
    try:
        number = read_number(raw)
    except ValueError as error:
        raise ValueError(f"{place}: a number is needed: it {error}") from error
    if whole and (number != int(number) or abs(number) > LARGEST_WHOLE):
        raise ValueError(f"{place}: a whole number is needed, got {raw.strip()}")
    return number


def find_columns(names: Sequence[str]) -> SkillColumns:
    """Tell the skills from the names of the columns.

    Raises:
        ValueError: A column is missing, or initial losses are of other skills.
    """
    trained = tuple(_after(WEIGHTS_PREFIX, names))
    evaluated = tuple(_after(LOSSES_PREFIX, names))
    initial = tuple(_after(INITIAL_PREFIX, names))
    missing = [name for name in ("run_id", "seed", "steps") if name not in names]
    missing += [] if trained else [f"{WEIGHTS_PREFIX}<skill>"]
    missing += [] if evaluated else [f"{LOSSES_PREFIX}<skill>"]
    if missing:
        raise ValueError(f"columns {missing} are missing; found {list(names)}")
    if initial and set(initial) != set(evaluated):
        raise ValueError(
            f"columns {INITIAL_PREFIX}<skill> name {sorted(initial)}, but {LOSSES_PREFIX}<skill> "
            f"name {sorted(evaluated)}; give both for each evaluated skill"
        )
    return SkillColumns(trained=trained, evaluated=evaluated, has_initial=bool(initial))


def _after(prefix: str, names: Iterable[str]) -> list[str]:
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def checked_table(frame: pl.DataFrame, columns: SkillColumns) -> pl.DataFrame:
    """Return the table with shares that sum to one; those that are only rounded are divided.

    Raises:
        ValueError: A run id is missing or occurs twice, a number is missing, not finite or out of
            range, or shares do not sum to one; the message names run and column.
    """
    weights = [WEIGHTS_PREFIX + name for name in columns.trained]
    losses = [LOSSES_PREFIX + name for name in columns.evaluated]
    if columns.has_initial:
        losses += [INITIAL_PREFIX + name for name in columns.evaluated]
    if frame["run_id"].null_count():
        raise ValueError(f"row {frame['run_id'].is_null().arg_max()}: run_id is empty")
    frame = frame.with_columns(pl.col("run_id").cast(pl.String))
    ids = frame["run_id"]
    if ids.is_duplicated().any():
        raise ValueError(f"run_id {ids.filter(ids.is_duplicated())[0]!r} occurs twice")
    for name in (*WHOLE, *weights, *losses):
        _require_numbers(frame, name, whole=name in WHOLE)
    for name in weights:
        _require(frame, name, frame[name] >= 0, "a share must not be negative")
    for name in losses:
        _require(frame, name, frame[name] > 0, "a loss must be positive")
        most = f"a loss must be at most {LARGEST_LOSS:g} nats per token"
        _require(frame, name, frame[name] <= LARGEST_LOSS, most)
    _require(frame, "steps", frame["steps"] >= 0, "steps must not be negative")
    total = frame.select(pl.sum_horizontal(weights)).to_series()
    on_simplex = ((total - 1).abs() <= SUM_TOLERANCE) | (frame["steps"] == 0)
    named = frame.with_columns(total.alias("sum of p_"))
    _require(named, "sum of p_", on_simplex, "shares must sum to 1")
    divisor = pl.when(pl.col("steps") == 0).then(1.0).otherwise(total)
    return frame.with_columns(pl.col(name) / divisor for name in weights)


def _require_numbers(frame: pl.DataFrame, name: str, *, whole: bool) -> None:
    column = frame[name]
    kind = "a whole number" if whole else "a finite number"
    if not (column.dtype.is_integer() if whole else column.dtype.is_numeric()):
        numbers = column.cast(pl.Int64 if whole else pl.Float64, strict=False)
        _require(frame, name, numbers.is_not_null(), f"{kind} is needed")
        raise ValueError(f"column {name} is of type {column.dtype}; {kind} is needed in every row")
    _require(frame, name, column.is_not_null(), f"{kind} is needed")
    if not whole:
        _require(frame, name, column.is_finite(), f"{kind} is needed")


def _require(frame: pl.DataFrame, name: str, holds: pl.Series, rule: str) -> None:
    if not holds.all():
        row = int((~holds).arg_max() or 0)
        raise ValueError(
            f"row {row + 1} (run {frame[RUN_ID][row]!r}), column {name}: {rule}, got "
            f"{frame[name][row]!r}"
        )
