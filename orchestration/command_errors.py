"""One clear line for what the caller got wrong."""

import contextlib
from collections.abc import Iterator

import typer


@contextlib.contextmanager
def one_clear_error() -> Iterator[None]:
    """End with exit code 2 and the message alone where the input cannot be used."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(2) from error
