"""Gradient similarity, LESS-style: the rows whose gradients point where held-out losses fall.

    score of a row = max over target domains of cos(R adam(g_row), R g_domain)      highest are kept

g_row is the gradient of the row's loss, adam(g) the step that Adam would take for it, g_domain the
plain gradient of the domain's mean held-out loss, R a random projection to projected_size numbers
(training.row_features has both formulas). Every candidate row costs a forward and a backward pass
of its own, so a kept row costs keep_share^-1 training steps of a row, and every pool one pass
forward and back over the held-out rows of all domains: this selector is dear.

Source: Xia et al. 2024, "LESS: Selecting Influential Data for Targeted Instruction Tuning",
arXiv:2402.04333. Deviations: the model as it is when the pool is entered, where LESS sums over
checkpoints of a warm-up run with adapters; all parameters; a count sketch, for its cost.
Shapes: P rows of a pool, D domains, M projected size.
"""

from collections.abc import Mapping

import numpy as np
from pydantic.dataclasses import dataclass

from training.arrays import Ints
from training.config import STRICT, Count, Setting
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
class GradientSimilaritySettings(PoolSettings):
    """What the run file says."""

    projected_size: Count = 4096
    """M; the noise of a cosine is about 1 / sqrt(M)."""
    targets: dict[str, float] | None = None
    """Domains whose held-out loss is to fall, those with a value above 0; None: for each domain its
    own."""


class GradientSimilarity(PoolSelector):
    """Prefers rows whose gradient helps the held-out rows."""

    def __init__(self, settings: GradientSimilaritySettings, task: SelectionTask) -> None:
        """Check the targets.

        Raises:
            ValueError: They are no domains, or there are none.
        """
        super().__init__(settings, task)
        self._settings = settings
        self._targets = target_domains(settings.targets, task, method="gradient_similarity")

    @property
    def reads(self) -> frozenset[PoolSignal]:
        """The gradients."""
        return frozenset({"gradients"})

    @property
    def projected_size(self) -> int:
        """M."""
        return self._settings.projected_size

    def pick(self, pool: PoolMeasures, count: int) -> Ints:
        """Keep the highest scores."""
        assert pool.gradients is not None
        rows = require_measured(pool.gradients.rows, "gradients", pool)
        heldout = require_measured(pool.gradients.heldout, "held-out gradients", pool)
        targets = [pool.domain] if self._targets is None else self._targets
        scores = (unit_rows(rows) @ unit_rows(heldout[targets]).T).max(axis=1)
        return in_stream_order(np.argsort(-scores, kind="stable")[:count])


def make_gradient_similarity(
    settings: Mapping[str, Setting], task: SelectionTask
) -> GradientSimilarity:
    """Return the selector by gradient similarity.

    Raises:
        ValueError: A wrong setting, or targets that are no domains.
    """
    parsed = parse_settings(
        GradientSimilaritySettings, "gradient_similarity", settings, role="selector"
    )
    return GradientSimilarity(parsed, task)
