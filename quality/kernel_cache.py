"""Compiles the native kernels and keeps the machine code on disk, under a key that cannot go stale.

Numba stores compiled code beside the source file and looks only at that one file to see whether it
changed. The kernels call each other across files: an edit of the callee alone would leave the
caller's old machine code in use, with wrong numbers and no word of it. So the folder of the stored
code carries a digest of the sources of all kernels; after any edit everything compiles anew.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile without Python objects, free of the interpreter's lock, cached on disk.

    Such a kernel allocates nothing: all arrays come from the caller, so no reference to them is
    counted, which would cost more than the work of the small functions. Division by zero is not
    trapped.
    """
    return _compile(function, counts_references=False)


def compiled_with_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel that makes arrays of its own: work space for a whole batch of texts."""
    return _compile(function, counts_references=True)


def _compile(function: Callable[P, R], *, counts_references: bool) -> Callable[P, R]:
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_folder())  # read while the dispatcher is made, nowhere else
    try:
        options = {"cache": True, "nogil": True, "error_model": "numpy"}
        wrapped = numba.njit(**options, _nrt=counts_references)(function)
    finally:
        numba.config.CACHE_DIR = before
    return cast(Callable[P, R], wrapped)


@functools.cache
def _folder() -> Path:
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.rglob("kernel*.py")):
        digest.update(source.read_bytes())
    return here / "__pycache__" / f"kernels-{digest.hexdigest()[:12]}"
