"""Reads the files that a gate judges; what cannot be read is a failed criterion, not a crash."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from quality.gates import Criterion

Columns = Mapping[str, pl.DataType | type[pl.DataType]]


class TableRefused(ValueError):
    """A file that no criterion can be applied to."""

    def __init__(self, criterion: Criterion) -> None:
        """Keep the criterion that fails because of the file."""
        super().__init__(criterion.describe())
        self.criterion = criterion


def verdict(judge: Callable[[], tuple[Criterion, ...]]) -> tuple[Criterion, ...]:
    """Return the criteria of `judge`, or the one that failed because a file could not be read."""
    try:
        rows = judge()
    except TableRefused as refusal:
        return (refusal.criterion,)
    readable = Criterion(name="readable", passed=True, observed="yes", limit="files can be read")
    return (readable, *rows)


def read_table(path: Path, select: Sequence[pl.Expr | str], *, columns: Columns) -> pl.DataFrame:
    """Read expressions over a Parquet file, a batch of rows at a time.

    Args:
        path: The file.
        select: What to compute; a long text should be reduced to a number here.
        columns: Columns that must exist, with their types.

    Raises:
        TableRefused: The file is missing, truncated or damaged, or lacks one of `columns`.
    """
    with _readable(path):
        table = pl.scan_parquet(path)
        schema = table.collect_schema()
    wrong = [
        f"{name}: {schema.get(name, 'missing')} instead of {expected}"
        for name, expected in columns.items()
        if schema.get(name) != expected
    ]
    if wrong:
        raise TableRefused(
            Criterion(
                name="columns",
                passed=False,
                observed=f"{path.name}: {len(wrong)} wrong",
                limit=", ".join(columns),
                examples=tuple(wrong),
            )
        )
    with _readable(path):
        return table.select(select).collect(engine="streaming")


def read_object(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        TableRefused: The file is missing or holds something else.
    """
    with _readable(path):
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
    return content


def read_counts(content: Mapping[str, object], *names: str, file: str) -> tuple[int, ...]:
    """Return whole numbers of a JSON object.

    Raises:
        TableRefused: One is missing or no whole number.
    """
    values = []
    for name in names:
        value = content.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise unreadable(file, f"{name} must be a whole number, found {value!r}")
        values.append(value)
    return tuple(values)


def unreadable(file: str, reason: str) -> TableRefused:
    """Make the refusal of a file, to be raised."""
    return TableRefused(
        Criterion(
            name="readable", passed=False, observed=f"{file}: {reason}", limit="files can be read"
        )
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (PolarsError, OSError, ValueError) as error:
        raise unreadable(path.name, f"{type(error).__name__}: {error}") from error
