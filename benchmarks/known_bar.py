"""One bar on known data, and how the published runs are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from training.arrays import Floats

WEIGHTS_FILE = "dml_valid_weight.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A number that has to be reached."""

    runs: str
    """Which runs."""
    what: str
    """What is measured, with its unit."""
    limit: float
    """The bar."""
    measured: float
    """What came out."""
    at_least: bool = False
    """The number has to be at least the bar, not at most."""
    note: str = ""
    """In which way the procedure differs from the one the bar was set for."""

    @property
    def holds(self) -> bool:
        """Whether the bar is cleared."""
        if self.at_least:
            return self.measured >= self.limit
        return self.measured <= self.limit

    def line(self) -> str:
        """One sentence for a list."""
        side = ">=" if self.at_least else "<="
        verdict = "holds" if self.holds else "**does not hold**"
        note = f" ({self.note})" if self.note else ""
        return (
            f"{self.runs}: {self.what} {self.measured:.5g}, bar {side} {self.limit:.5g}: "
            f"{verdict}{note}"
        )


def shares(table: pl.DataFrame) -> Floats:
    """Weights of the rows, shape (N, D); published shares are rounded."""
    weights = table.select(pl.col("^p_.*$")).to_numpy().astype(np.float64)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def loss_columns(table: pl.DataFrame) -> list[str]:
    """Names of the columns of losses."""
    return [name for name in table.columns if name.startswith("loss_")]


def losses_of(table: pl.DataFrame, names: Sequence[str]) -> Floats:
    """Losses of the rows, shape (N, E), nats per token; NaN where a run lacks one."""
    return np.asarray(table.select(names).to_numpy().astype(np.float64))


def validation_weights(reference: Path) -> tuple[list[str], Floats]:
    """Columns of the parts of the validation set, and what each part weighs."""
    table = pl.read_csv(reference / WEIGHTS_FILE)
    return ["loss_" + name for name in table["target"]], table["weight"].to_numpy()


def with_weighted_loss(table: pl.DataFrame, reference: Path) -> pl.DataFrame:
    """The table with a column `weighted`, the loss of the whole validation set."""
    names, weights = validation_weights(reference)
    return table.with_columns(pl.Series("weighted", losses_of(table, names) @ weights))
