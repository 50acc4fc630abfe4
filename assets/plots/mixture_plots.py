"""Plots of mixtures: the swarm, the mixing law against its runs and baselines, the plan."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assets.plots import plot_style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

DARK_SHARE = 0.55
"""Share of the colour scale above which a number in a cell is written in white."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with its interval."""

    name: str
    """What it belongs to."""
    value: float
    """The number."""
    low: float | None = None
    """Lower end of the interval; None: unknown."""
    high: float | None = None
    """Upper end of the interval; None: unknown."""


def whiskers(values: Sequence[float], low: Sequence[float], high: Sequence[float]) -> Floats:
    """Lengths below and above each value, shape (2, N), for matplotlib's error bars.

    An interval that does not hold its value (a bootstrap may do that) is drawn from the value on.
    Unknown ends (NaN) draw nothing.
    """
    middle = np.asarray(values, dtype=np.float64)
    below = np.maximum(middle - np.asarray(low, dtype=np.float64), 0.0)
    above = np.maximum(np.asarray(high, dtype=np.float64) - middle, 0.0)
    return np.stack([below, above])


def plot_swarm(run_ids: Sequence[str], domains: Sequence[str], weights: Floats) -> bytes:
    """Heat map of the shares that the swarm asks for, runs as rows, as PNG.

    Args:
        run_ids: K names.
        domains: D names.
        weights: Shares, shape (K, D).

    Raises:
        ValueError: The shape is another one.
    """
    if weights.shape != (len(run_ids), len(domains)):
        raise ValueError(
            f"weights must have shape {(len(run_ids), len(domains))}, got {weights.shape}"
        )
    width = max(6.0, 2.2 + 0.85 * len(domains))
    with style.sheet(width, 1.2 + 0.2 * len(run_ids)) as (figure, (axes,)):
        top = float(weights.max(initial=0.01))
        image = axes.imshow(weights, cmap="Blues", vmin=0.0, vmax=top, aspect="auto")
        axes.set_xticks(range(len(domains)), [name.replace("_", "\n") for name in domains])
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(run_ids)), list(run_ids), fontsize=7.5)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        for (row, column), share in np.ndenumerate(weights):
            colour = "white" if share > DARK_SHARE * top else style.INK
            text = f"{share:.0%}" if share > 0 else "·"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02)
        style.percentages(bar.ax.yaxis)
        bar.set_label("requested share of the rows")
        bar.outline.set_visible(False)
        return style.as_png(figure)


def plot_law_fit(
    eval_domains: Sequence[str],
    observed: Floats,
    predicted: Floats,
    *,
    notes: Mapping[str, str] | None = None,
) -> bytes:
    """Predicted against observed loss of runs that the law had not seen, as PNG.

    Args:
        eval_domains: E names, one panel each.
        observed: Losses, shape (N, E), nats per token.
        predicted: Left-out predictions, the same shape and unit.
        notes: Domain -> a few words for its panel, for example its rank correlation.

    Raises:
        ValueError: The shapes differ from each other or from the names.
    """
    if observed.shape != predicted.shape or observed.shape[1:] != (len(eval_domains),):
        raise ValueError(
            f"observed and predicted must have shape (N, {len(eval_domains)}), got "
            f"{observed.shape} and {predicted.shape}"
        )
    columns = min(4, len(eval_domains))
    rows = math.ceil(len(eval_domains) / columns)
    with style.sheet(2.4 * columns, 2.35 * rows, rows=rows, columns=columns) as (figure, panels):
        for index, (name, axes) in enumerate(zip(eval_domains, panels, strict=False)):
            seen, guessed = observed[:, index], predicted[:, index]
            low = min(seen.min(), guessed.min())
            high = max(seen.max(), guessed.max())
            margin = 0.06 * (high - low) or 0.01
            limits = (low - margin, high + margin)
            axes.plot(limits, limits, color=style.QUIET, linewidth=0.8, zorder=1)
            axes.scatter(guessed, seen, s=14, color=style.ACCENT, alpha=0.75, linewidths=0)
            axes.set(xlim=limits, ylim=limits, title=style.plain_name(name), aspect="equal")
            axes.locator_params(nbins=4)
            axes.grid(axis="both")
            if notes and name in notes:
                axes.set_xlabel(notes[name], fontsize=7.5)
        for axes in panels[len(eval_domains) :]:
            axes.remove()
        figure.supxlabel("predicted loss (nats per token)", fontsize=9, color=style.QUIET)
        figure.supylabel("observed loss (nats per token)", fontsize=9, color=style.QUIET)
        return style.as_png(figure)


def plot_baselines(
    spearman: Mapping[str, float | None], mae_nats: Mapping[str, float], *, emphasised: str
) -> bytes:
    """Held-out scores of a law beside trivial predictors, as PNG.

    Args:
        spearman: Predictor -> rank correlation; None: it has no rank.
        mae_nats: The same predictors -> mean absolute error, nats per token.
        emphasised: The predictor in the strong colour.

    Raises:
        ValueError: The two name different predictors.
    """
    if spearman.keys() != mae_nats.keys():
        raise ValueError(f"predictors differ: {sorted(spearman)} and {sorted(mae_nats)}")
    names = list(spearman)
    colours = [style.ACCENT if name == emphasised else style.LIGHT for name in names]
    with style.sheet(9.2, 1.2 + 0.3 * len(names), columns=2) as (figure, (left, right)):
        ranks = [np.nan if (rank := spearman[name]) is None else rank for name in names]
        left.barh(range(len(names)), ranks, color=colours, height=0.62)
        left.axvline(0, color=style.QUIET, linewidth=0.8)
        left.set_xlim(float(np.nanmin([0.0, *ranks])) - 0.02, 1.18)
        for row, (name, rank) in enumerate(zip(names, ranks, strict=True)):
            text = "no rank" if spearman[name] is None else f"{rank:.3f}"
            at = 0.0 if spearman[name] is None else max(rank, 0.0)
            style.note_bar(left, at, row, text)
        style.name_rows(left, names)
        left.set(title="Rank, more is better", xlabel="Spearman correlation, held out")
        errors = [mae_nats[name] for name in names]
        right.barh(range(len(names)), errors, color=colours, height=0.62)
        style.name_rows(right, names)
        style.label_bars(right, errors, [f"{error:.4f}" for error in errors], room=1.25)
        right.set(title="Error, less is better", xlabel="mean absolute error (nats per token)")
        return style.as_png(figure)


def plot_estimates(estimates: Sequence[Estimate], *, label: str, title: str = "") -> bytes:
    """Dots with intervals around a zero line, for example differences by domain, as PNG.

    Args:
        estimates: From top to bottom.
        label: What the numbers are, with their unit and the meaning of the interval.
        title: Above the axes.
    """
    with style.sheet(8.2, 1.2 + 0.3 * len(estimates)) as (figure, (axes,)):
        axes.axvline(0, color=style.INK, linewidth=1)
        _draw_estimates(axes, estimates)
        style.name_rows(axes, [one.name for one in estimates])
        axes.set(xlabel=label, title=title)
        return style.as_png(figure)


def plot_plan(
    natural: Mapping[str, float],
    proposed: Sequence[Estimate],
    epochs: Mapping[str, float] | None,
) -> bytes:
    """Natural and proposed weight of each domain with interval and epochs, as PNG.

    Args:
        natural: Domain -> share of its tokens.
        proposed: Proposed weight of each domain, with the interval over refits of the law.
        epochs: Domain -> passes over its data under the proposal. None: unknown.

    Raises:
        ValueError: The mappings name different domains.
    """
    names = [one.name for one in proposed]
    others = [set(natural)] if epochs is None else [set(natural), set(epochs)]
    if any(set(names) != other for other in others):
        raise ValueError(f"domains differ: {sorted(names)}, {[sorted(one) for one in others]}")
    before = [natural[name] for name in names]
    with style.sheet(8.6, 1.5 + 0.34 * len(names)) as (figure, (axes,)):
        rows = np.arange(len(names))
        after = [one.value for one in proposed]
        axes.hlines(rows, before, after, color=style.LIGHT, linewidth=2.5, zorder=1)
        _draw_estimates(axes, proposed, label="proposed")
        axes.scatter(
            before, rows, s=34, facecolor="white", edgecolor=style.INK, label="natural", zorder=2
        )
        style.name_rows(axes, names)
        if epochs is not None:
            _note_beside(axes, "epochs", [f"{epochs[name]:.2f}" for name in names])
        style.percentages(axes.xaxis)
        axes.set_xlim(left=0)
        axes.set(xlabel="weight", title="Natural and proposed weights")
        style.legend_above(axes)
        return style.as_png(figure)


def _draw_estimates(
    axes: "Axes", estimates: Sequence[Estimate], *, label: str | None = None
) -> None:
    """One dot with its interval at each of 0, 1, 2 ... of the y axis."""
    values = [one.value for one in estimates]
    low = [np.nan if one.low is None else one.low for one in estimates]
    high = [np.nan if one.high is None else one.high for one in estimates]
    axes.errorbar(
        values,
        range(len(values)),
        xerr=whiskers(values, low, high),
        fmt="o",
        color=style.ACCENT,
        markersize=5.5,
        elinewidth=1.2,
        capsize=3,
        label=label,
        zorder=3,
    )


def _note_beside(axes: "Axes", heading: str, texts: Sequence[str]) -> None:
    """Write a column of texts to the right of the axes, one per row."""
    for row, text in enumerate(texts):
        axes.annotate(
            text,
            (1.04, row),
            xycoords=("axes fraction", "data"),
            va="center",
            ha="center",
            fontsize=8.5,
            annotation_clip=False,
        )
    axes.annotate(
        heading,
        (1.04, 1.0),
        xycoords="axes fraction",
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        fontsize=8.5,
        color=style.QUIET,
    )
