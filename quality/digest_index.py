"""Where each digest was met first, in twenty bytes for each different one.

Digests lie in sorted runs whose lengths at least halve from one to the next (a logarithmic method:
Bentley and Saxe 1980, doi:10.1016/0196-6774(80)90015-2), so one is found in log(n) binary searches
and adding n of them costs n log(n) in all. While two runs become one, both and the new one exist.
"""

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16
MAX_PLACES = 2**32
_DIGESTS = np.dtype(f"S{DIGEST_BYTES}")

_Run = tuple[NDArray[np.bytes_], NDArray[np.uint32]]


class DigestIndex:
    """The digests met so far, numbered from 0 in the order in which they came."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._num_seen = 0

    def __len__(self) -> int:
        """Different digests."""
        return sum(len(digests) for digests, _ in self._runs)

    @property
    def num_bytes(self) -> int:
        """Memory of all that is kept."""
        return sum(digests.nbytes + places.nbytes for digests, places in self._runs)

    def first_places(self, digests: bytes) -> NDArray[np.int64]:
        """Add digests in order; tell the number of the first one equal to each.

        A digest is new where its own number comes back.

        Args:
            digests: N times 16 bytes, one after the other.

        Returns:
            Shape (N,).

        Raises:
            ValueError: More than 2^32 digests in all.
        """
        given = np.frombuffer(digests, dtype=_DIGESTS)
        if self._num_seen + len(given) > MAX_PLACES:
            raise ValueError(f"more than {MAX_PLACES} documents; divide the corpus")
        unique, first, inverse = np.unique(given, return_index=True, return_inverse=True)
        own = first + self._num_seen
        found = own.copy()
        for run, places in self._runs:
            at = np.minimum(np.searchsorted(run, unique), len(run) - 1)
            is_here = run[at] == unique
            found[is_here] = places[at[is_here]]
        is_new = found == own
        self._insert(unique[is_new], own[is_new].astype(np.uint32))
        self._num_seen += len(given)
        return found[inverse]

    def _insert(self, digests: NDArray[np.bytes_], places: NDArray[np.uint32]) -> None:
        if not len(digests):
            return
        while self._runs and len(self._runs[-1][0]) < 2 * len(digests):
            before, places_before = self._runs.pop()
            digests = np.concatenate([before, digests])
            places = np.concatenate([places_before, places])
            order = np.argsort(digests, kind="stable")
            digests, places = digests[order], places[order]
        self._runs.append((digests, places))
