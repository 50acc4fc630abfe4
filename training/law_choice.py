"""Which mixing law to use, decided without looking at what it is judged by.

Nested cross-validation: every outer fold is predicted by the law that the *other* runs choose by
inner folds of their own. The scores of those predictions judge the choice and its refit together;
picking the law with the best outer score and quoting that score would flatter it. The law for use
is chosen once more on all runs.

A law is chosen by the mean over evaluation domains of its held-out error, each divided by the
error of the mean loss, so that domains with large losses do not decide alone.
Shapes: N runs, D training domains, E evaluation domains.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Floats, Ints
from training.fitted_laws import law_family, predict_left_out, refit_laws
from training.folds import assign_folds
from training.run_table import RunTable


@dataclass(frozen=True, kw_only=True, slots=True)
class LawChoice:
    """The outcome."""

    method: str
    """Key of `LAWS`: the choice on all runs."""
    errors: Mapping[str, float]
    """Method -> its held-out error over that of the mean loss, on all runs; < 1 is better."""
    left_aside: Mapping[str, str]
    """Method -> why it was not tried."""
    fold_methods: tuple[str, ...]
    """What each outer fold chose."""
    folds: Ints
    """Outer fold of each run, shape (N,)."""
    predicted: Floats
    """Held-out predictions of the whole procedure, shape (N, E), nats per token."""


def choose_law(
    table: RunTable,
    methods: Sequence[str],
    *,
    num_outer: int = 5,
    num_inner: int = 5,
    seed: int = 0,
    tick: Callable[[], None] | None = None,
) -> LawChoice:
    """Choose a law by nested cross-validation.

    Args:
        table: Admitted runs.
        methods: Keys of `LAWS`, tried in this order; the first of equals wins.
        num_outer: Folds that judge the procedure, >= 2.
        num_inner: Folds that choose inside each, >= 2.
        seed: Decides the folds.
        tick: Called after each of the `num_outer + 1` choices.

    Raises:
        ValueError: No method, an unknown one, fewer mixtures than folds, or every method needs
            more runs than the folds leave.
    """
    if not methods or num_outer < 2 or num_inner < 2:
        raise ValueError(
            f"a choice needs methods and at least 2 folds, got {list(methods)}, {num_outer} outer "
            f"and {num_inner} inner folds"
        )
    folds = assign_folds(table.weights, num_folds=num_outer, seed=seed)
    if folds.max() + 1 < num_outer:
        raise ValueError(f"{num_outer} folds need as many mixtures, got {folds.max() + 1}")
    fewest = _fewest_left(table, folds, num_inner=num_inner, seed=seed)
    able, left_aside = _able(table, methods, fewest)
    predicted = np.empty_like(table.losses)
    chosen = []
    for fold in range(num_outer):
        out = folds == fold
        rest = _rows(table, ~out)
        errors = heldout_errors(rest, able, num_folds=num_inner, seed=seed + 1)
        chosen.append(min(errors, key=lambda name: errors[name]))
        (laws,) = refit_laws(rest, np.ones((1, len(rest.run_ids))), method=chosen[-1])
        predicted[out] = laws.predict(table.weights[out])
        if tick is not None:
            tick()
    errors = heldout_errors(table, able, num_folds=num_inner, seed=seed + 1)
    if tick is not None:
        tick()
    return LawChoice(
        method=min(errors, key=lambda name: errors[name]),
        errors=errors,
        left_aside=left_aside,
        fold_methods=tuple(chosen),
        folds=folds,
        predicted=predicted,
    )


def heldout_errors(
    table: RunTable, methods: Sequence[str], *, num_folds: int, seed: int
) -> dict[str, float]:
    """Held-out error of each method over that of the mean loss, averaged over domains.

    Args:
        table: Runs.
        methods: Keys of `LAWS`.
        num_folds: Folds over mixtures.
        seed: Decides them.

    Raises:
        ValueError: A method is unknown, or a fold leaves it too few runs.
    """
    folds = assign_folds(table.weights, num_folds=num_folds, seed=seed)
    counts = (folds[None] != np.arange(folds.max() + 1)[:, None]).astype(np.float64)
    means = (counts @ table.losses / counts.sum(axis=1, keepdims=True))[folds]
    trivial = np.abs(means - table.losses).mean(axis=0)
    errors = {}
    for method in methods:
        predicted = predict_left_out(table, folds, method=method)
        errors[method] = float((np.abs(predicted - table.losses).mean(axis=0) / trivial).mean())
    return errors


def _fewest_left(table: RunTable, folds: Ints, *, num_inner: int, seed: int) -> int:
    """Runs that the smallest inner training set holds."""
    fewest = []
    for fold in range(int(folds.max()) + 1):
        weights = table.weights[folds != fold]
        inner = assign_folds(weights, num_folds=num_inner, seed=seed + 1)
        fewest.append(len(weights) - int(np.bincount(inner).max()))
    return min(fewest)


def _able(table: RunTable, methods: Sequence[str], fewest: int) -> tuple[list[str], dict[str, str]]:
    """Methods that the runs suffice for, and the others with the reason."""
    left_aside = {}
    for method in methods:
        needed = law_family(method).min_runs(len(table.domains))
        if needed > fewest:
            left_aside[method] = f"needs {needed} runs, inner folds leave {fewest}"
    able = [method for method in methods if method not in left_aside]
    if not able:
        reasons = "; ".join(f"{name} {why}" for name, why in left_aside.items())
        raise ValueError(f"too few runs to choose a law: {reasons}")
    return able, left_aside


def _rows(table: RunTable, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> RunTable:
    return replace(
        table,
        run_ids=tuple(np.array(table.run_ids, dtype=object)[chosen].tolist()),
        weights=table.weights[chosen],
        losses=table.losses[chosen],
    )
