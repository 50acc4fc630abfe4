"""Reads the rows of a batch from the token shards of all domains, in the order of its slots.

Row i of a shard is tokens[i*T : i*T + T + 1] (training.shards). The shards of all domains stand in
one table, so that finding the places of a batch costs the same for any number of domains.

Shapes: B rows, T context tokens.
"""

from collections.abc import Sequence

import numpy as np

from training.arrays import Ints
from training.shards import StoredTokens, TokenShards


class BatchReader:
    """The mapped shards of several domains."""

    def __init__(self, domains: Sequence[TokenShards], context_tokens: int) -> None:
        """Note where the rows of each domain begin.

        Args:
            domains: Shards of each domain, in the order of the domain index, all of one dtype.
            context_tokens: T.
        """
        self._tokens: list[StoredTokens] = []
        self._span = context_tokens + 1
        self._context_tokens = context_tokens
        starts, totals = [], [0]
        for shards in domains:
            tokens, first_rows = shards.row_tables(context_tokens)
            self._tokens += tokens
            starts.append(totals[-1] + first_rows[:-1])
            totals.append(totals[-1] + int(first_rows[-1]))
        self._shard_starts: Ints = np.concatenate(starts)
        self._domain_starts: Ints = np.array(totals[:-1], dtype=np.int64)
        self._num_rows: Ints = np.diff(totals)
        self._limits = self._num_rows.astype(np.uint64)
        self._dtype = self._tokens[0].dtype

    def read(self, domain_index: Ints, rows: Ints) -> StoredTokens:
        """Copy rows, shape (B, T + 1).

        Args:
            domain_index: Domain of each, shape (B,).
            rows: Row within the domain, shape (B,).

        Raises:
            ValueError: A row that does not exist.
        """
        # Seen as unsigned, a negative row is larger than any that exists.
        if (rows.view(np.uint64) >= self._limits[domain_index]).any():
            raise ValueError(f"rows {rows.tolist()} are not all in {self._num_rows.tolist()}")
        places = self._domain_starts[domain_index] + rows
        shards = self._shard_starts.searchsorted(places, side="right") - 1
        starts = (places - self._shard_starts[shards]) * self._context_tokens
        out: StoredTokens = np.empty((len(rows), self._span), dtype=self._dtype)
        tokens, span = self._tokens, self._span
        for slot, shard, start in zip(out, shards.tolist(), starts.tolist(), strict=True):
            slot[:] = tokens[shard][start : start + span]
        return out
