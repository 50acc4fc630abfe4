"""Temporary folders of versions that are being written.

A draft is named after its writer, `.draft-<host>-<process>-<time>`. A writer that ends removes its
own; what a killed one left behind is removed when the next draft of the same artifact is begun.
"""

import errno
import os
import shutil
import socket
import time
from pathlib import Path

from polars.exceptions import PolarsError

PREFIX = ".draft-"


def new_draft(home: Path) -> Path:
    """Make a fresh folder in an artifact's folder, and remove those of dead writers."""
    for path in home.glob(f"{PREFIX}*"):
        if _is_abandoned(path.name):
            shutil.rmtree(path, ignore_errors=True)
    folder = home / f"{PREFIX}{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    return folder


def ran_out_of_space(error: OSError | PolarsError) -> bool:
    """Whether a file could not be written because the disk or the quota is full."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, OSError):
        return error.errno in numbers
    # Polars passes the system's error on in words only.
    return any(f"(os error {number})" in str(error) for number in numbers)


def _is_abandoned(name: str) -> bool:
    """Whether the writer ran on this host and has ended; of other hosts nothing is known."""
    host, process, _ = name.removeprefix(PREFIX).rsplit("-", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # somebody else's
    return False
