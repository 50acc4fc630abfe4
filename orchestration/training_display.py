"""What a terminal shows while a model trains: progress, loss, speed and weights. On stderr."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestration.wording import shorten

if TYPE_CHECKING:
    from rich.console import Console

    from training.step_report import ProgressCallback, StepReport

MOST_DOMAINS = 12
"""Domains whose weights are shown, the largest; the others are summed up."""
NAME_WIDTH = 16
SECONDS_BETWEEN_LINES = 10.0
"""Where there is no terminal; evaluations and the last step are always told."""


@contextlib.contextmanager
def training_display(run_id: str, console: "Console | None" = None) -> Iterator["ProgressCallback"]:
    """Show a bar while the block runs; where there is no terminal, a line for each report.

    Args:
        run_id: Beside the bar.
        console: Where to; None: stderr.

    Yields:
        A function that is told of finished steps.
    """
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _line_printer(console)
        return
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[speed]} tokens/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task(run_id, total=None, loss="-", speed="-")
    with Live(bar, console=console, refresh_per_second=4) as live:

        def show(report: "StepReport") -> None:
            bar.update(
                task,
                completed=report.step,
                total=report.steps,
                loss=f"{report.loss:.4f}",
                speed=f"{report.tokens_per_second:,.0f}",
            )
            live.update(Group(bar, Text(f"weights  {in_words(report.weights)}", style="cyan")))
            if report.heldout is not None:
                losses = in_words(report.heldout)
                console.print(f"step {report.step}  held out  {losses}", highlight=False)

        yield show


def _line_printer(console: "Console") -> "ProgressCallback":
    last = float("-inf")

    def show(report: "StepReport") -> None:
        nonlocal last
        now = time.monotonic()
        due = now - last >= SECONDS_BETWEEN_LINES or report.heldout is not None
        if due or report.step == report.steps:
            last = now
            console.print(as_line(report), soft_wrap=True, highlight=False)

    return show


def as_line(report: "StepReport") -> str:
    """Write a report on one line."""
    line = (
        f"step {report.step}/{report.steps}  loss {report.loss:.4f}  "
        f"{report.tokens_per_second:,.0f} tokens/s  weights {in_words(report.weights)}"
    )
    if report.heldout is None:
        return line
    return f"{line}  held out {in_words(report.heldout)}"


def in_words(values: Mapping[str, float]) -> str:
    """Write values by domain, largest first; beyond MOST_DOMAINS only how many there are."""
    ranked = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{shorten(name, NAME_WIDTH)} {value:.3f}" for name, value in ranked]
    if len(shown) <= MOST_DOMAINS:
        return "  ".join(shown)
    return "  ".join([*shown[:MOST_DOMAINS], f"and {len(shown) - MOST_DOMAINS} more"])
