"""The two logs of a run: metrics.jsonl, reproducible, and timings.jsonl, not.

metrics.jsonl has one line per step and no clock time in it. A checkpoint records its length; a
resumed run cuts it there, so that it ends up with the same bytes as an uninterrupted run.
timings.jsonl only grows: it tells what the attempts really took.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from training.mixers.interface import Json

PHASES = ("data", "selection", "alignment", "step", "evaluation", "checkpoint")


class MetricsFile:
    """Appends to metrics.jsonl."""

    def __init__(self, path: Path, *, num_bytes: int = 0) -> None:
        """Open the file, keeping its first num_bytes.

        Raises:
            ValueError: It is shorter than that.
        """
        self._file: BinaryIO = path.open("ab")
        if (found := self._file.tell()) < num_bytes:
            self._file.close()
            raise ValueError(
                f"{path} has {found} bytes, the checkpoint relies on {num_bytes}; put it back or "
                "remove the checkpoints to train again"
            )
        self._file.truncate(num_bytes)

    def append(self, line: Mapping[str, Json]) -> None:
        """Add one JSON line."""
        self._file.write(json.dumps(line, sort_keys=True).encode() + b"\n")

    def flushed_bytes(self) -> int:
        """Wait until all lines are on the disk and return the length of the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Stopwatch:
    """Adds up the seconds of each phase and writes a line of timings now and then."""

    def __init__(
        self,
        path: Path | None,
        *,
        step: int,
        tokens_per_step: int,
        every_steps: int,
        num_gpus: int = 0,
    ) -> None:
        """Start after `step` finished steps; write every `every_steps`, or with None never.

        A run occupies its GPUs in every phase, so all its seconds are GPU seconds of each.
        """
        self._num_gpus = num_gpus
        self._path = path
        self._first = step
        self._tokens_per_step = tokens_per_step
        self._every = every_steps
        self._written_at = step
        self._written = dict.fromkeys(PHASES, 0.0)
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time spent inside to a phase, one of PHASES."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start

    def tokens_per_second(self, step: int) -> float:
        """Training speed of this attempt so far: reading and stepping, without evaluation."""
        spent = self.seconds["data"] + self.seconds["step"]
        return (step - self._first) * self._tokens_per_step / spent if spent else 0.0

    def note(self, step: int, *, now: bool = False) -> None:
        """Write a line over the steps since the last one, if it is time."""
        steps = step - self._written_at
        if self._path is None or steps < (1 if now else self._every):
            return
        spent = {phase: self.seconds[phase] - self._written[phase] for phase in PHASES}
        busy = spent["data"] + spent["step"]
        line = {f"{phase}_seconds": round(value, 6) for phase, value in spent.items()} | {
            "step": step,
            "steps": steps,
            "gpu_seconds": round(self._num_gpus * sum(spent.values()), 6),
            "tokens_per_second": round(steps * self._tokens_per_step / busy, 1),
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
        self._written_at, self._written = step, dict(self.seconds)
