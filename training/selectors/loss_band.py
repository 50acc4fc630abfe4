"""Loss band: more of the rows whose loss lies in the low, middle or high part of their pool.

    weight = focus^(1 / temperature) inside the band, 1 outside
    rows are drawn without replacement, each next one in proportion to its weight

The bands are bounded by the quantiles low_quantile and high_quantile of the pool's losses under the
model as it is. The middle leaves out what is learnt and what is noise; the high band alone chases
noise.

Source: the loss selector of DataFlex (quantiles .33 and .66, factor 5). Deviation: it scores the
whole training set at once, here pool by pool (training.selectors.selector).
Shapes: P rows of a pool.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from training.arrays import Ints
from training.config import STRICT, Setting
from training.policies import parse_settings
from training.selectors.pools import PoolSelector, PoolSettings, in_stream_order, require_measured
from training.selectors.selector import PoolMeasures, PoolSignal, SelectionTask


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LossBandSettings(PoolSettings):
    """What the run file says."""

    band: Literal["low", "middle", "high"] = "middle"
    """Which losses are preferred."""
    low_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.33
    """Between low and middle."""
    high_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.66
    """Between middle and high."""
    focus: Annotated[float, Field(ge=1)] = 5.0
    """Weight of a row in the band, where others have 1."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Large: the band matters less."""


class LossBand(PoolSelector):
    """Prefers a band of losses."""

    def __init__(self, settings: LossBandSettings, task: SelectionTask) -> None:
        """Check the quantiles.

        Raises:
            ValueError: They are not in order.
        """
        super().__init__(settings, task)
        if settings.low_quantile >= settings.high_quantile:
            raise ValueError(
                f"selector 'loss_band': low_quantile {settings.low_quantile} must be below "
                f"high_quantile {settings.high_quantile}"
            )
        self._settings = settings

    @property
    def reads(self) -> frozenset[PoolSignal]:
        """The losses."""
        return frozenset({"losses"})

    def pick(self, pool: PoolMeasures, count: int) -> Ints:
        """Draw rows, those of the band first of all."""
        settings = self._settings
        losses = require_measured(pool.losses, "losses", pool)
        low, high = np.quantile(losses, [settings.low_quantile, settings.high_quantile])
        inside = {
            "low": losses <= low,
            "middle": (losses > low) & (losses < high),
            "high": losses >= high,
        }[settings.band]
        weights = np.where(inside, settings.focus ** (1 / settings.temperature), 1.0)
        return in_stream_order(self.draw(pool, weights, count))


def make_loss_band(settings: Mapping[str, Setting], task: SelectionTask) -> LossBand:
    """Return the selector by bands of the loss.

    Raises:
        ValueError: A wrong setting.
    """
    return LossBand(parse_settings(LossBandSettings, "loss_band", settings, role="selector"), task)
