"""Plots of finished runs: losses, methods against each other, predictions, cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.plots import plot_style as style
from assets.plots.mixture_plots import whiskers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodDifference:
    """Loss of one method minus the baseline's in one domain, paired over seeds."""

    method: str
    """Label of the method."""
    domain: str
    """Evaluation domain."""
    by_seed: tuple[float, ...]
    """One difference per seed, nats per token; negative: better than the baseline."""
    low: float | None
    """Lower end of the interval of the mean; None: too few seeds for one."""
    high: float | None
    """Upper end of the interval of the mean."""


def plot_evaluation(scores: pl.DataFrame) -> bytes:
    """Held-out loss of each domain with bars of one standard error, as PNG.

    Args:
        scores: One row per domain: domain, loss_nats, loss_se (null: unknown, no bar is drawn).
    """
    ordered = scores.sort("domain")
    errors = ordered["loss_se"].cast(pl.Float64).fill_null(np.nan)
    with style.sheet(8.2, 1.2 + 0.32 * ordered.height) as (figure, (axes,)):
        axes.errorbar(
            ordered["loss_nats"].to_list(),
            range(ordered.height),
            xerr=errors.to_list(),
            fmt="o",
            color=style.ACCENT,
            markersize=6,
            elinewidth=1.2,
            capsize=3,
        )
        style.name_rows(axes, ordered["domain"].to_list())
        axes.set(title="Held-out loss", xlabel="loss (nats per token), bars: 1 standard error")
        return style.as_png(figure)


def plot_methods(
    differences: Sequence[MethodDifference], *, baseline: str, min_seeds: int
) -> bytes:
    """Difference of each method to a baseline in each domain, paired over seeds, as PNG.

    Small dots are single seeds. A mean with its interval is drawn only where there is one.

    Args:
        differences: In any order; methods and domains are drawn in order of appearance.
        baseline: Label of the method that is the zero line.
        min_seeds: Fewest seeds of an interval, for the label.
    """
    methods = list(dict.fromkeys(one.method for one in differences))
    domains = list(dict.fromkeys(one.domain for one in differences))
    offsets = np.linspace(-0.27, 0.27, len(methods)) if len(methods) > 1 else np.zeros(1)
    height = 1.5 + len(domains) * max(0.34, 0.17 * len(methods))
    with style.sheet(8.6, height) as (figure, (axes,)):
        axes.axvline(0, color=style.INK, linewidth=1, zorder=1)
        for index, method in enumerate(methods):
            look = style.series_look(2 * index)
            mine = [one for one in differences if one.method == method]
            rows = [domains.index(one.domain) + offsets[index] for one in mine]
            for row, one in zip(rows, mine, strict=True):
                axes.scatter(
                    one.by_seed, [row] * len(one.by_seed), s=9, color=look.colour, alpha=0.5
                )
            known = [(row, one) for row, one in zip(rows, mine, strict=True) if one.low is not None]
            means = [float(np.mean(one.by_seed)) for _, one in known]
            ends = [(one.low or 0.0, one.high or 0.0) for _, one in known]
            axes.errorbar(
                means,
                [row for row, _ in known],
                xerr=whiskers(means, [low for low, _ in ends], [high for _, high in ends]),
                fmt=look.marker,
                color=look.colour,
                markersize=6,
                elinewidth=1.4,
                capsize=2.5,
            )
            axes.scatter([], [], s=34, marker=look.marker, color=look.colour, label=method)
        style.name_rows(axes, domains)
        axes.set(
            title=f"Loss minus that of {baseline}, same seed",
            xlabel="difference (nats per token), left is better; bars: 95 % interval, "
            f"drawn from {min_seeds} seeds on",
        )
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
        return style.as_png(figure)


def plot_predicted_vs_actual(comparison: pl.DataFrame) -> bytes:
    """Actual against predicted loss, domains by colour and methods by marker, as PNG.

    Bars: predicted interval (across) and one standard error of the measurement (up and down).

    Args:
        comparison: One row per run and domain: method, domain, predicted, predicted_low,
            predicted_high, actual, actual_se; nats per token. A null bound draws no bar.
    """
    methods = comparison["method"].unique(maintain_order=True).to_list()
    domains = comparison["domain"].unique().sort().to_list()
    bars = comparison.with_columns(
        pl.col("predicted_low", "predicted_high", "actual_se").cast(pl.Float64).fill_null(np.nan)
    )
    with style.sheet(8.0, 5.2) as (figure, (axes,)):
        for (method, domain), rows in bars.group_by(["method", "domain"], maintain_order=True):
            predicted = rows["predicted"].to_list()
            axes.errorbar(
                predicted,
                rows["actual"].to_list(),
                xerr=whiskers(
                    predicted, rows["predicted_low"].to_list(), rows["predicted_high"].to_list()
                ),
                yerr=rows["actual_se"].to_list(),
                fmt=_marker(methods.index(method)),
                color=style.series_look(domains.index(domain)).colour,
                markersize=5.5,
                elinewidth=0.8,
            )
        _draw_identity(axes, comparison)
        for index, name in enumerate(domains):
            colour = style.series_look(index).colour
            axes.scatter([], [], marker="s", color=colour, label=style.plain_name(name))
        for index, name in enumerate(methods):
            axes.scatter([], [], marker=_marker(index), color=style.INK, label=name)
        axes.set(
            title="Predicted and actual loss",
            xlabel="predicted loss (nats per token)",
            ylabel="actual loss (nats per token)",
        )
        axes.grid(axis="both")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
        return style.as_png(figure)


def _marker(index: int) -> str:
    return style.MARKERS[index % len(style.MARKERS)]


def _draw_identity(axes: "Axes", comparison: pl.DataFrame) -> None:
    """Line of perfect predictions, and limits that hold every point, equal on both axes."""
    both = [*comparison["predicted"], *comparison["actual"]]
    margin = 0.06 * (max(both) - min(both)) or 0.01
    limits = (min(both) - margin, max(both) + margin)
    axes.plot(limits, limits, color=style.QUIET, linewidth=0.8, zorder=1)
    axes.set(xlim=limits, ylim=limits, aspect="equal")


def plot_costs(costs: pl.DataFrame) -> bytes:
    """Processor and GPU time of each asset, the dearest on top, as PNG.

    Args:
        costs: One row per asset: asset, cpu_seconds, gpu_seconds (null: none was used).
    """
    ordered = costs.with_columns(pl.col("gpu_seconds").cast(pl.Float64).fill_null(0.0)).sort(
        pl.col("cpu_seconds") + pl.col("gpu_seconds"), pl.col("asset"), descending=[True, False]
    )
    cpu, gpu = ordered["cpu_seconds"].to_numpy(), ordered["gpu_seconds"].to_numpy()
    with style.sheet(8.6, 1.2 + 0.28 * ordered.height) as (figure, (axes,)):
        rows = np.arange(ordered.height)
        axes.barh(rows, cpu, color=style.ACCENT, height=0.65, label="CPU")
        if gpu.any():
            axes.barh(rows, gpu, left=cpu, color=style.WARNING, height=0.65, label="GPU")
            axes.legend(loc="lower right")
        style.name_rows(axes, ordered["asset"].to_list())
        style.label_bars(axes, list(cpu + gpu), [duration(value) for value in cpu + gpu])
        axes.set(title="Cost by asset", xlabel="processor time (seconds)")
        return style.as_png(figure)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 0.4 s, 37 s, 2 min 05 s, 3 h 07 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
