"""The table of runs behind a skill graph: who trained on what, and what it did to each skill.

One row per finished run, CSV or Parquet:

    run_id             unique
    seed               of the run; runs of one seed start from the same model
    steps              trained; the same in every run
    p_<skill>          share of the skill in the training data; a row sums to one
    loss_<skill>       held-out loss after training, nats per token
    initial_loss_<skill>   the same before training; or one row per seed with steps 0 instead
    kind               optional: `random` marks a run on randomly drawn data (for the test whether
                       a slice is a skill); `skill` or empty: the shares say what it is

Three kinds of runs are used: on one skill alone, on two skills half and half, on random data. Any
other mixture is listed as unused with its reason; a damaged row is an error, never dropped. The
training skills (p_) and the evaluated ones (loss_) may differ: a rectangular graph.

Shapes: S seeds, K training skills, E evaluated skills.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

from training.arrays import Floats
from training.skill_table import (
    INITIAL_PREFIX,
    LOSSES_PREFIX,
    WEIGHTS_PREFIX,
    SkillColumns,
    checked_table,
    find_columns,
    read_table,
)

SHARE_TOLERANCE = 0.01
"""How far realised shares may be from 1 alone, or from one half in a pair."""
INITIAL_TOLERANCE = 1e-6
"""Relative difference of initial losses within a seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnusedRun:
    """A run that no skill graph can use."""

    run_id: str
    """Which."""
    reason: str
    """Why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillRuns:
    """Losses in nats per token, arranged by what was trained on. NaN: there is no such run."""

    trained: tuple[str, ...]
    """K names."""
    evaluated: tuple[str, ...]
    """E names."""
    seeds: tuple[int, ...]
    """S seeds, ascending."""
    steps: int
    """Of every run."""
    initial: Floats
    """Before training, shape (S, E), > 0."""
    alone: Floats
    """After training on one skill, shape (S, K, E)."""
    pairs: Floats
    """After training on two, half and half, shape (S, K, K, E), symmetric; NaN on the diagonal."""
    random: Floats
    """After training on random data, shape (S, E)."""
    used: tuple[str, ...]
    """Run ids behind the numbers, sorted."""
    unused: tuple[UnusedRun, ...]
    """The others."""

    @property
    def has_pairs(self) -> bool:
        """Whether any run trained on two skills."""
        return bool(np.isfinite(self.pairs).any())


def read_skill_runs(path: Path) -> SkillRuns:
    """Read and check a table of runs.

    Raises:
        ValueError: The file cannot be read, or the table breaks one of the rules above; the message
            names the row, the column and what was expected.
    """
    frame = read_table(path)
    try:
        return arrange_skill_runs(frame)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def arrange_skill_runs(frame: pl.DataFrame) -> SkillRuns:
    """Check a table of runs and arrange its losses.

    Raises:
        ValueError: As read_skill_runs, without the name of the file.
    """
    columns = find_columns(frame.columns)
    frame = checked_table(frame, columns)
    initial_rows = frame.filter(pl.col("steps") == 0)
    runs = frame.filter(pl.col("steps") > 0)
    if not runs.height:
        raise ValueError("no run with steps above 0: nothing was trained")
    if len(lengths := runs["steps"].unique().sort().to_list()) > 1:
        odd = runs.row(int(runs["steps"].arg_min() or 0), named=True)
        raise ValueError(
            f"runs have different steps {lengths} (for example {odd['run_id']} has "
            f"{odd['steps']}); a graph compares runs of equal length"
        )
    seeds = tuple(runs["seed"].unique().sort().to_list())
    table = _Arrangement(columns, seeds)
    for row in runs.iter_rows(named=True):
        table.add(row)
    return SkillRuns(
        trained=columns.trained,
        evaluated=columns.evaluated,
        seeds=seeds,
        steps=int(lengths[0]),
        initial=_initial_losses(initial_rows, runs, columns, seeds),
        alone=table.alone,
        pairs=table.pairs,
        random=table.random,
        used=tuple(sorted(table.used)),
        unused=tuple(table.unused),
    )


class _Arrangement:
    """Fills the arrays run by run."""

    def __init__(self, columns: SkillColumns, seeds: tuple[int, ...]) -> None:
        self._columns = columns
        self._seeds = seeds
        num_seeds, trained, evaluated = len(seeds), len(columns.trained), len(columns.evaluated)
        self.alone = np.full((num_seeds, trained, evaluated), np.nan)
        self.pairs = np.full((num_seeds, trained, trained, evaluated), np.nan)
        self.random = np.full((num_seeds, evaluated), np.nan)
        self.used: list[str] = []
        self.unused: list[UnusedRun] = []
        self._cells: dict[tuple[int, str], str] = {}

    def add(self, row: Mapping[str, object]) -> None:
        """Sort one run by its shares."""
        run_id, seed = str(row["run_id"]), int(str(row["seed"]))
        losses = _values(row, LOSSES_PREFIX, self._columns.evaluated)
        shares = _values(row, WEIGHTS_PREFIX, self._columns.trained)
        where = self._seeds.index(seed)
        present = np.flatnonzero(shares > SHARE_TOLERANCE)
        kind = row.get("kind")
        if kind not in (None, "", "skill", "random"):
            raise ValueError(f"run {run_id!r}, column kind: expected skill or random, got {kind!r}")
        if kind == "random":
            self._claim(run_id, seed, "random data")
            self.random[where] = losses
        elif len(present) == 1:
            self._claim(run_id, seed, f"{self._names(present)} alone")
            self.alone[where, present[0]] = losses
        elif len(present) == 2 and (np.abs(shares[present] - 0.5) <= SHARE_TOLERANCE).all():
            self._claim(run_id, seed, self._names(present))
            for first, second in (present, present[::-1]):
                self.pairs[where, first, second] = losses
        else:
            reason = "neither one skill alone nor two half and half, nor of the kind random"
            self.unused.append(UnusedRun(run_id=run_id, reason=reason))

    def _names(self, present: np.ndarray) -> str:
        return " and ".join(self._columns.trained[index] for index in present.tolist())

    def _claim(self, run_id: str, seed: int, what: str) -> None:
        earlier = self._cells.setdefault((seed, what), run_id)
        if earlier != run_id:
            raise ValueError(
                f"runs {earlier!r} and {run_id!r} both trained on {what} with seed {seed}; "
                "give repeats different seeds"
            )
        self.used.append(run_id)


def _values(row: Mapping[str, object], prefix: str, names: tuple[str, ...]) -> Floats:
    return np.array([float(str(row[prefix + name])) for name in names])


def _initial_losses(
    initial_rows: pl.DataFrame, runs: pl.DataFrame, columns: SkillColumns, seeds: tuple[int, ...]
) -> Floats:
    """Losses before training, shape (S, E)."""
    if columns.has_initial and initial_rows.height:
        raise ValueError(
            f"initial losses stand in columns {INITIAL_PREFIX}<skill> and in rows with steps 0 "
            f"({initial_rows['run_id'][0]}); give one of the two"
        )
    source, prefix = (
        (runs, INITIAL_PREFIX) if columns.has_initial else (initial_rows, LOSSES_PREFIX)
    )
    found = np.empty((len(seeds), len(columns.evaluated)))
    for where, seed in enumerate(seeds):
        rows = source.filter(pl.col("seed") == seed)
        if not rows.height:
            raise ValueError(
                f"seed {seed} has no initial losses: add columns {INITIAL_PREFIX}<skill>, or a row "
                "with steps 0 that holds the losses before training"
            )
        for column, name in enumerate(columns.evaluated):
            values = rows[prefix + name].to_numpy()
            if np.ptp(values) > INITIAL_TOLERANCE * values.max():
                raise ValueError(
                    f"seed {seed}, column {prefix}{name}: runs of one seed start from one model, "
                    f"but initial losses go from {values.min()} to {values.max()}"
                )
            found[where, column] = values[0]
    return found


def absent_pairs(runs: SkillRuns, wanted: Iterable[str]) -> list[str]:
    """Names of the runs on two skills, one of them wanted, that some seed lacks."""
    wanted = set(wanted)
    return [
        f"{first} and {second} (seed {seed})"
        for (i, first), (j, second) in combinations(enumerate(runs.trained), 2)
        if {first, second} & wanted
        for where, seed in enumerate(runs.seeds)
        if not np.isfinite(runs.pairs[where, i, j]).all()
    ]


def absent_alone(runs: SkillRuns, wanted: Iterable[str]) -> list[str]:
    """Names of the runs on one wanted skill that some seed lacks."""
    return [
        f"{name} alone (seed {seed})"
        for name in wanted
        for where, seed in enumerate(runs.seeds)
        if name not in runs.trained
        or not np.isfinite(runs.alone[where, runs.trained.index(name)]).all()
    ]
