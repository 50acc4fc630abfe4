"""Loss-based reweighting: rows of a batch count by where their loss lies in it.

    h = d (2 l - (max + min)) / (max - min)          l: losses of the batch's rows; h in [-d, d]
    linupper   min(h + d, d)      easy rows count less, all above mid-range the same
    uniform    h                  the harder, the more
    quadratic  1 - h^2 / d^2      the middle
    extremes   |h|                both ends
    weights = softmax(value / r)  over the global batch

Rows with equal losses count the same. r goes from initial_temperature at the first step to
temperature at the last, in a straight line: a high one is close to no weighter, which is right as
long as losses say more about the model than about the rows.

Source: Sow et al. 2025, "Dynamic Loss-Based Sample Reweighting for Improved Large Language Model
Pretraining", arXiv:2502.06733, and its implementation in DataFlex. Deviations: weights have mean 1,
not sum 1 over the batch of each device; the straight line is our choice of annealing. The released
form is both temperatures 1, the default.
Shapes: B rows of the global batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from training.arrays import Floats
from training.config import STRICT, Setting
from training.policies import Json, Observation, PolicyState, Signal, parse_settings
from training.weighters.weighter import RowMeasures, RowSignal, WeightingTask

STRATEGIES: dict[str, Callable[[Floats, float], Floats]] = {
    "linupper": lambda h, d: np.minimum(h + d, d),
    "uniform": lambda h, d: h,
    "quadratic": lambda h, d: 1 - np.square(h / d),
    "extremes": lambda h, d: np.abs(h),
}


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LossReweightingSettings:
    """What the run file says."""

    strategy: Literal["linupper", "uniform", "quadratic", "extremes"] = "linupper"
    """Which losses count."""
    delta: Annotated[float, Field(gt=0)] = 1.0
    """d, half the range of the scaled losses."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """r at the last step; small: a few rows count."""
    initial_temperature: Annotated[float, Field(gt=0)] = 1.0
    """r at the first step."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class LossReweightingState(PolicyState):
    """Nothing is remembered: the weights of a batch depend on the batch."""


class LossReweighting:
    """Weights from the losses of the batch itself."""

    def __init__(self, settings: LossReweightingSettings, task: WeightingTask) -> None:
        """Serve a run."""
        self._settings = settings
        self._last_step = max(task.steps - 1, 1)

    @property
    def reads(self) -> frozenset[RowSignal]:
        """The losses."""
        return frozenset({"losses"})

    def initial(self) -> LossReweightingState:
        """Return the only state."""
        return LossReweightingState()

    def wants(self, state: PolicyState, step: int) -> frozenset[Signal]:
        """Nothing."""
        return frozenset()

    def row_weights(self, state: PolicyState, step: int, rows: RowMeasures) -> Floats:
        """Weight of each row, shape (B,), summing to 1.

        Raises:
            ValueError: A loss is missing or not finite.
        """
        losses = rows.losses
        if losses is None or not np.isfinite(losses).all():
            raise ValueError(f"weighter 'loss' needs finite losses of all rows, got {losses}")
        low, high = losses.min(), losses.max()
        if high == low:
            return np.full(len(losses), 1 / len(losses))
        delta = self._settings.delta
        scaled = delta * (2 * losses - (high + low)) / (high - low)
        values = STRATEGIES[self._settings.strategy](scaled, delta) / self._temperature(step)
        shares = np.exp(values - values.max())
        return np.asarray(shares / shares.sum())

    def observe(self, state: PolicyState, observation: Observation) -> PolicyState:
        """Learn nothing."""
        return state

    def describe(self, state: PolicyState) -> dict[str, Json]:
        """Nothing to say; the metrics hold effective_rows of every step."""
        return {}

    def _temperature(self, step: int) -> float:
        settings, done = self._settings, min(step / self._last_step, 1.0)
        return (1 - done) * settings.initial_temperature + done * settings.temperature


def make_loss_reweighting(settings: Mapping[str, Setting], task: WeightingTask) -> LossReweighting:
    """Return the loss-based weighter.

    Raises:
        ValueError: A wrong setting.
    """
    return LossReweighting(
        parse_settings(LossReweightingSettings, "loss", settings, role="weighter"), task
    )
