"""Plots of losses along one quantity: curves that are extended, and a share that keeps a loss."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from assets.plots import plot_style as style

Floats = NDArray[np.float64]
Predict = Callable[[int, int, Floats], Floats]
"""(evaluation domain, curve, x) -> loss, nats per token."""
MOST_CURVES = 24
POINTS = 80


def plot_extended_curves(
    eval_domains: Sequence[str], x: Floats, losses: Floats, *, predict: Predict, to: float, by: str
) -> bytes:
    """Measured points and their extension, one panel an evaluation domain, as PNG.

    Args:
        eval_domains: E names.
        x: Points, shape (X,), > 0.
        losses: Shape (E, C, X), nats per token, NaN where there is none; the first 24 curves are
            drawn.
        predict: The fitted curves.
        to: Where they were read off.
        by: What x is.

    Raises:
        ValueError: The shapes differ.
    """
    if losses.ndim != 3 or losses.shape[::2] != (len(eval_domains), len(x)):
        raise ValueError(
            f"losses must have shape ({len(eval_domains)}, C, {len(x)}), got {losses.shape}"
        )
    columns = min(3, len(eval_domains))
    rows = math.ceil(len(eval_domains) / columns)
    ends = np.array([x.min(), x.max(), to])
    grid = np.geomspace(ends.min(), ends.max(), POINTS)
    with style.sheet(3.3 * columns, 2.7 * rows, rows=rows, columns=columns) as (figure, panels):
        for target, (name, axes) in enumerate(zip(eval_domains, panels, strict=False)):
            for curve in range(min(losses.shape[1], MOST_CURVES)):
                colour = style.series_look(curve).colour
                axes.plot(grid, predict(target, curve, grid), color=colour, linewidth=0.9)
                axes.scatter(x, losses[target, curve], s=9, color=colour, linewidths=0)
            axes.axvline(to, color=style.QUIET, linewidth=0.8, linestyle=":")
            axes.set(xscale="log", title=style.plain_name(name))
        for axes in panels[len(eval_domains) :]:
            axes.remove()
        figure.supxlabel(style.plain_name(by), fontsize=9, color=style.QUIET)
        figure.supylabel("loss (nats per token)", fontsize=9, color=style.QUIET)
        return style.as_png(figure)


def plot_critical_share(
    shares: Floats,
    losses: Floats,
    *,
    low: Floats,
    high: Floats,
    runs: tuple[Floats, Floats],
    limit: float,
    found: float | None,
    domain: str,
    target: str,
) -> bytes:
    """Loss along the share of one domain, and where it meets what it may be, as PNG.

    Args:
        shares: Of the domain, shape (P,).
        losses: The law's loss at each, nats per token.
        low: Lower bounds over refits.
        high: Upper bounds.
        runs: Shares and losses of the runs behind the law.
        limit: What the loss may be.
        found: The critical share. None: there is none.
        domain: Training domain.
        target: Evaluation domain.
    """
    with style.sheet(6.4, 3.8) as (figure, (axes,)):
        axes.fill_between(shares, low, high, color=style.LIGHT, alpha=0.5, linewidth=0)
        axes.plot(shares, losses, color=style.ACCENT, linewidth=1.6, label="law, 90 % interval")
        axes.scatter(*runs, s=16, color=style.INK, zorder=3, label="runs")
        axes.axhline(limit, color=style.WARNING, linewidth=1, label="must not exceed")
        if found is not None:
            axes.axvline(found, color=style.WARNING, linewidth=1, linestyle=":")
        axes.set(
            xlabel=f"share of {style.plain_name(domain)}",
            ylabel="loss (nats per token)",
            title=f"Loss of {style.plain_name(target)}",
        )
        style.percentages(axes.xaxis)
        axes.legend(loc="best")
        return style.as_png(figure)
