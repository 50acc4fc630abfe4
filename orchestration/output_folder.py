"""The folder that a command fills: complete, or as it was before.

Everything is written into a draft beside it; the draft takes its place when the command has
succeeded. A command that fails or is killed leaves the previous folder in use.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from assets.drafts import new_draft

SUMMARY = "summary.json"


class OutputRefused(ValueError):
    """The folder holds something that must not be replaced."""


@contextlib.contextmanager
def replacing(out: Path, *, command: str) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` at the end of the block.

    The block writes `summary.json` with `write_summary`: by it the next run knows that the folder
    may be replaced.

    Raises:
        OutputRefused: `out` is a file, or a folder that a command of this name has not written.
    """
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    previous = out.with_name(f".{out.name}.previous")
    if previous.exists() and not out.exists():
        os.rename(previous, out)  # a run was killed between the two renames below
    _require_replaceable(out, command)
    draft = new_draft(out.parent)
    try:
        yield draft
        assert (draft / SUMMARY).is_file(), f"{command} wrote no {SUMMARY}"
        if out.exists():
            shutil.rmtree(previous, ignore_errors=True)
            os.rename(out, previous)
        os.rename(draft, out)
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_summary(folder: Path, command: str, content: Mapping[str, object]) -> None:
    """Write `summary.json`: what the command counted, and its name."""
    text = json.dumps({"command": command, **content}, sort_keys=True, indent=1)
    (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")


def _require_replaceable(out: Path, command: str) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        written_by = json.loads((out / SUMMARY).read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, KeyError, TypeError):
        written_by = None
    if written_by != command:
        raise OutputRefused(
            f"{out} exists and was not written by `mixwright {command}`; choose another --out or "
            "remove it"
        )
