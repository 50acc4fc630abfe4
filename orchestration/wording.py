"""Numbers as people read them, the same in the report and in the terminal."""

from assets.plots.evaluation_plots import duration
from assets.plots.plot_style import plain_name, short_count

__all__ = [
    "count",
    "difference",
    "duration",
    "figure",
    "interval",
    "megabytes",
    "nats",
    "percent",
    "plain_name",
    "plural",
    "short_count",
    "shorten",
]

MINUS = "\N{MINUS SIGN}"
UNKNOWN = "\N{EN DASH}"
"""Stands where a number does not exist; a zero would be a lie."""


def nats(value: float | None, digits: int = 3) -> str:
    """Write a loss, or any decimal, with a true minus sign; a dash for None."""
    return UNKNOWN if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def figure(value: float | None) -> str:
    """Write a number of any size with four digits, without zeros behind it; a dash for None."""
    return UNKNOWN if value is None else f"{value:.4g}".replace("-", MINUS)


def plural(number: int, noun: str) -> str:
    """Write `1 run` or `2 runs`."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def difference(value: float | None, digits: int = 3) -> str:
    """Write a decimal with its sign; a dash for None."""
    return UNKNOWN if value is None else f"{value:+.{digits}f}".replace("-", MINUS)


def interval(low: float, high: float, digits: int = 3) -> str:
    """Write bounds as `[-0.020, 0.004]`."""
    return f"[{nats(low, digits)}, {nats(high, digits)}]"


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share in [0, 1] as a percentage; a dash for None."""
    return UNKNOWN if share is None else f"{share:.{digits}%}".replace("%", " %")


def count(number: int | float) -> str:
    """Write a whole number with its thousands apart."""
    return f"{number:,.0f}"


def megabytes(num_bytes: int) -> str:
    """Write bytes in units of 10^6."""
    return f"{num_bytes / 1e6:.2f}"


def shorten(name: str, width: int) -> str:
    """Cut a name to `width` characters, the last one a dot of omission."""
    return name if len(name) <= width else name[: width - 1] + "\N{HORIZONTAL ELLIPSIS}"
