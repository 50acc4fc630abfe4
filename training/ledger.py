"""The ledger of a run: every row that was drawn, and the weights it was drawn for.

    ledger/part-00000001.parquet       step, slot, domain, row, epoch           one line per row
    ledger/weights-00000001.parquet    step, domain, requested, applied, rows   one per domain, step

Steps count from 1; row is the row of the domain's train shards at the run's context length, so with
the shards the ledger gives back every token in order. The number in a name is the first step of the
file. A file covers STEPS_PER_PART steps whatever happens meanwhile: the lines of an unfinished one
are kept in the checkpoint, so an interrupted and resumed run writes the same bytes.

Shapes: D domains, B rows of a batch.
"""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from training.arrays import Floats, Ints
from training.durable_files import publish, temporary_path
from training.sampler import BatchPlan

STEPS_PER_PART = 512

_ROWS = "ledger.rows"
_WEIGHTS = "ledger.weights"


class Ledger:
    """Writes the ledger of one run."""

    def __init__(self, folder: Path, domains: tuple[str, ...]) -> None:
        """Start an empty ledger; files of an earlier attempt are removed."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._domains = domains
        self._rows: list[Ints] = []
        self._weights: list[Floats] = []
        for path in folder.iterdir():
            path.unlink()

    @classmethod
    def resume(
        cls, folder: Path, domains: tuple[str, ...], *, step: int, tensors: dict[str, Tensor]
    ) -> "Ledger":
        """Continue after a checkpoint.

        Args:
            folder: Of the ledger; what was written after the checkpoint is removed.
            domains: Their names.
            step: Steps finished at the checkpoint.
            tensors: What pending() returned then.

        Raises:
            ValueError: A file that the checkpoint relies on is missing.
        """
        folder.mkdir(parents=True, exist_ok=True)
        ledger = cls.__new__(cls)
        ledger._folder = folder
        ledger._domains = domains
        ledger._rows = [tensors[_ROWS].numpy()] if len(tensors[_ROWS]) else []
        ledger._weights = [tensors[_WEIGHTS].numpy()] if len(tensors[_WEIGHTS]) else []
        firsts = range(1, step - step % STEPS_PER_PART + 1, STEPS_PER_PART)
        expected = {path for first in firsts for path in _paths(folder, first)}
        for path in sorted(expected):
            if not path.exists():
                raise ValueError(
                    f"{path} is missing, the checkpoint of step {step} relies on it; put it back "
                    "or remove the checkpoints to train again"
                )
        for path in set(folder.iterdir()) - expected:
            path.unlink()
        return ledger

    def append(self, step: int, plan: BatchPlan) -> None:
        """Add the batch of a step, from 1; steps come one after the other."""
        slots = np.arange(len(plan.rows))
        steps = np.full_like(slots, step)
        self._rows.append(
            np.column_stack([steps, slots, plan.domain_index, plan.rows, plan.epochs])
        )
        order = np.arange(len(self._domains), dtype=np.float64)
        self._weights.append(
            np.column_stack(
                [np.full_like(order, step), order, plan.requested, plan.applied, plan.counts]
            )
        )
        if step % STEPS_PER_PART == 0:
            self._write(step - STEPS_PER_PART + 1)

    def pending(self) -> dict[str, Tensor]:
        """Return the lines that are in no file yet, for the checkpoint."""
        rows = np.concatenate([np.empty((0, 5), dtype=np.int64), *self._rows])
        weights = np.concatenate([np.empty((0, 5)), *self._weights])
        return {_ROWS: torch.from_numpy(rows), _WEIGHTS: torch.from_numpy(weights)}

    def finish(self) -> None:
        """Write the last, perhaps shorter, file."""
        if self._rows:
            self._write(int(self._rows[0][0, 0]))

    def _write(self, first: int) -> None:
        rows = np.concatenate(self._rows)
        weights = np.concatenate(self._weights)
        part, weights_path = _paths(self._folder, first)
        for path, table in (
            (part, named_rows(rows, self._domains)),
            (weights_path, named_weights(weights, self._domains)),
        ):
            table.write_parquet(temporary_path(path), compression="zstd")
            publish(path)
        self._rows, self._weights = [], []


def named_rows(rows: Ints, domains: tuple[str, ...]) -> pl.DataFrame:
    """Turn rows as a checkpoint holds them, shape (n, 5), into the table of a file."""
    return pl.DataFrame(
        {
            "step": rows[:, 0],
            "slot": pl.Series(rows[:, 1], dtype=pl.Int32),
            "domain": _names(rows[:, 2], domains),
            "row": rows[:, 3],
            "epoch": pl.Series(rows[:, 4], dtype=pl.Int32),
        }
    )


def named_weights(weights: Floats, domains: tuple[str, ...]) -> pl.DataFrame:
    """Turn weights as a checkpoint holds them, shape (n, 5), into the table of a file."""
    return pl.DataFrame(
        {
            "step": weights[:, 0].astype(np.int64),
            "domain": _names(weights[:, 1].astype(np.int64), domains),
            "requested": weights[:, 2],
            "applied": weights[:, 3],
            "rows": weights[:, 4].astype(np.int64),
        }
    )


def _names(indices: Ints, domains: tuple[str, ...]) -> pl.Series:
    return pl.Series(domains, dtype=pl.String).gather(indices)


def read_ledger(folder: Path) -> pl.DataFrame:
    """Return all rows of a ledger in order: step, slot, domain, row, epoch."""
    return pl.read_parquet(sorted(folder.glob("part-*.parquet")))


def read_weights(folder: Path) -> pl.DataFrame:
    """Return the weights of all steps in order: step, domain, requested, applied, rows."""
    return pl.read_parquet(sorted(folder.glob("weights-*.parquet")))


def scan_rows(folder: Path) -> list[pl.LazyFrame]:
    """Return the files of rows, unread; a query opens those that it needs."""
    return [pl.scan_parquet(path) for path in sorted(folder.glob("part-*.parquet"))]


def scan_weights(folder: Path) -> list[pl.LazyFrame]:
    """Return the files of weights, unread."""
    return [pl.scan_parquet(path) for path in sorted(folder.glob("weights-*.parquet"))]


def _paths(folder: Path, first: int) -> tuple[Path, Path]:
    return folder / f"part-{first:08d}.parquet", folder / f"weights-{first:08d}.parquet"
