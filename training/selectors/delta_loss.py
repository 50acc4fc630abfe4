"""Delta-loss: first the rows that are learnt fast, later those that are learnt slowly.

    delta = loss under the initial model - loss under the model as it is
    sort a pool by delta, largest first; a window of window_share of it slides down with progress
    position = sigmoid(steepness (t - 1/2)), brought to go from 0 to 1        t = step / steps
    weight = 1 inside the window, outside_weight outside; rows are drawn without replacement

The initial model is built again from the run's seed, so nothing has to be scored in advance; each
pool costs two forward passes of its rows instead of one.

Source: the delta-loss selector of DataFlex (window .2, steepness 10, .025 outside). Deviations: a
pool at a time instead of the whole set; a window of negative deltas stays a window; the position
reaches both ends.
Shapes: P rows of a pool.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from training.arrays import Ints
from training.config import STRICT, Setting
from training.policies import parse_settings
from training.selectors.pools import PoolSelector, PoolSettings, in_stream_order, require_measured
from training.selectors.selector import PoolMeasures, PoolSignal, SelectionTask


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class DeltaLossSettings(PoolSettings):
    """What the run file says."""

    window_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Part of a pool that is preferred."""
    steepness: Annotated[float, Field(gt=0)] = 10.0
    """How suddenly the window moves in the middle of the run."""
    outside_weight: Annotated[float, Field(ge=0, le=1)] = 0.025
    """Weight of a row outside the window, where those inside have 1."""


class DeltaLoss(PoolSelector):
    """Prefers a window of learning progress."""

    def __init__(self, settings: DeltaLossSettings, task: SelectionTask) -> None:
        """Serve a run."""
        super().__init__(settings, task)
        self._settings = settings

    @property
    def reads(self) -> frozenset[PoolSignal]:
        """The losses now, and before the first step."""
        return frozenset({"losses", "initial_losses"})

    def pick(self, pool: PoolMeasures, count: int) -> Ints:
        """Draw rows, those of the window first of all."""
        deltas = require_measured(pool.initial_losses, "initial losses", pool) - require_measured(
            pool.losses, "losses", pool
        )
        size = len(deltas)
        width = max(1, round(self._settings.window_share * size))
        first = round(self.position(pool.step) * (size - width))
        weights = np.full(size, self._settings.outside_weight)
        weights[np.argsort(-deltas, kind="stable")[first : first + width]] = 1.0
        return in_stream_order(self.draw(pool, weights, count))

    def position(self, step: int) -> float:
        """Place of the window before a step, from 0, the fastest, to 1, the slowest."""
        progress = step / max(self.task.steps - 1, 1)
        half = np.tanh(self._settings.steepness / 4)
        # sigmoid(x) = (1 + tanh(x / 2)) / 2
        return float((1 + np.tanh(self._settings.steepness * (progress - 0.5) / 2) / half) / 2)


def make_delta_loss(settings: Mapping[str, Setting], task: SelectionTask) -> DeltaLoss:
    """Return the selector by learning progress.

    Raises:
        ValueError: A wrong setting.
    """
    parsed = parse_settings(DeltaLossSettings, "delta_loss", settings, role="selector")
    return DeltaLoss(parsed, task)
