"""Plots of scaling laws: the runs with their IsoFLOP curves, and a plan on its curve."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from assets.plots import plot_style as style

Floats = NDArray[np.float64]
Predict = Callable[[Floats, Floats], Floats]
"""(params, tokens) -> loss, nats per token."""

CURVE_POINTS = 160


def plot_scaling_fit(
    params: Floats, tokens: Floats, losses: Floats, *, predict: Predict, budgets: Sequence[float]
) -> bytes:
    """Runs beside the law's IsoFLOP curves, and the error of each run, as PNG.

    Args:
        params: Shape (N,).
        tokens: Shape (N,).
        losses: Shape (N,), nats per token.
        predict: The fitted law.
        budgets: FLOPs of the curves.
    """
    with style.sheet(9.6, 3.8, columns=2) as (figure, (left, right)):
        flops = 6 * params * tokens
        shade = left.scatter(
            params, losses, c=np.log10(flops), cmap="viridis", s=16, linewidths=0, zorder=3
        )
        sizes = np.geomspace(params.min(), params.max(), CURVE_POINTS)
        low, high = losses.min() / 1.03, losses.max() * 1.03
        for budget in budgets:
            curve = predict(sizes, budget / (6 * sizes))
            inside = curve <= high
            colour = shade.to_rgba(np.log10(budget))
            left.plot(sizes[inside], curve[inside], color=colour, linewidth=1)
        left.set(
            xscale="log",
            ylim=(low, high),
            xlabel="parameters",
            ylabel="loss (nats per token)",
            title="Runs and IsoFLOP curves of the law",
        )
        bar = figure.colorbar(shade, ax=left, fraction=0.04, pad=0.02)
        bar.set_label("log10 of the training FLOPs")
        bar.outline.set_visible(False)
        error = 100 * (losses / predict(params, tokens) - 1)
        right.axhline(0, color=style.QUIET, linewidth=0.8)
        right.scatter(tokens / params, error, s=14, color=style.ACCENT, alpha=0.75, linewidths=0)
        right.set(
            xscale="log",
            xlabel="tokens per parameter",
            ylabel="observed above predicted (%)",
            title="What the law misses",
        )
        return style.as_png(figure)


def plot_isoflop_curve(
    params: Floats,
    losses: Floats,
    *,
    low: Floats | None,
    high: Floats | None,
    chosen: tuple[float, float],
    best: tuple[float, float],
    title: str,
) -> bytes:
    """Loss over model size at one budget, with the chosen point, as PNG.

    Args:
        params: Sizes along the curve, shape (P,).
        losses: Loss at each, shape (P,), nats per token.
        low: Lower bounds over refits, shape (P,); None: unknown.
        high: Upper bounds, shape (P,).
        chosen: Parameters and loss of the plan.
        best: Parameters and loss of the curve's minimum.
        title: Above the axes.
    """
    with style.sheet(7.4, 3.9) as (figure, (axes,)):
        if low is not None and high is not None:
            axes.fill_between(params, low, high, color=style.LIGHT, alpha=0.5, linewidth=0)
        axes.plot(params, losses, color=style.ACCENT, linewidth=1.6)
        axes.scatter(*best, s=60, facecolor="white", edgecolor=style.INK, zorder=3, label="optimum")
        axes.scatter(*chosen, s=26, color=style.WARNING, zorder=4, label="plan")
        axes.set(
            xscale="log", xlabel="parameters", ylabel="expected loss (nats per token)", title=title
        )
        style.legend_above(axes)
        return style.as_png(figure)
