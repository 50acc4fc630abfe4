"""What a command shows while it works and when its input is bad: all of it on stderr."""

import contextlib
from collections.abc import Callable, Iterator

import typer

Progress = Callable[[int, int | None], None]


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show a bar on stderr while the block runs; nothing where stderr is no terminal.

    Yields:
        A function that is told documents done, and documents in all or None if unknown.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """End the command with one line and exit code 2 where input or output cannot be used.

    All errors that this project raises about what a person gave it are `ValueError` or `OSError`
    and name the file, the field and the remedy.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(2) from error
