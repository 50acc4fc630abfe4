"""Which names were seen before, in sixteen bytes each.

A name is kept as its BLAKE2b-128 digest (RFC 7693); n different names are confused with probability
about n^2 / 2^129. Digests lie in sorted runs whose lengths at least halve from one to the next
(a logarithmic method: Bentley and Saxe 1980, doi:10.1016/0196-6774(80)90015-2), so a name is found
in log(n) binary searches and adding n names costs n log(n) in all.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16
_DIGESTS = np.dtype(f"S{DIGEST_BYTES}")


class IdentityIndex:
    """The names seen so far."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.bytes_]] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Add names in order; shape (len(names),), True where one was there before.

        A name that occurs twice in `names` was there before at its second place.

        Raises:
            UnicodeEncodeError: A name holds half of a surrogate pair.
        """
        digests = np.array(
            [hashlib.blake2b(name.encode(), digest_size=DIGEST_BYTES).digest() for name in names],
            dtype=_DIGESTS,
        )
        _, first = np.unique(digests, return_index=True)
        repeated = np.ones(len(digests), dtype=np.bool_)
        repeated[first] = False
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, digests), len(run) - 1)
            repeated |= run[place] == digests
        self._insert(digests[~repeated])
        return repeated

    def _insert(self, digests: NDArray[np.bytes_]) -> None:
        if not len(digests):
            return
        run = np.sort(digests)
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)
