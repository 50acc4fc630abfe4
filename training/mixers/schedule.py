"""Weights that change at given steps: a plan in phases, or one weight sliding into another.

constant   w(t) = w_k                                    for s_k <= t < s_(k+1)
linear     w(t) = w_k + (t - s_k) / (s_(k+1) - s_k) (w_(k+1) - w_k),  after the last s_k: w_k
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats, Ints
from training.config import STRICT, Setting
from training.mixers.interface import (
    Json,
    MixerState,
    MixingTask,
    Observation,
    SamplingMixer,
    by_domain,
    parse_settings,
    require_next_step,
    weights_by_name,
)


@config_dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ScheduleSettings:
    """What the run file says."""

    phases: Annotated[dict[int, dict[str, float]], Field(min_length=1)]
    """First step of a phase (from 0) -> weights of all domains. One phase begins at step 0."""
    interpolation: Literal["constant", "linear"] = "constant"
    """Whether weights jump at the first step of a phase or reach its weights there in a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleState(MixerState):
    """Where the run is."""

    step: int
    """Last step observed; -2 before the first."""


class Schedule(SamplingMixer):
    """Weights as a function of the step alone."""

    def __init__(
        self, domains: tuple[str, ...], starts: Ints, weights: Floats, *, linear: bool
    ) -> None:
        """Fix the phases.

        Args:
            domains: D names.
            starts: First step of each phase, shape (P,), ascending from 0.
            weights: Of each phase, shape (P, D), rows on the simplex.
            linear: Whether weights between two starts are interpolated.
        """
        self._domains = domains
        self._starts = starts
        self._weights = weights
        self._linear = linear

    def initial(self) -> ScheduleState:
        """Return the state before the first observation."""
        return ScheduleState(step=-2)

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Never."""
        return False

    def observe(self, state: MixerState, observation: Observation) -> ScheduleState:
        """Count the step.

        Raises:
            ValueError: A step out of order.
        """
        state = _own(state)
        require_next_step(state.step, observation)
        return replace(state, step=observation.step)

    def weights(self, state: MixerState, step: int) -> Floats:
        """Return the weights of the phase, or those on the way to the next."""
        _own(state)
        phase = int(np.searchsorted(self._starts, step, side="right")) - 1
        if not self._linear or phase + 1 == len(self._starts):
            return np.asarray(self._weights[phase].copy())
        first, last = self._starts[phase : phase + 2].tolist()
        part = (step - first) / (last - first)
        return np.asarray((1 - part) * self._weights[phase] + part * self._weights[phase + 1])

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return the weights of the next step and its phase."""
        step = max(_own(state).step + 1, 0)
        phase = int(np.searchsorted(self._starts, step, side="right")) - 1
        return {"weights": by_domain(self._domains, self.weights(state, step)), "phase": phase}


def make_schedule(settings: Mapping[str, Setting], task: MixingTask) -> Schedule:
    """Return the mixer of the given phases.

    Raises:
        ValueError: An unknown, missing or wrong setting, weights that are no mixture, no phase at
            step 0, or one that begins after the run.
    """
    wanted = parse_settings(ScheduleSettings, "schedule", settings)
    starts = sorted(wanted.phases)
    if starts[0] != 0 or starts[-1] >= task.steps:
        raise ValueError(
            f"mixer 'schedule': phases begin at steps {starts}; the first must begin at 0 and the "
            f"last within the run of {task.steps} steps"
        )
    rows = [
        weights_by_name(wanted.phases[start], task.domains, name=f"mixer.settings.phases.{start}")
        for start in starts
    ]
    return Schedule(
        task.domains,
        np.array(starts, dtype=np.int64),
        np.array(rows),
        linear=wanted.interpolation == "linear",
    )


def _own(state: MixerState) -> ScheduleState:
    if not isinstance(state, ScheduleState):
        raise TypeError(f"expected a ScheduleState, got {type(state).__name__}")
    return state
