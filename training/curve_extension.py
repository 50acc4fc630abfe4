"""Losses of short or small runs, extended to the length or size that is wanted.

One curve per run (its checkpoints) or per mixture (its sizes), and per evaluation domain; each is
fitted by `loss_decay` and read off at the wanted point. What comes out is a table of runs like any
other, to be fitted by a mixing law. How far the extension can be trusted is measured where it can
be: every curve without its last point predicts that point.
Shapes: C curves, X different points, D training domains, E evaluation domains.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.arrays import Floats
from training.csv_cells import RUN_ID, read_cells, read_numbers, require_cells
from training.loss_decay import LossDecay, fit_loss_decays
from training.run_table import RunTable
from training.runs_csv import CsvColumns, read_runs

MIXTURE = "mixture"
"""Instead of a column: rows with the same shares are one curve."""
SAME_SHARES = 6
"""Decimals to which shares are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Losses along steps, tokens or parameters."""

    names: tuple[str, ...]
    """C names."""
    domains: tuple[str, ...]
    """D training domains."""
    eval_domains: tuple[str, ...]
    """E evaluation domains."""
    weights: Floats
    """Shares of each curve, shape (C, D)."""
    x: Floats
    """Points, ascending, shape (X,), > 0."""
    losses: Floats
    """Shape (E, C, X), nats per token; NaN: the curve has no such point."""
    kept: Mapping[str, tuple[str, ...]]
    """Other columns of the file that do not change along any curve: one cell per curve."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtendedCurves:
    """What the curves say of one point."""

    curves: Curves
    """As they were measured."""
    to: float
    """The point."""
    losses: Floats
    """Expected there, shape (C, E), nats per token."""
    decays: tuple[tuple[LossDecay, ...], ...]
    """By evaluation domain, then curve."""
    last_point_error_nats: dict[str, float | None]
    """Evaluation domain -> mean absolute error of last points predicted from the earlier ones.
    None: too few points."""


def read_curves(
    path: Path,
    columns: CsvColumns,
    *,
    by: str,
    curve_of: str = RUN_ID,
    targets: Sequence[str] | None = None,
) -> Curves:
    """Read a table with one row per curve and point.

    Args:
        path: CSV file.
        columns: Prefixes of shares and losses.
        by: Column of steps, tokens or parameters.
        curve_of: Column that names the curve of a row, or `MIXTURE`.
        targets: Evaluation domains. None: all.

    Raises:
        ValueError: A column is missing, a cell is no number > 0, a curve has a point twice, or the
            rows of one curve differ in their shares.
    """
    frame = read_cells(path)
    for column in (by, *(() if curve_of == MIXTURE else (curve_of,))):
        if column not in frame.columns:
            raise ValueError(f"{path}: no column {column}; there are {', '.join(frame.columns)}")
    runs, _ = read_runs(path, columns, targets=targets, for_fit=False, numbered=True)
    x = read_numbers(path, frame, [by], runs.run_ids, what="number")
    require_cells(path, x > 0, x, [by], runs.run_ids, rule="number must be > 0")
    if curve_of == MIXTURE:
        shares = np.round(runs.weights, SAME_SHARES)
        labels = [" ".join(f"{share:g}" for share in row) for row in shares.tolist()]
    else:
        labels = [(name or "").strip() for name in frame[curve_of]]
    taken = (columns.weights_prefix, columns.losses_prefix)
    others = {
        name: [cell or "" for cell in frame[name]]
        for name in frame.columns
        if name not in (by, curve_of, RUN_ID) and not name.startswith(taken)
    }
    kept = {name: _constant(labels, cells) for name, cells in others.items()}
    return replace(
        _arrange(path, labels, x[:, 0], by=by, runs=runs),
        kept={name: cells for name, cells in kept.items() if cells is not None},
    )


def _constant(labels: Sequence[str], cells: Sequence[str]) -> tuple[str, ...] | None:
    """The cell of each curve; None: one curve has several."""
    found: dict[str, str] = {}
    for label, cell in zip(labels, cells, strict=True):
        if found.setdefault(label, cell) != cell:
            return None
    return tuple(found.values())


def _arrange(path: Path, labels: Sequence[str], x: Floats, *, by: str, runs: RunTable) -> Curves:
    weights, losses = runs.weights, runs.losses
    curves = list(dict.fromkeys(labels))
    points = np.unique(x)
    table = np.full((losses.shape[1], len(curves), len(points)), math.nan)
    shares = np.full((len(curves), weights.shape[1]), math.nan)
    for row, label in enumerate(labels):
        place = f"{path}: row {row + 1} (line {row + 2}, curve {label})"
        if not label:
            raise ValueError(f"{place}: it has no name")
        curve, point = curves.index(label), int(np.searchsorted(points, x[row]))
        if np.isfinite(table[0, curve, point]):
            raise ValueError(f"{place}, column {by}: {x[row]:g} stands there twice for this curve")
        if np.isfinite(shares[curve, 0]) and np.abs(shares[curve] - weights[row]).max() > 1e-6:
            raise ValueError(f"{place}: other shares than in the curve's first row")
        shares[curve] = weights[row]
        table[:, curve, point] = losses[row]
    return Curves(
        names=tuple(curves),
        domains=runs.domains,
        eval_domains=runs.eval_domains,
        weights=shares,
        x=points,
        losses=table,
        kept={},
    )


def extend_curves(curves: Curves, *, to: float, shared: bool = False) -> ExtendedCurves:
    """Fit every curve and read it off at one point.

    Args:
        curves: Each with at least three points (two where the exponent is shared).
        to: The point, > 0.
        shared: All curves of an evaluation domain take one exponent.

    Raises:
        ValueError: A number is out of range, or a curve has too few points; it is named.
    """
    if not (math.isfinite(to) and to > 0):
        raise ValueError(f"the point to extend to must be positive and finite, got {to}")
    needed = 2 if shared else 3
    counts = np.isfinite(curves.losses[0]).sum(axis=1)
    if counts.min() < needed:
        few = curves.names[int(counts.argmin())]
        raise ValueError(
            f"curve {few} has {counts.min()} points, each needs {needed}: add checkpoints or sizes"
            + ("" if shared else ", or share the exponent between the curves")
        )
    decays = tuple(
        tuple(fit_loss_decays(curves.x, losses, shared=shared)) for losses in curves.losses
    )
    at = np.array([to])
    return ExtendedCurves(
        curves=curves,
        to=to,
        losses=np.array([[one.predict(at)[0] for one in row] for row in decays]).T,
        decays=decays,
        last_point_error_nats={
            name: _last_point_error(curves.x, losses, shared=shared, needed=needed)
            for name, losses in zip(curves.eval_domains, curves.losses, strict=True)
        },
    )


def _last_point_error(x: Floats, losses: Floats, *, shared: bool, needed: int) -> float | None:
    """Mean absolute error of each curve's last point, predicted from its others."""
    seen = np.isfinite(losses)
    if seen.sum(axis=1).min() <= needed:
        return None
    last = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    earlier = losses.copy()
    rows = np.arange(len(losses))
    earlier[rows, last] = math.nan
    decays = fit_loss_decays(x, earlier, shared=shared)
    predicted = np.array([one.predict(x[[at]])[0] for one, at in zip(decays, last, strict=True)])
    return float(np.abs(predicted - losses[rows, last]).mean())
