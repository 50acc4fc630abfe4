"""Laws in mixture, parameters and tokens for every evaluation domain.

The forms stand in `mixing_laws.scaled_laws`. Here they get what every law has: all evaluation
domains at once, refits for intervals, and a mixing law at any one scale, which is all that a
consumer needs. Refits draw mixtures with all their runs, since runs of one mixture err together.
Shapes: K runs, D training domains, E evaluation domains, R refits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Ints
from training.fitted_laws import SLICE, FittedLaws
from training.folds import assign_folds
from training.mixing_laws.scaled_laws import Form, ScaledLaw, fit_scaled_law
from training.run_table import RunTable

FORMS: dict[str, Form] = {"joint_additive": "additive", "joint_log_linear": "log_linear"}
"""Name of the law -> form of `fit_scaled_law`."""

Tick = Callable[[str, int, int], None]
"""(what is being done, fits done, fits in all)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointTable:
    """Finished runs of several mixtures, sizes and lengths."""

    runs: RunTable
    """Mixtures and losses."""
    params: Floats
    """Parameters of each run, shape (K,), > 0."""
    tokens: Floats
    """Training tokens of each run, shape (K,), > 0."""

    def take(self, rows: Ints) -> "JointTable":
        """Some rows, in an order, perhaps more than once."""
        runs = self.runs
        return JointTable(
            runs=RunTable(
                run_ids=tuple(runs.run_ids[row] for row in rows.tolist()),
                domains=runs.domains,
                eval_domains=runs.eval_domains,
                weights=runs.weights[rows],
                losses=runs.losses[rows],
            ),
            params=self.params[rows],
            tokens=self.tokens[rows],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class JointLaws:
    """One law per evaluation domain."""

    method: str
    """Key of `FORMS`."""
    domains: tuple[str, ...]
    """D training domains: order of the weights."""
    eval_domains: tuple[str, ...]
    """E evaluation domains: order of `laws`."""
    laws: tuple[ScaledLaw, ...]
    """One per evaluation domain."""

    def predict(self, weights: Floats, params: Floats, tokens: Floats) -> Floats:
        """Map K mixtures (K, D) with their sizes and lengths to losses, shape (K, E)."""
        return np.column_stack([law.predict(weights, params, tokens) for law in self.laws])

    def at(self, *, params: float, tokens: float) -> FittedLaws:
        """The mixing laws of runs of one size and length; they are convex.

        Raises:
            ValueError: Parameters or tokens are not positive.
        """
        return FittedLaws(
            method=SLICE,
            domains=self.domains,
            eval_domains=self.eval_domains,
            laws=tuple(law.at(params=params, tokens=tokens) for law in self.laws),
        )


def fit_joint(table: JointTable, *, method: str) -> JointLaws:
    """Fit every evaluation domain.

    Args:
        table: The runs.
        method: Key of `FORMS`.

    Raises:
        ValueError: The method is unknown, or as `fit_scaled_law`.
    """
    if method not in FORMS:
        raise ValueError(f"unknown joint law {method!r}: choose one of {sorted(FORMS)}")
    runs = table.runs
    return JointLaws(
        method=method,
        domains=runs.domains,
        eval_domains=runs.eval_domains,
        laws=tuple(
            fit_scaled_law(runs.weights, table.params, table.tokens, losses, form=FORMS[method])
            for losses in runs.losses.T
        ),
    )


def bootstrap_joint(
    table: JointTable, *, method: str, num_refits: int, seed: int = 0, tick: Tick | None = None
) -> tuple[JointLaws, ...]:
    """Refit on mixtures drawn with replacement, each with all its runs.

    A draw that cannot be fitted (too few runs, one size) is drawn again.

    Args:
        table: The runs.
        method: Key of `FORMS`.
        num_refits: R, >= 1.
        seed: Decides the draws.
        tick: Told of progress.

    Raises:
        ValueError: `num_refits` is below 1, or hardly any draw can be fitted.
    """
    if num_refits < 1:
        raise ValueError(f"num_refits must be at least 1, got {num_refits}")
    mixtures = assign_folds(table.runs.weights, num_folds=len(table.runs.run_ids), seed=seed)
    names = np.unique(mixtures)
    rng = np.random.default_rng(seed)
    found: list[JointLaws] = []
    failed = 0
    while len(found) < num_refits:
        drawn = rng.choice(names, size=len(names))
        rows = np.concatenate([np.flatnonzero(mixtures == one) for one in drawn])
        try:
            found.append(fit_joint(table.take(rows), method=method))
        except ValueError as error:
            failed += 1
            if failed > 10 + num_refits:
                raise ValueError(f"most draws of the mixtures support no fit: {error}") from error
        if tick is not None:
            tick("refits on drawn mixtures", len(found), num_refits)
    return tuple(found)
