"""The look that all plots share: restrained, colour-blind safe, no global state left behind.

Figures are made without pyplot, so nothing stays in memory and no display is touched. Colours are
the "muted" qualitative scheme of Paul Tol (SRON/EPS/TN/09-002), whose nine hues stay apart for the
common colour vision deficiencies and in grey print; from the tenth series on the hue repeats with
another dash or hatch, so two series never look the same.
"""

import base64
import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

INK = "#1f2933"
QUIET = "#64707d"
RULE = "#e1e5ea"
ACCENT = "#33608c"
LIGHT = "#b7c6d6"
WARNING = "#b3543e"
HUES = (
    "#332288",
    "#88ccee",
    "#117733",
    "#ddcc77",
    "#cc6677",
    "#44aa99",
    "#882255",
    "#999933",
    "#aa4499",
)
DASHES = ("-", "--", ":", "-.")
HATCHES = ("", "///", "...", "xxx")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DOTS_PER_INCH = 105
_STYLE: "dict[RcKeyType, object]" = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesLook:
    """How one series of several is drawn."""

    colour: str
    """Hexadecimal RGB."""
    dash: str
    """Line style."""
    hatch: str
    """Pattern of an area; empty: plain."""
    marker: str
    """Of single points."""


def series_look(index: int) -> SeriesLook:
    """Look of series number `index`, counted from 0; 32 series differ."""
    cycle = index // len(HUES)
    return SeriesLook(
        colour=HUES[index % len(HUES)],
        dash=DASHES[cycle % len(DASHES)],
        hatch=HATCHES[cycle % len(HATCHES)],
        marker=MARKERS[index % len(MARKERS)],
    )


@contextlib.contextmanager
def sheet(
    width: float, height: float, *, rows: int = 1, columns: int = 1, ratios: Sequence[float] = ()
) -> Iterator[tuple["Figure", list["Axes"]]]:
    """An empty figure with its axes in reading order; draw and save it inside the block.

    Args:
        width: Inches.
        height: Inches.
        rows: Rows of axes.
        columns: Columns of axes.
        ratios: Relative widths of the columns; empty: equal.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, width_ratios=ratios or None)
        yield figure, list(axes.ravel())


def as_png(figure: "Figure") -> bytes:
    """Render a figure; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be in any script; a letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def as_data_uri(png: bytes) -> str:
    """The image itself as an address, for pages without other files."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def as_markdown(png: bytes, text: str = "plot") -> str:
    """Markdown that holds the image itself, for Dagster's markdown metadata.

    Args:
        png: From any function of this package.
        text: Shown where images are not; without square brackets.
    """
    return f"![{text}]({as_data_uri(png)})"


def label_bars(
    axes: "Axes", ends: Sequence[float], texts: Sequence[str], *, room: float = 1.18
) -> None:
    """Write one text to the right of each horizontal bar and widen the axis for it.

    Args:
        axes: With one bar at each of 0, 1, 2 ... on the y axis.
        ends: Where each bar ends.
        texts: One per bar.
        room: Right end of the axis as a multiple of the longest bar.
    """
    for position, (end, text) in enumerate(zip(ends, texts, strict=True)):
        note_bar(axes, end, position, text)
    largest = max(ends, default=0.0)
    axes.set_xlim(0, largest * room if largest > 0 else 1.0)


def note_bar(axes: "Axes", end: float, position: float, text: str) -> None:
    """Write a text just right of (end, position)."""
    axes.annotate(
        text,
        (end, position),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK,
    )


def legend_above(axes: "Axes") -> None:
    """Put the legend into the line of the title, on its right, where it covers no data."""
    axes.legend(loc="lower right", ncols=4, bbox_to_anchor=(1, 1), borderaxespad=0)


def name_rows(axes: "Axes", names: Sequence[str]) -> None:
    """Put names, written horizontally, at 0, 1, 2 ... of the y axis, the first one on top."""
    axes.set_yticks(range(len(names)), [plain_name(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def plain_name(name: str) -> str:
    """A key as a person writes it: `held_out_text` -> `held out text`."""
    return name.replace("_", " ")


def short_count(value: int | float) -> str:
    """Short form of a count: 950, 12.3 k, 4.56 M, 7.89 G (three digits)."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:
            digits = max(0, 2 - int(math.log10(max(abs(value) / factor, 1.0))))
            return f"{value / factor:.{digits}f} {letter}"
    return f"{value:.0f}"


def percentages(axis: "Axis") -> None:
    """Write the shares of an axis as percentages, with as many decimals as its ticks need."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(xmax=1.0))


def thousands(axes: "Axes", axis: str = "x") -> None:
    """Write the numbers of an axis with k, M and G for thousands, millions and milliards."""
    from matplotlib.ticker import EngFormatter

    chosen = axes.xaxis if axis == "x" else axes.yaxis
    chosen.set_major_formatter(EngFormatter())
