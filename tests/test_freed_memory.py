import platform
import subprocess
import sys

import pytest

PAGES = """
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from training.freed_memory import keep_freed_memory

def faults(blocks=1):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [np.ones(2**23 // blocks) for _ in range(blocks)]  # 64 MiB, 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

told = sys.argv[1] == "told" and keep_freed_memory()
first = faults()
second = faults()
with ThreadPoolExecutor(1) as thread:  # blocks that would be spread over heaps of its own
    other = [thread.submit(faults, 4).result() for _ in range(2)][1]
print(told, first, second, other)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not GNU's")
def test_a_block_that_was_freed_is_not_cleared_again():
    def pages(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", PAGES, *arguments], capture_output=True, text=True, check=True
        )
        told, *counts = done.stdout.split()
        return told == "True", *map(int, counts)

    # How many pages are cleared depends on their size; only the comparison is sure.
    told, first, second, other = pages("told")
    assert told
    assert second < first / 10
    assert other < first / 10
    told, first, second, _ = pages("")
    assert not told
    assert second > first / 2
