"""Exact deduplication: the first copy in document order survives.

    text_hash = BLAKE2b-128(UTF-8(collapse(casefold(text))))

where collapse replaces each run of white space by one space and strips the ends. Two documents are
copies if their hashes agree; among n different texts a false agreement has probability about
n^2 / 2^129. Source of the hash: RFC 7693.
Case and white space are folded because copies on the web and in packages differ in just these;
so two programs that differ only in indentation or case count as copies.
"""

import hashlib
from collections.abc import Sequence

HASH_BYTES = 16


def text_hash(text: str) -> str:
    """Hash of a text up to case and white space: 32 hexadecimal digits."""
    folded = " ".join(text.casefold().split())
    return hashlib.blake2b(folded.encode(), digest_size=HASH_BYTES).hexdigest()


class ExactIndex:
    """The first copy of each text seen so far.

    Memory: one entry of about 200 bytes per distinct text, whatever the texts' lengths.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}

    def first_copies(self, ids: Sequence[str], hashes: Sequence[str]) -> list[str | None]:
        """Add documents in order and name the earlier copy of each, or None if it is the first.

        Args:
            ids: Document ids, in document order.
            hashes: Their `text_hash`, one each.
        """
        copies: list[str | None] = []
        for document_id, digest in zip(ids, hashes, strict=True):
            key = bytes.fromhex(digest)
            first = self._first.get(key)
            if first is None:
                self._first[key] = document_id
            copies.append(first)
        return copies
