"""Mixing laws beside LightGBM with the settings of the RegMix notebook.

The peer: learning rate .01, 1000 trees, everything else by default, no early stopping (theirs looks
at the test rows). Runs are generated from a known law, or read from `regmix_pile17.csv` in a folder
of published runs; each side fits every target, and both are scored on the same rows, which
neither saw. Fewer seconds count only beside an equal or better rank, so ranks stand in the label.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.comparison import Comparison, Family, Inputs, by_turns
from benchmarks.laws import NO_REFERENCE, PUBLISHED_RUNS
from training.fitted_laws import fit_laws
from training.run_table import RunTable

Floats = NDArray[np.float64]
METHODS = ("log_linear", "lightgbm", "gaussian_process")
NOTEBOOK = {
    "objective": "regression",
    "learning_rate": 0.01,
    "seed": 42,
    "num_threads": 1,
    "verbosity": -1,
}
NOTEBOOK_TREES = 1000


def measure(inputs: Inputs) -> Family:
    """Measure the family for `make bench`."""
    return Family(rows=compare(inputs.reference), notes=[] if inputs.reference else [NO_REFERENCE])


def compare(reference: Path | None, *, turns: int = 3) -> list[Comparison]:
    """Each of our laws against the peer, in processor seconds for all targets.

    Args:
        reference: Folder of published runs. None: generated runs.
        turns: How often both sides are measured.
    """
    train, test = _generated() if reference is None else published_tables(reference)
    peer_rank = _rank(_notebook(train, test.weights), test)
    comparisons = []
    for method in METHODS:
        rank = _rank(fit_laws(train, method=method).predict(test.weights), test)

        def ours(method: str = method) -> object:
            return fit_laws(train, method=method)

        seconds = by_turns(ours, lambda: _notebook(train, test.weights), turns=turns)
        comparisons.append(
            Comparison(
                step=f"fit {len(train.eval_domains)} targets on {len(train.run_ids)} runs, "
                f"{method} (held-out Spearman {rank:.4f})",
                peer=f"LightGBM, RegMix settings ({peer_rank:.4f})",
                unit="targets/s",
                amount=float(len(train.eval_domains)),
                ours=seconds[0],
                theirs=seconds[1],
            )
        )
    return comparisons


def _notebook(train: RunTable, mixtures: Floats) -> Floats:
    import lightgbm

    boosters = [
        lightgbm.train(NOTEBOOK, lightgbm.Dataset(train.weights, losses), NOTEBOOK_TREES)
        for losses in train.losses.T
    ]
    return np.column_stack([booster.predict(mixtures) for booster in boosters])


def _rank(predicted: Floats, test: RunTable) -> float:
    columns = zip(predicted.T, test.losses.T, strict=True)
    return float(np.mean([spearmanr(one, other).statistic for one, other in columns]))


def _generated() -> tuple[RunTable, RunTable]:
    rng = np.random.default_rng(0)
    domains = tuple(f"domain{number}" for number in range(8))
    slopes = rng.normal(0.2, 0.3, (6, 8)) - 1.5 * np.eye(6, 8)

    def table(num_runs: int, noise: float) -> RunTable:
        weights = rng.dirichlet(np.full(8, 0.5), size=num_runs)
        losses = 2 + np.exp(weights @ slopes.T)
        return RunTable(
            run_ids=tuple(map(str, range(num_runs))),
            domains=domains,
            eval_domains=domains[:6],
            weights=weights,
            losses=losses + rng.normal(0, noise, losses.shape),
        )

    return table(256, 0.005), table(256, 0.0)


def published_tables(reference: Path) -> tuple[RunTable, RunTable]:
    """Runs to fit and runs to judge by, from `regmix_pile17.csv` in the folder."""
    frame = pl.read_csv(reference / PUBLISHED_RUNS)
    shares = [name for name in frame.columns if name.startswith("p_")]
    losses = [name for name in frame.columns if name.startswith("loss_")]

    def table(split: str) -> RunTable:
        rows = frame.filter(pl.col("split") == split)
        weights = rows.select(shares).to_numpy().astype(np.float64)
        return RunTable(
            run_ids=tuple(rows["run_id"]),
            domains=_without(shares, "p_"),
            eval_domains=_without(losses, "loss_"),
            weights=weights / weights.sum(axis=1, keepdims=True),
            losses=rows.select(losses).to_numpy().astype(np.float64),
        )

    return table("train"), table("test")


def _without(names: Sequence[str], prefix: str) -> tuple[str, ...]:
    return tuple(name.removeprefix(prefix) for name in names)
