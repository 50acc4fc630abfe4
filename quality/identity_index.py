"""Which names were seen before, in twenty bytes each.

A name is kept as its BLAKE2b-128 digest (RFC 7693); n different names are confused with probability
about n^2 / 2^129.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quality.digest_index import DIGEST_BYTES, DigestIndex


class IdentityIndex:
    """The names seen so far."""

    def __init__(self) -> None:
        self._digests = DigestIndex()
        self._num_seen = 0

    def __len__(self) -> int:
        """Different names."""
        return len(self._digests)

    @property
    def num_bytes(self) -> int:
        """Memory of all that is kept."""
        return self._digests.num_bytes

    def add(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Add names in order; shape (len(names),), True where one was there before.

        A name that occurs twice in `names` was there before at its second place.

        Raises:
            UnicodeEncodeError: A name holds half of a surrogate pair.
        """
        found = self._digests.first_places(
            b"".join(
                hashlib.blake2b(name.encode(), digest_size=DIGEST_BYTES).digest() for name in names
            )
        )
        repeated: NDArray[np.bool_] = found != np.arange(len(names)) + self._num_seen
        self._num_seen += len(names)
        return repeated
