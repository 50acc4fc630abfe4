"""Plots of a skill graph: its edges as arrows, and all weights as a table."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assets.plots import plot_style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Places = dict[str, tuple[float, float]]

MAX_NUMBERS = 16
"""Skills up to which the cells of the table hold their number."""
COLOURS = {"positive": style.ACCENT, "negative": style.WARNING}


def plot_skill_graph(
    trained: Sequence[str],
    evaluated: Sequence[str],
    weights: Floats,
    signs: NDArray[np.str_],
    *,
    title: str = "Skill graph",
) -> bytes:
    """Edges between different skills as arrows beside the table of all weights, as PNG.

    Args:
        trained: K training skills.
        evaluated: E evaluated skills; if they are others, they stand on the right of the drawing.
        weights: Effect of training skill i on evaluated skill j, shape (K, E).
        signs: positive, negative, none or unknown, shape (K, E); only the first two are drawn as
            arrows and written in bold.
        title: Above the drawing.

    Raises:
        ValueError: A shape that does not fit the names.
    """
    shape = (len(trained), len(evaluated))
    if weights.shape != shape or signs.shape != shape:
        raise ValueError(
            f"weights and signs must have shape {shape}, got {weights.shape} and {signs.shape}"
        )
    height = max(3.6, 1.4 + 0.34 * max(shape))
    width = 5.2 + max(4.2, 1.8 + 0.62 * len(evaluated))
    with style.sheet(width, height, columns=2) as (figure, (left, right)):
        _draw_arrows(left, trained, evaluated, weights, signs)
        left.set_title(title)
        _draw_table(right, trained, evaluated, weights, signs)
        right.set_title("Weights (bold: significant)", pad=24)
        return style.as_png(figure)


def _places(trained: Sequence[str], evaluated: Sequence[str]) -> tuple[Places, Places]:
    """Where the skills stand: on one circle, or training skills left and evaluated ones right."""
    if set(evaluated) <= set(trained):
        angles = [math.pi / 2 - 2 * math.pi * k / len(trained) for k in range(len(trained))]
        circle = {
            name: (math.cos(angle), math.sin(angle))
            for name, angle in zip(trained, angles, strict=True)
        }
        return circle, circle
    columns = [
        {name: (x, 1 - 2 * (k + 0.5) / len(names)) for k, name in enumerate(names)}
        for x, names in ((-0.8, trained), (0.8, evaluated))
    ]
    return columns[0], columns[1]


def _draw_arrows(
    axes: "Axes",
    trained: Sequence[str],
    evaluated: Sequence[str],
    weights: Floats,
    signs: NDArray[np.str_],
) -> None:
    sources, targets = _places(trained, evaluated)
    others = [
        abs(weight) for (i, j), weight in np.ndenumerate(weights) if trained[i] != evaluated[j]
    ]
    strongest = max(others, default=0.0) or 1.0
    for (i, j), sign in np.ndenumerate(signs):
        if trained[i] == evaluated[j] or sign not in COLOURS:
            continue
        axes.annotate(
            "",
            xy=targets[evaluated[j]],
            xytext=sources[trained[i]],
            arrowprops={
                "arrowstyle": "-|>",
                "color": COLOURS[str(sign)],
                "linewidth": 0.6 + 2.6 * abs(weights[i, j]) / strongest,
                "linestyle": "-" if sign == "positive" else "--",
                "connectionstyle": "arc3,rad=0.12",
                "shrinkA": 16,
                "shrinkB": 16,
            },
        )
    for name, place in [*sources.items(), *targets.items()]:
        text = style.plain_name(name).replace(" ", "\n")
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": style.LIGHT}
        axes.text(*place, text, ha="center", va="center", fontsize=8, bbox=box, zorder=5)
    axes.set(xlim=(-1.4, 1.4), ylim=(-1.45, 1.3))
    axes.grid(visible=False)
    axes.set_axis_off()
    axes.text(
        0,
        -1.42,
        "solid: helps the other, dashed: hinders it; width: weight",
        ha="center",
        fontsize=7,
        color=style.QUIET,
    )


def _draw_table(
    axes: "Axes",
    trained: Sequence[str],
    evaluated: Sequence[str],
    weights: Floats,
    signs: NDArray[np.str_],
) -> None:
    top = float(np.abs(weights).max(initial=1e-12))
    axes.imshow(weights, cmap="RdBu", vmin=-top, vmax=top, aspect="auto")
    axes.set_xticks(range(len(evaluated)), [name.replace("_", "\n") for name in evaluated])
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(trained)), [style.plain_name(name) for name in trained])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="evaluated", ylabel="trained on")
    if max(len(trained), len(evaluated)) > MAX_NUMBERS:
        return
    for (row, column), weight in np.ndenumerate(weights):
        axes.text(
            column,
            row,
            f"{weight:.2f}",
            ha="center",
            va="center",
            fontsize=7.5,
            fontweight="bold" if signs[row, column] in COLOURS else "normal",
            color="white" if abs(weight) > 0.6 * top else style.INK,
        )
