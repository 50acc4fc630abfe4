"""Plot of what carries over from small runs to larger ones."""

from collections.abc import Mapping, Sequence

import numpy as np

from assets.plots import plot_style as style
from assets.plots.mixture_plots import Estimate, whiskers


def plot_transfer(
    predicted: Sequence[float],
    actual: Sequence[float],
    *,
    correction: tuple[float, float],
    ranks: Sequence[Estimate],
    errors: Mapping[str, tuple[float, float]],
) -> bytes:
    """Average losses, rank correlations and errors at the larger scale, as PNG.

    Args:
        predicted: Average loss that the law gives each of K mixtures, nats per token.
        actual: What they reached at the larger scale, likewise.
        correction: Offset (nats) and slope that correct the prediction.
        ranks: Rank correlation between the scales, by name, with intervals.
        errors: Name -> mean absolute error before and after the correction, nats per token.

    Raises:
        ValueError: The numbers of predicted and actual losses differ.
    """
    if len(predicted) != len(actual) or not predicted:
        raise ValueError(f"need one prediction per run, got {len(predicted)} and {len(actual)}")
    height = max(3.4, 1.3 + 0.32 * max(len(ranks), len(errors)))
    with style.sheet(11.4, height, columns=3) as (figure, (left, middle, right)):
        ends = np.array([min(predicted), max(predicted)])
        left.scatter(predicted, actual, s=26, color=style.ACCENT, zorder=3)
        left.plot(ends, ends, color=style.QUIET, linewidth=0.8, label="as predicted")
        offset, slope = correction
        left.plot(ends, offset + slope * ends, color=style.WARNING, label="corrected")
        left.set(
            title="Average loss at the larger scale",
            xlabel="the law's prediction (nats per token)",
            ylabel="reached (nats per token)",
        )
        left.locator_params(nbins=5)
        left.legend(loc="best")
        rows = np.arange(len(ranks))
        values = [one.value for one in ranks]
        low, high = ([getattr(one, end) for one in ranks] for end in ("low", "high"))
        bars = whiskers(values, low, high)
        middle.errorbar(values, rows, xerr=bars, fmt="o", color=style.ACCENT, markersize=4.5)
        middle.axvline(0, color=style.INK, linewidth=0.8)
        middle.set(
            title="Rank between the scales", xlabel="Spearman, 90 % interval", xlim=(-1.05, 1.05)
        )
        middle.set_xticks([-1, -0.5, 0, 0.5, 1])
        style.name_rows(middle, [one.name for one in ranks])
        rows = np.arange(len(errors))
        before, after = np.array(list(errors.values())).T
        right.hlines(rows, np.minimum(before, after), np.maximum(before, after), color=style.LIGHT)
        right.scatter(before, rows, s=22, color=style.QUIET, zorder=3, label="as it stands")
        right.scatter(after, rows, s=22, color=style.WARNING, zorder=3, label="corrected")
        right.set(title="Level error", xlabel="mean absolute error (nats per token)")
        right.set_xlim(left=0)
        style.legend_above(right)
        style.name_rows(right, list(errors))
        return style.as_png(figure)
