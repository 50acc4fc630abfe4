"""Plots of runs while they train: loss over steps, and the weights they sampled with."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assets.plots import plot_style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

WINDOW_SHARE = 0.04
"""Length of the running mean as a share of the run."""


def running_mean(values: Floats, window: int) -> Floats:
    """Mean over the values around each one that are known; NaN where none is.

    Args:
        values: Shape (N,); NaN for a step without a value.
        window: Steps, odd, so that the mean is centred; shorter at both ends.
    """
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    position = np.arange(len(values))
    first = np.maximum(position - window // 2, 0)
    last = np.minimum(position + window // 2 + 1, len(values))
    number = counts[last] - counts[first]
    total = sums[last] - sums[first]
    mean: Floats = np.full(len(values), np.nan)
    np.divide(total, number, out=mean, where=number > 0)
    return mean


def plot_training_losses(
    steps: Sequence[int],
    losses: Sequence[float],
    by_domain: Mapping[str, Sequence[float | None]],
    *,
    heldout: Mapping[int, Mapping[str, float]] | None = None,
) -> bytes:
    """Training loss over steps, in all and by domain, with held-out losses as dots, as PNG.

    Args:
        steps: Numbers of the steps.
        losses: Loss of each step, nats per token.
        by_domain: Domain -> its loss in each step; None where its rows were not drawn.
        heldout: Step -> domain -> held-out loss; None: not measured on the way.
    """
    window = 2 * round(WINDOW_SHARE * len(steps) / 2) + 1
    smooth = f"running mean of {window} steps" if window > 1 else "each step"
    dot = "o" if len(steps) == 1 else None  # a line through one point has no length
    with style.sheet(10, 3.6, columns=2) as (figure, (left, right)):
        if window > 1:
            left.plot(steps, losses, color=style.LIGHT, linewidth=0.8, label="each step")
        mean = running_mean(np.asarray(losses, dtype=np.float64), window)
        left.plot(steps, mean, color=style.ACCENT, linewidth=1.6, label=smooth, marker=dot)
        left.legend(loc="upper right")
        left.set(title="Training loss", xlabel="step", ylabel="loss (nats per token)")
        for index, (name, values) in enumerate(by_domain.items()):
            look = style.series_look(index)
            known = np.array([np.nan if value is None else value for value in values])
            right.plot(
                steps,
                running_mean(known, window),
                color=look.colour,
                linestyle=look.dash,
                linewidth=1.3,
                marker=dot,
                label=style.plain_name(name),
            )
            if heldout:
                seen = {step: found[name] for step, found in heldout.items() if name in found}
                right.scatter(list(seen), list(seen.values()), s=16, color=look.colour, zorder=3)
        title = f"By domain ({smooth})"
        right.set(title=title, xlabel="step")
        if heldout:
            right.set_title("dots: held out", loc="right", fontsize=8.5, fontweight="normal")
        _legend_beside(right)
        for axes in (left, right):
            axes.grid(axis="both")
            axes.locator_params(axis="x", integer=True)
        return style.as_png(figure)


def plot_sampling_weights(
    steps: Sequence[int], weights: Mapping[str, Sequence[float]], *, title: str = ""
) -> bytes:
    """Sampling weights over steps as stacked areas that fill the height, as PNG.

    A weight holds for its whole step, so the areas have stairs, not slopes.

    Args:
        steps: Numbers of the steps.
        weights: Domain -> its weight in each step; they sum to 1 over the domains.
        title: Above the axes; empty: a general one.
    """
    with style.sheet(8.6, 3.4) as (figure, (axes,)):
        looks = [style.series_look(index) for index in range(len(weights))]
        places: Sequence[float] = steps
        heights: list[Sequence[float]] = list(weights.values())
        if len(steps) == 1:  # as wide as the step
            places = [steps[0] - 0.5, steps[0] + 0.5]
            heights = [[*values, *values] for values in heights]
        areas = axes.stackplot(
            places,
            heights,
            labels=[style.plain_name(name) for name in weights],
            colors=[look.colour for look in looks],
            edgecolor="white",
            linewidth=0.4,
            step="mid",
        )
        for area, look in zip(areas, looks, strict=True):
            area.set_hatch(look.hatch)
        axes.set(title=title or "Sampling weights", xlabel="step", ylabel="weight", ylim=(0, 1))
        axes.set_xlim(places[0], places[-1])
        axes.locator_params(axis="x", integer=True)
        style.percentages(axes.yaxis)
        _legend_beside(axes, reverse=True)
        return style.as_png(figure)


def _legend_beside(axes: "Axes", *, reverse: bool = False) -> None:
    """Put the legend to the right of the axes; reversed, so that it reads like a stack."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, reverse=reverse)
