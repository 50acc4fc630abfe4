"""Plots of mixing laws beyond the fit itself: residuals, and predictions with intervals."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assets.plots import plot_style as style

Floats = NDArray[np.float64]


def plot_residuals(eval_domains: Sequence[str], observed: Floats, predicted: Floats) -> bytes:
    """Observed minus predicted loss of left-out runs, one row of dots per domain, as PNG.

    The bar is the middle 90 %, the white dot the median: a median off zero is a biased law, dots
    far outside the bar are runs that the law does not understand.

    Args:
        eval_domains: E names, from top to bottom.
        observed: Losses, shape (N, E), nats per token.
        predicted: Left-out predictions, the same shape and unit.

    Raises:
        ValueError: The shapes differ from each other or from the names.
    """
    _require_shapes(eval_domains, observed, predicted)
    residuals = observed - predicted
    low, middle, high = np.quantile(residuals, [0.05, 0.5, 0.95], axis=0)
    rows = np.arange(len(eval_domains))
    with style.sheet(8.2, 1.3 + 0.34 * len(rows)) as (figure, (axes,)):
        axes.axvline(0, color=style.INK, linewidth=1, zorder=0)
        jitter = np.random.default_rng(0).uniform(-0.18, 0.18, size=residuals.shape)
        axes.scatter(
            residuals, rows + jitter, s=8, color=style.ACCENT, alpha=0.45, linewidths=0, zorder=1
        )
        axes.hlines(rows, low, high, color=style.INK, linewidth=1.6, zorder=2)
        axes.scatter(middle, rows, s=26, facecolor="white", edgecolor=style.INK, zorder=3)
        style.name_rows(axes, eval_domains)
        axes.set(
            xlabel="observed minus predicted loss (nats per token); bar: middle 90 %",
            title="Errors on runs left out",
        )
        return style.as_png(figure)


def plot_predictions(
    eval_domains: Sequence[str], predicted: Floats, low: Floats, high: Floats
) -> bytes:
    """Predicted losses of mixtures with their intervals, best first, one panel a domain, as PNG.

    Args:
        eval_domains: E names.
        predicted: Shape (M, E), nats per token.
        low: Lower ends, the same shape.
        high: Upper ends, the same shape.

    Raises:
        ValueError: The shapes differ from each other or from the names.
    """
    _require_shapes(eval_domains, predicted, low)
    _require_shapes(eval_domains, predicted, high)
    columns = min(4, len(eval_domains))
    rows = math.ceil(len(eval_domains) / columns)
    with style.sheet(2.4 * columns, 2.0 * rows, rows=rows, columns=columns) as (figure, panels):
        for index, (name, axes) in enumerate(zip(eval_domains, panels, strict=False)):
            order = np.argsort(predicted[:, index], kind="stable")
            place = np.arange(1, len(order) + 1)
            axes.vlines(
                place, low[order, index], high[order, index], color=style.LIGHT, linewidth=1.5
            )
            axes.scatter(place, predicted[order, index], s=9, color=style.ACCENT, zorder=3)
            axes.set_title(style.plain_name(name))
            axes.locator_params(nbins=4, integer=False)
            axes.grid(axis="y")
        for axes in panels[len(eval_domains) :]:
            axes.remove()
        figure.supxlabel("mixtures, best first", fontsize=9, color=style.QUIET)
        figure.supylabel("predicted loss (nats per token)", fontsize=9, color=style.QUIET)
        return style.as_png(figure)


def _require_shapes(eval_domains: Sequence[str], first: Floats, second: Floats) -> None:
    if first.shape != second.shape or first.shape[1:] != (len(eval_domains),) or not len(first):
        raise ValueError(
            f"arrays must have shape (N, {len(eval_domains)}) and rows, got {first.shape} and "
            f"{second.shape}"
        )
