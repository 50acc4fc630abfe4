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
        typer.secho(f"error: {_message(error)}", fg="red", err=True)
        raise typer.Exit(2) from error


def _message(error: ValueError | OSError) -> str:
    from pydantic import ValidationError

    from training.config import validation_message

    if isinstance(error, ValidationError):
        return "; ".join(validation_message(error.title, error).splitlines())
    return str(error)
