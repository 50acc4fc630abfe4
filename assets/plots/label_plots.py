"""Plots of labels: documents of each skill, how two taggers agree, and quality scores."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.plots import plot_style as style

MOST_SKILLS = 12
MOST_SECONDS = 5
"""Skills of the second tagger that are drawn; the rest of a bar stays empty."""
NONE = "(none)"


def plot_skills(skills: Mapping[str, int], confusion: pl.DataFrame | None) -> bytes:
    """Documents of each skill; beside them what the second tagger says of each, as PNG.

    Args:
        skills: Skill -> documents, commonest first; empty: not tagged.
        confusion: Columns first, second (null: not tagged), num_documents; None: one tagger.
    """
    shown = dict(list(skills.items())[:MOST_SKILLS])
    names = [name or NONE for name in shown]
    values = list(shown.values())
    total = max(sum(skills.values()), 1)
    height = 1.3 + 0.3 * max(len(names), 3)
    columns = 1 if confusion is None else 2
    ratios = (1,) if confusion is None else (3, 2)
    with style.sheet(9.2, height, columns=columns, ratios=ratios) as (figure, axes):
        axes[0].barh(range(len(names)), values, color=style.ACCENT, height=0.65)
        style.name_rows(axes[0], names)
        texts = [f"{value:,} ({value / total:.1%})" for value in values]
        style.label_bars(axes[0], values, texts, room=1.5)
        style.thousands(axes[0])
        axes[0].set(title="Documents of each skill", xlabel="documents")
        if confusion is not None:
            labels, shares = _shares(confusion, names)
            left = np.zeros(len(names))
            for index, label in enumerate(labels):
                look = style.series_look(index)
                axes[1].barh(
                    range(len(names)),
                    shares[:, index],
                    left=left,
                    color=look.colour,
                    height=0.65,
                    label=label,
                )
                left += shares[:, index]
            style.name_rows(axes[1], names)
            style.percentages(axes[1].xaxis)
            axes[1].set(xlim=(0, 1), xlabel="what the second tagger says of them")
            style.legend_above(axes[1])
        return style.as_png(figure)


def _shares(confusion: pl.DataFrame, names: list[str]) -> tuple[list[str], NDArray[np.float64]]:
    """Shares of the second tagger's commonest skills in each skill of the first."""
    table = confusion.with_columns(pl.col("first", "second").fill_null(NONE))
    seconds = table.group_by("second").agg(pl.col("num_documents").sum())
    columns = seconds.sort("num_documents", "second", descending=[True, False])["second"]
    labels = columns.head(MOST_SECONDS).to_list()
    counts = np.zeros((len(names), len(labels)))
    totals = np.zeros((len(names), 1))
    for first, second, count in table.select("first", "second", "num_documents").iter_rows():
        if first in names:
            totals[names.index(first)] += count
            if second in labels:
                counts[names.index(first), labels.index(second)] += count
    return labels, counts / np.maximum(totals, 1)


def plot_scores(scores: NDArray[np.float64]) -> bytes:
    """Histogram of quality scores with their median, as PNG.

    Args:
        scores: Of each document, shape (N,), in [0, 1].
    """
    with style.sheet(9.2, 2.6) as (figure, (axes,)):
        counts, edges = np.histogram(scores, bins=40, range=(0.0, 1.0))
        axes.stairs(counts, edges, fill=True, color=style.ACCENT)
        if len(scores):
            middle = float(np.median(scores))
            axes.axvline(middle, color=style.WARNING, linewidth=1.2)
            axes.text(middle, max(counts) * 1.02, f"median {middle:.2f}", color=style.WARNING)
        axes.grid(axis="y")
        style.thousands(axes, "y")
        axes.set(
            title="Quality scores of the documents",
            xlabel="score: probability of the reference",
            ylabel="documents",
            xlim=(0, 1),
            ylim=(0, max(1, *counts) * 1.15),
        )
        return style.as_png(figure)
