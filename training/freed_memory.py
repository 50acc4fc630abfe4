"""Keeps freed memory in the process, where the next training step finds it.

The C library gives large blocks back to the system as soon as they are freed. A step frees and
takes the same blocks again, logits above all, and each time the system clears every page of them: a
fifth or more of the time of a small uncompiled model on a CPU. The price is that memory which the
process once had stays with it until it ends.

Threads that are started later take from the same heap as the first one: heaps of their own are
given back whole, whatever the settings.
"""

import ctypes

# malloc.h of the GNU C library
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_NEVER = -1
"""As a threshold: none is ever reached."""


def keep_freed_memory() -> bool:
    """Tell the C library to give no memory back before the process ends.

    Returns:
        Whether it could be told; False where the library is not GNU's.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER, _M_ARENA_MAX: 1}
    return all(library.mallopt(setting, value) for setting, value in settings.items())
