"""No selection: the rows of a domain are drawn in their random order, all of them in each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass

import numpy as np
from pydantic.dataclasses import dataclass

from training.arrays import Floats, Ints
from training.config import STRICT, Setting
from training.policies import Json, PolicyState, parse_settings
from training.selectors.selector import Pool, PoolMeasures, PoolSignal, SelectionTask


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RandomOrderSettings:
    """There are none."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class RandomOrderState(PolicyState):
    """Nothing changes."""


class RandomOrder:
    """The stream as it is."""

    projected_size = 0

    def __init__(self, task: SelectionTask) -> None:
        """Serve a run."""
        self._num_domains = len(task.domains)

    @property
    def reads(self) -> frozenset[PoolSignal]:
        """Nothing."""
        return frozenset()

    @property
    def pool_rows(self) -> Ints:
        """Each row is judged alone."""
        return np.ones(self._num_domains, dtype=np.int64)

    @property
    def draws_per_row(self) -> Floats:
        """All of it."""
        return np.ones(self._num_domains)

    def initial(self) -> RandomOrderState:
        """Return the only state."""
        return RandomOrderState()

    def pool(self, domain: int, draws: int) -> Pool:
        """Return the next row."""
        return Pool(number=draws, first=draws, size=1, nth=0, kept=1)

    def kept(self, state: PolicyState, domain: int, number: int) -> Ints:
        """Keep it."""
        return np.zeros(1, dtype=np.int64)

    def choose(self, state: PolicyState, pool: PoolMeasures) -> PolicyState:
        """Learn nothing."""
        return state

    def describe(self, state: PolicyState) -> dict[str, Json]:
        """Nothing to say."""
        return {}


def make_random_order(settings: Mapping[str, Setting], task: SelectionTask) -> RandomOrder:
    """Return the selector that selects nothing.

    Raises:
        ValueError: A setting; there are none.
    """
    parse_settings(RandomOrderSettings, "random", settings, role="selector")
    return RandomOrder(task)
