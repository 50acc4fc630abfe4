"""Files that survive a power cut: written aside, flushed to the disk, then renamed.

A rename within a folder replaces the old file at once, so a reader finds the old content or the new
one, never a part of it.
"""

import os
from pathlib import Path

TEMPORARY = ".tmp"


def flush_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    flush_file(folder)


def temporary_path(path: Path) -> Path:
    """Return where the content of a file or folder is written before it gets its name."""
    return path.with_name(path.name + TEMPORARY)


def publish(path: Path) -> None:
    """Give the temporary file or folder of `path` its name, durably.

    A folder's files must have been flushed. A folder that stands there already must be removed
    first; a file is replaced.
    """
    temporary = temporary_path(path)
    flush_file(temporary)
    temporary.rename(path)
    flush_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file durably, replacing the old one at once."""
    temporary_path(path).write_text(text, encoding="utf-8")
    publish(path)
