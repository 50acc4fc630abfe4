"""CSV files as people write them: cells as the text that stands there, numbers read strictly.

UTF-8 with or without a byte order mark, columns separated by commas, one header line. Whatever is
not plainly so is one error that names file, row and column; nothing is guessed. A number is digits
with a point and an exponent: `2,5` and `2_5` are none, though some readers take the latter for 25.
"""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.arrays import Floats

RUN_ID = "run_id"
LARGEST_LOSS = 1e6
"""Nats per token. Above it a number is no loss, and its square no number."""
LARGEST_SIZE = 1e30
"""Parameters or tokens. Above it 6 N D is no number."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def read_cells(path: Path) -> pl.DataFrame:
    """Every cell as text, null where it is empty.

    Raises:
        ValueError: There is no such file, it is not UTF-8, has no header or no rows, lines of
            unlike lengths, a column twice, or another separator than the comma.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not a readable CSV file: byte {error.start} is not UTF-8; save it as UTF-8"
        ) from error
    try:
        frame = pl.read_csv(io.StringIO(text), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: not a readable CSV file: {reason}") from error
    _require_commas(path, frame)
    if frame.height == 0:
        raise ValueError(f"{path}: no rows below the header")
    doubled = [name for name in frame.columns if "_duplicated_" in name]
    if doubled:
        name = doubled[0].split("_duplicated_")[0]
        raise ValueError(f"{path}: column {name} occurs twice in the header")
    stripped = [name.strip() for name in frame.columns]
    for name in stripped:
        if stripped.count(name) > 1:
            raise ValueError(f"{path}: column {name} occurs twice in the header")
    return frame.rename(dict(zip(frame.columns, stripped, strict=True)))


def _require_commas(path: Path, frame: pl.DataFrame) -> None:
    if frame.width > 1:
        return
    (only,) = frame.columns
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if separator in only:
            raise ValueError(
                f"{path}: not a readable CSV file: {name} separate the columns of the header; save "
                "it with commas, and points in the numbers"
            )


def numbers_of(frame: pl.DataFrame) -> tuple[str, ...]:
    """Numbers of the rows as names: row1, row2 ..."""
    return tuple(f"row{number}" for number in range(1, frame.height + 1))


def read_run_ids(path: Path, frame: pl.DataFrame) -> tuple[str, ...]:
    """Names of the rows; without a column run_id they are row1, row2 ...

    Raises:
        ValueError: A name is empty or occurs twice.
    """
    if RUN_ID not in frame.columns:
        return numbers_of(frame)
    first: dict[str, int] = {}
    for row, raw in enumerate(frame[RUN_ID]):
        name = "" if raw is None else raw.strip()
        if not name:
            raise ValueError(f"{path}: row {row + 1} (line {row + 2}), column {RUN_ID}: empty")
        if name in first:
            raise ValueError(
                f"{path}: rows {first[name] + 1} and {row + 1} (lines {first[name] + 2} and "
                f"{row + 2}), column {RUN_ID}: {name} occurs twice; keep one row per run"
            )
        first[name] = row
    return tuple(first)


def read_numbers(
    path: Path, frame: pl.DataFrame, columns: Sequence[str], run_ids: Sequence[str], *, what: str
) -> Floats:
    """The named columns as finite numbers, shape (N, number of columns).

    Args:
        path: For messages.
        frame: From `read_cells`.
        columns: Names of columns that there are.
        run_ids: From `read_run_ids`.
        what: What a cell holds, for messages.

    Raises:
        ValueError: A cell is empty, no number or not finite; the message names row and column.
    """
    values = np.empty((frame.height, len(columns)))
    for column, name in enumerate(columns):
        for row, text in enumerate(frame[name]):
            if text is None or not text.strip():
                place = place_of(path, row, run_ids, name)
                raise ValueError(f"{place}: the {what} is missing; fill it in or leave the row out")
            try:
                values[row, column] = read_number(text)
            except ValueError as error:
                raise ValueError(f"{place_of(path, row, run_ids, name)}: {what} {error}") from error
    return values


def read_number(text: str) -> float:
    """One finite number.

    Raises:
        ValueError: It is none, with the end of a sentence that says so.
    """
    plain = text.strip()
    if _NUMBER.fullmatch(plain):
        number = float(plain)
        if math.isfinite(number):
            return number
    elif not _NOT_FINITE.fullmatch(plain):
        raise ValueError(f"must be a number, got {text!r}")
    raise ValueError(f"must be finite, got {plain}")


def require_cells(
    path: Path,
    good: NDArray[np.bool_],
    values: Floats,
    columns: Sequence[str],
    run_ids: Sequence[str],
    *,
    rule: str,
) -> None:
    """Refuse the first cell that breaks a rule.

    Args:
        path: For messages.
        good: Whether each cell keeps the rule, shape (N, number of columns).
        values: The cells, the same shape.
        columns: Their names.
        run_ids: Names of the rows.
        rule: What the message says, for example `loss must be positive`.

    Raises:
        ValueError: One does; the message names row and column.
    """
    for row, column in np.argwhere(~good)[:1]:
        place = place_of(path, row, run_ids, columns[column])
        raise ValueError(f"{place}: {rule}, got {values[row, column]:.6g}")


def place_of(path: Path, row: int, run_ids: Sequence[str], column: str) -> str:
    """Where a cell stands, for a message."""
    return f"{path}: {row_of(row, run_ids)}, column {column}"


def row_of(row: int, run_ids: Sequence[str]) -> str:
    """Which row, counted from 0, for a message."""
    return f"row {row + 1} (line {row + 2}, run {run_ids[row]})"
