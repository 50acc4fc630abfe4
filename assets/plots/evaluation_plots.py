"""Plots of finished runs: losses, methods against each other, predictions, cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assets.plots import plot_style as style
from assets.plots.mixture_plots import whiskers


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


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictedLoss:
    """One prediction and what came."""

    method: str
    """Label of the method."""
    domain: str
    """Evaluation domain."""
    predicted: float
    """Nats per token."""
    low: float | None
    """Lower end of the predicted interval; None: unknown."""
    high: float | None
    """Upper end of the predicted interval; None: unknown."""
    actual: float
    """Nats per token."""
    actual_error: float | None
    """Standard error of the actual loss; None: unknown."""


def plot_evaluation(losses: Mapping[str, float], errors: Mapping[str, float | None]) -> bytes:
    """Held-out loss of each domain with bars of one standard error, as PNG.

    Args:
        losses: Domain -> loss, nats per token.
        errors: Domain -> standard error; None: unknown, no bar is drawn.

    Raises:
        ValueError: The two name different domains.
    """
    if losses.keys() != errors.keys():
        raise ValueError(f"domains differ: {sorted(losses)} and {sorted(errors)}")
    names = sorted(losses)
    values = [losses[name] for name in names]
    bars = [np.nan if (error := errors[name]) is None else error for name in names]
    with style.sheet(8.2, 1.2 + 0.32 * len(names)) as (figure, (axes,)):
        rows = range(len(names))
        axes.errorbar(
            values,
            rows,
            xerr=bars,
            fmt="o",
            color=style.ACCENT,
            markersize=6,
            elinewidth=1.2,
            capsize=3,
        )
        style.name_rows(axes, names)
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


def plot_predicted_against_actual(losses: Sequence[PredictedLoss]) -> bytes:
    """Actual against predicted loss, domains by colour and methods by marker, as PNG.

    Bars: predicted interval (across) and one standard error of the measurement (up and down).
    """
    methods = list(dict.fromkeys(one.method for one in losses))
    domains = list(dict.fromkeys(one.domain for one in losses))
    with style.sheet(7.6, 5.2) as (figure, (axes,)):
        for one in losses:
            axes.errorbar(
                one.predicted,
                one.actual,
                xerr=whiskers(
                    [one.predicted],
                    [np.nan if one.low is None else one.low],
                    [np.nan if one.high is None else one.high],
                ),
                yerr=np.nan if one.actual_error is None else one.actual_error,
                fmt=style.MARKERS[methods.index(one.method) % len(style.MARKERS)],
                color=style.series_look(domains.index(one.domain)).colour,
                markersize=5.5,
                elinewidth=0.8,
            )
        ends = [_reach(one) for one in losses]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        margin = 0.06 * (high - low) or 0.01
        limits = (low - margin, high + margin)
        axes.plot(limits, limits, color=style.QUIET, linewidth=0.8, zorder=1)
        axes.set(
            xlim=limits,
            ylim=limits,
            aspect="equal",
            title="Predicted and actual loss",
            xlabel="predicted loss (nats per token)",
            ylabel="actual loss (nats per token)",
        )
        axes.grid(axis="both")
        for name in domains:
            colour = style.series_look(domains.index(name)).colour
            axes.plot([], [], linewidth=5, color=colour, label=style.plain_name(name))
        for index, name in enumerate(methods):
            marker = style.MARKERS[index % len(style.MARKERS)]
            axes.scatter([], [], marker=marker, color=style.INK, label=name)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
        return style.as_png(figure)


def _reach(one: PredictedLoss) -> tuple[float, float]:
    """Least and largest loss that the point and its bars touch."""
    error = one.actual_error or 0.0
    touched = [one.predicted, one.low, one.high, one.actual - error, one.actual + error]
    known = [value for value in touched if value is not None]
    return min(known), max(known)


def plot_cost(cpu_seconds: Mapping[str, float], gpu_seconds: Mapping[str, float]) -> bytes:
    """Processor and GPU time of each asset, the dearest on top, as PNG.

    Args:
        cpu_seconds: Asset -> processor time.
        gpu_seconds: Asset -> GPU time; an asset that is not named used none.
    """
    total = {name: value + gpu_seconds.get(name, 0.0) for name, value in cpu_seconds.items()}
    names = sorted(total, key=lambda name: (-total[name], name))
    cpu = np.array([cpu_seconds[name] for name in names])
    gpu = np.array([gpu_seconds.get(name, 0.0) for name in names])
    with style.sheet(8.6, 1.2 + 0.28 * len(names)) as (figure, (axes,)):
        rows = np.arange(len(names))
        axes.barh(rows, cpu, color=style.ACCENT, height=0.65, label="CPU")
        if gpu.any():
            axes.barh(rows, gpu, left=cpu, color=style.WARNING, height=0.65, label="GPU")
            style.legend_above(axes)
        style.name_rows(axes, names)
        style.label_bars(axes, list(cpu + gpu), [duration(value) for value in cpu + gpu])
        axes.set(title="Cost by asset", xlabel="processor time (seconds)")
        return style.as_png(figure)


def duration(seconds: float) -> str:
    """Seconds as a person says them: < 0.1 s, 0.4 s, 37 s, 2 min 05 s, 3 h 07 min."""
    if 0 < seconds < 0.05:
        return "< 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
