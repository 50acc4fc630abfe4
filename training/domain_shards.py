"""The token shards of one domain, and which of their rows are trained on and which are held out.

A folder is either divided, with shards in train/ and heldout/, or one set of shards:

    rows 0 .. n - h - 1 are trained on, n - h .. n - 1 are held out      h = ceil(share * n)

The last rows are held out, and not some here and there, because neighbouring rows come from the
same documents: what is held out would be half known. So at most one document is in both parts, and
one token, the label of the last row that is trained on. The last rows are those of the documents
that were tokenised last; where the order of the documents means something (by date, by source),
shuffle them first or divide them into train/ and heldout/.

Shapes: R rows, T context tokens.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.arrays import Ints
from training.scoring import spread_rows
from training.shard_layout import SPLITS, is_whole
from training.shards import StoredTokens, TokenShards


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainShards:
    """The shards of a domain at one context length."""

    train: TokenShards
    """What is trained on; its first num_train_rows rows."""
    heldout: TokenShards
    """What is held out; its rows from first_heldout_row on."""
    context_tokens: int
    """T."""
    num_train_rows: int
    """Rows that are trained on, >= 1."""
    first_heldout_row: int
    """0 unless both parts are of one set of shards."""
    num_heldout_rows: int
    """Rows held out, >= 1."""

    def heldout_rows(self, wanted: int | None) -> StoredTokens:
        """Read `wanted` held-out rows, evenly spread, or all, shape (R, T + 1)."""
        places = self.first_heldout_row + spread_rows(self.num_heldout_rows, wanted)
        return self.heldout.rows(places, self.context_tokens)

    def train_rows_of(self, document_id: str) -> Ints:
        """Return the rows trained on that hold a part of a document; none if there is none."""
        if not self.train.holds(document_id):
            return np.empty(0, dtype=np.int64)
        rows = self.train.rows_of_document(document_id, self.context_tokens)
        return rows[rows < self.num_train_rows]

    def holds_out(self, document_id: str) -> bool:
        """Whether a part of a document is held out."""
        if not self.heldout.holds(document_id):
            return False
        if self.first_heldout_row == 0:
            return True
        rows = self.heldout.rows_of_document(document_id, self.context_tokens)
        return bool((rows >= self.first_heldout_row).any())


def open_domain(folder: Path, *, context_tokens: int, heldout_share: float) -> DomainShards:
    """Open the shards of a domain.

    Args:
        folder: Divided or whole.
        context_tokens: T.
        heldout_share: h / n of a folder that is not divided, in (0, 1).

    Raises:
        ValueError: Shards are missing or damaged, or have not one row for each part.
    """
    if not is_whole(folder):
        train, heldout = (TokenShards.open(folder / split) for split in SPLITS)
        return DomainShards(
            train=train,
            heldout=heldout,
            context_tokens=context_tokens,
            num_train_rows=train.num_rows(context_tokens),
            first_heldout_row=0,
            num_heldout_rows=heldout.num_rows(context_tokens),
        )
    shards = TokenShards.open(folder)
    num_rows = int(shards.row_tables(context_tokens)[1][-1])
    held = math.ceil(heldout_share * num_rows)
    if num_rows - held < 1:
        raise ValueError(
            f"{folder}: {shards.manifest.num_tokens} tokens are {num_rows} sequences of "
            f"{context_tokens} + 1 tokens; to hold out {heldout_share:g} of them and train on the "
            "others takes at least two: lower model.context_tokens or add text to the domain"
        )
    return DomainShards(
        train=shards,
        heldout=shards,
        context_tokens=context_tokens,
        num_train_rows=num_rows - held,
        first_heldout_row=num_rows - held,
        num_heldout_rows=held,
    )
