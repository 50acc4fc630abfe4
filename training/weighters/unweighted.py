"""No weighter: every row counts the same, bit for bit as if there were none."""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass

from pydantic.dataclasses import dataclass

from training.arrays import Floats
from training.config import STRICT, Setting
from training.policies import Json, Observation, PolicyState, Signal, parse_settings
from training.weighters.weighter import RowMeasures, RowSignal, WeightingTask


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class UnweightedSettings:
    """There are none."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class UnweightedState(PolicyState):
    """Nothing changes."""


class Unweighted:
    """All rows alike."""

    @property
    def reads(self) -> frozenset[RowSignal]:
        """Nothing."""
        return frozenset()

    def initial(self) -> UnweightedState:
        """Return the only state."""
        return UnweightedState()

    def wants(self, state: PolicyState, step: int) -> frozenset[Signal]:
        """Nothing."""
        return frozenset()

    def row_weights(self, state: PolicyState, step: int, rows: RowMeasures) -> Floats | None:
        """All rows alike."""
        return None

    def observe(self, state: PolicyState, observation: Observation) -> PolicyState:
        """Learn nothing."""
        return state

    def describe(self, state: PolicyState) -> dict[str, Json]:
        """Nothing to say."""
        return {}


def make_unweighted(settings: Mapping[str, Setting], task: WeightingTask) -> Unweighted:
    """Return the weighter that weighs nothing.

    Raises:
        ValueError: A setting; there are none.
    """
    parse_settings(UnweightedSettings, "none", settings, role="weighter")
    return Unweighted()
