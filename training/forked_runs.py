"""Short runs forked from one checkpoint: what the next stretch of training should train on.

    after = before - A p        A[i, j]: drop of evaluation loss i by a stretch on domain j alone

The law stands in `mixing_laws.dynamic_linear`. Here it gets intervals (refits on forks drawn with
replacement) and the error on forks that were left out, beside that of the mean drop: where the law
is no better, the stretch was too short to tell mixtures apart.
Shapes: F forks, D training domains, E evaluation domains, R refits.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats
from training.csv_cells import LARGEST_LOSS, read_cells, read_numbers, require_cells
from training.mixing_laws.dynamic_linear import DynamicLinearLaw, fit_dynamic_linear
from training.run_table import RunTable
from training.runs_csv import CsvColumns, read_runs

INITIAL_PREFIX = "initial_"
"""Before the name of a column of losses: the same loss at the checkpoint."""
LEVEL = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Forks:
    """Forked runs."""

    runs: RunTable
    """Mixtures, and losses at the end of the stretch."""
    before: Floats
    """Losses at the checkpoint of each fork, shape (F, E), nats per token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForkEvidence:
    """The law and how sure it is."""

    law: DynamicLinearLaw
    """Fitted on all forks."""
    low: Floats
    """Lower ends of the intervals of A, shape (E, D), nats."""
    high: Floats
    """Upper ends."""
    left_out_error_nats: float
    """Mean absolute error of the drop of forks that the fit did not see."""
    mean_error_nats: float
    """The same of the mean drop of the other forks."""
    num_refits: int
    """Draws behind the intervals; draws that cannot tell the domains apart are left out."""

    def signs(self) -> NDArray[np.str_]:
        """positive, negative or none for each entry of A, by its interval, shape (E, D)."""
        unsigned = np.where(self.high < 0, "negative", "none")
        return np.where(self.low > 0, "positive", unsigned)

    def to_json(self) -> dict[str, object]:
        """Everything, keyed by evaluation domain, then training domain."""
        law = self.law

        def named(values: Floats) -> dict[str, dict[str, float]]:
            rows = zip(law.eval_domains, values.tolist(), strict=True)
            return {name: dict(zip(law.domains, row, strict=True)) for name, row in rows}

        return {
            **law.to_json(),
            "axes": ["eval", "train"],
            "drops_low": named(self.low),
            "drops_high": named(self.high),
            "level": LEVEL,
            "left_out_error_nats": self.left_out_error_nats,
            "mean_error_nats": self.mean_error_nats,
            "refits": self.num_refits,
        }


def read_forks(path: Path, columns: CsvColumns) -> tuple[Forks, tuple[str, ...]]:
    """Read one row per fork.

    Args:
        path: CSV file with shares, losses, and for each loss a column initial_<its name>.
        columns: Prefixes of shares and losses.

    Raises:
        ValueError: As `read_runs`, or an initial loss is missing or no loss.
    """
    runs, notes = read_runs(path, columns)
    frame = read_cells(path)
    cells = [f"{INITIAL_PREFIX}{columns.losses_prefix}{name}" for name in runs.eval_domains]
    for name in cells:
        if name not in frame.columns:
            raise ValueError(
                f"{path}: no column {name}: the loss at the checkpoint is needed for every loss"
            )
    before = read_numbers(path, frame, cells, runs.run_ids, what="loss")
    good = (before > 0) & (before <= LARGEST_LOSS)
    rule = f"loss must be > 0 and at most {LARGEST_LOSS:g} nats per token"
    require_cells(path, good, before, cells, runs.run_ids, rule=rule)
    return Forks(runs=runs, before=before), notes


def judge_forks(forks: Forks, *, num_refits: int = 200, seed: int = 0) -> ForkEvidence:
    """Fit the law, leave every fork out once, and refit on drawn forks.

    Args:
        forks: At least D + 2, whose weights tell the domains apart without any one of them.
        num_refits: R, >= 20.
        seed: Decides the draws.

    Raises:
        ValueError: Too few forks or refits, or the forks do not tell the domains apart.
    """
    if num_refits < 20:
        raise ValueError(f"intervals need at least 20 refits, got {num_refits}")
    num_forks, num_domains = forks.runs.weights.shape
    if num_forks < num_domains + 2:
        raise ValueError(
            f"{num_domains} training domains need {num_domains + 2} forks, one of which can be "
            f"left out, got {num_forks}"
        )
    everything = np.arange(num_forks)
    law = _fit(forks, everything)
    drop = forks.before - forks.runs.losses
    by_law, by_mean = np.empty_like(drop), np.empty_like(drop)
    for fork in range(num_forks):
        rest = everything[everything != fork]
        by_law[fork] = _fit(forks, rest).drops @ forks.runs.weights[fork]
        by_mean[fork] = drop[rest].mean(axis=0)
    drawn = _drawn(forks, num_refits, seed)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return ForkEvidence(
        law=law,
        low=low,
        high=high,
        left_out_error_nats=float(np.abs(by_law - drop).mean()),
        mean_error_nats=float(np.abs(by_mean - drop).mean()),
        num_refits=len(drawn),
    )


def _drawn(forks: Forks, num_refits: int, seed: int) -> list[Floats]:
    """A of every draw that tells the domains apart."""
    rng = np.random.default_rng(seed)
    num_forks, num_domains = forks.runs.weights.shape
    found = []
    for rows in rng.integers(num_forks, size=(num_refits, num_forks)):
        if np.linalg.matrix_rank(forks.runs.weights[rows], tol=1e-6) == num_domains:
            found.append(_fit(forks, rows).drops)
    if len(found) < num_refits / 2:
        raise ValueError(
            f"only {len(found)} of {num_refits} draws of {num_forks} forks tell {num_domains} "
            "domains apart: fork more runs"
        )
    return found


def _fit(forks: Forks, rows: NDArray[np.int64]) -> DynamicLinearLaw:
    runs = forks.runs
    return fit_dynamic_linear(
        runs.weights[rows],
        forks.before[rows],
        runs.losses[rows],
        domains=runs.domains,
        eval_domains=runs.eval_domains,
    )
