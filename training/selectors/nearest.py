"""Nearest to the evaluation: the rows whose embeddings are closest to held-out rows.

    every held-out row ranks the pool by cosine; all first choices are taken, then all second
    choices, and so on, each row once, until enough are kept

Taking turns keeps rows near to every held-out row, where the best cosines alone might all be near
one of them. Embeddings (training.row_features) are the model's own, as it is when the pool is
entered: at the very start they say little more than which tokens a row has. What is kept resembles
the held-out rows, so a held-out loss after this is no estimate of the loss on other text.

Source: the nearest-neighbour selector of DataFlex, which embeds with a separate model, once.
Shapes: P rows of a pool, R held-out rows of the targets, H width.
"""

from collections.abc import Mapping

import numpy as np
from pydantic.dataclasses import dataclass

from training.arrays import Ints
from training.config import STRICT, Setting
from training.policies import parse_settings
from training.selectors.pools import (
    PoolSelector,
    PoolSettings,
    in_stream_order,
    require_measured,
    target_domains,
    unit_rows,
)
from training.selectors.selector import PoolMeasures, PoolSignal, SelectionTask


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NearestSettings(PoolSettings):
    """What the run file says."""

    targets: dict[str, float] | None = None
    """Domains whose held-out rows count, those with a value above 0; None: for each domain its
    own."""


class Nearest(PoolSelector):
    """Prefers rows near to held-out rows."""

    def __init__(self, settings: NearestSettings, task: SelectionTask) -> None:
        """Check the targets.

        Raises:
            ValueError: They are no domains, or there are none.
        """
        super().__init__(settings, task)
        self._targets = target_domains(settings.targets, task, method="nearest")

    @property
    def reads(self) -> frozenset[PoolSignal]:
        """The embeddings."""
        return frozenset({"embeddings"})

    def pick(self, pool: PoolMeasures, count: int) -> Ints:
        """Keep the choices of the held-out rows in turns."""
        rows = require_measured(pool.embeddings, "embeddings", pool)
        heldout = pool.heldout_embeddings
        assert heldout is not None
        targets = [pool.domain] if self._targets is None else self._targets
        vectors = heldout.vectors[np.isin(heldout.domain_index, targets)]
        vectors = require_measured(vectors, "held-out embeddings", pool)
        ranks = np.argsort(-unit_rows(rows) @ unit_rows(vectors).T, axis=0, kind="stable")
        choices, first_at = np.unique(ranks.ravel(), return_index=True)
        return in_stream_order(choices[np.argsort(first_at)[:count]])


def make_nearest(settings: Mapping[str, Setting], task: SelectionTask) -> Nearest:
    """Return the selector by nearness to held-out rows.

    Raises:
        ValueError: A wrong setting, or targets that are no domains.
    """
    return Nearest(parse_settings(NearestSettings, "nearest", settings, role="selector"), task)
