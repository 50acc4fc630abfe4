"""Table of finished runs of several sizes and lengths: what a scaling law is fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats
from training.csv_cells import (
    LARGEST_LOSS,
    LARGEST_SIZE,
    read_cells,
    read_numbers,
    read_run_ids,
    require_cells,
)

NAMES = {"params": "params", "tokens": "tokens", "losses": "loss"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingRuns:
    """One row per run."""

    run_ids: tuple[str, ...]
    """N names, all different."""
    params: Floats
    """Parameters, shape (N,), > 0."""
    tokens: Floats
    """Training tokens, shape (N,), > 0."""
    losses: Floats
    """Held-out loss, shape (N,), nats per token, > 0."""
    columns: Mapping[str, str] = field(default_factory=lambda: dict(NAMES))
    """Names of the columns in the file the runs came from, for messages."""

    def __post_init__(self) -> None:
        """Refuse lengths that differ, repeated ids and numbers out of range.

        Raises:
            ValueError: One of them, with row and column.
        """
        shape = (len(self.run_ids),)
        if len(set(self.run_ids)) != len(self.run_ids):
            repeated = sorted({one for one in self.run_ids if self.run_ids.count(one) > 1})
            raise ValueError(f"column run_id: {repeated} stand there more than once")
        for name in NAMES:
            values = getattr(self, name)
            if values.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {values.shape}")
            wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
            if wrong.size:
                row = int(wrong[0])
                raise ValueError(
                    f"row {row + 1} (run {self.run_ids[row]}), column {self.columns[name]}: must "
                    f"be a finite number > 0, got {values[row]}"
                )

    @property
    def flops(self) -> Floats:
        """6 N D of each run, shape (N,)."""
        return 6.0 * self.params * self.tokens

    def take(self, rows: NDArray[np.bool_]) -> "ScalingRuns":
        """Rows of a boolean mask, shape (N,)."""
        return ScalingRuns(
            run_ids=tuple(one for one, kept in zip(self.run_ids, rows, strict=True) if kept),
            params=self.params[rows],
            tokens=self.tokens[rows],
            losses=self.losses[rows],
            columns=self.columns,
        )


def read_scaling_runs(
    path: Path, *, params: str = "params", tokens: str = "tokens", loss: str = "loss"
) -> ScalingRuns:
    """Read a CSV with one row per run.

    Args:
        path: The file; `run_id` names the rows where there is such a column, else their numbers.
        params: Column of the number of parameters.
        tokens: Column of the training tokens.
        loss: Column of the held-out loss, nats per token.

    Raises:
        ValueError: No readable file, a column is missing or holds text, a value is missing, NaN,
            infinite, not positive or absurdly large, or a run id is empty or stands there twice.
    """
    columns = {"params": params, "tokens": tokens, "losses": loss}
    frame = read_cells(path)
    missing = [name for name in columns.values() if name not in frame.columns]
    if missing:
        raise ValueError(f"{path}: no column {missing}; there are {frame.columns}")
    run_ids = read_run_ids(path, frame)
    values = {}
    for field_name, column in columns.items():
        what = "loss" if field_name == "losses" else "number"
        most = LARGEST_LOSS if field_name == "losses" else LARGEST_SIZE
        cells = read_numbers(path, frame, [column], run_ids, what=what)
        for good, rule in (
            (cells > 0, "must be > 0"),
            (cells <= most, f"must be at most {most:g}"),
        ):
            require_cells(path, good, cells, [column], run_ids, rule=f"{what} {rule}")
        values[field_name] = cells[:, 0]
    return ScalingRuns(run_ids=run_ids, columns=columns, **values)
