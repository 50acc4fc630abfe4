"""Gives a method training losses where it asks for held-out ones, so that it costs no evaluation.

    asked for after step t    L_j(theta_t) on held-out rows of domain j
    given after step t + 1    mean loss of domain j in the batch of step t + 1

The loss of a training step is measured before its update, so it belongs to the parameters that were
asked about; and in the first epoch of a domain its rows have not been trained on, so it is as
unbiased as a held-out loss. From its second epoch on it is too low, as for every training loss.

The method hears of step t one step late, so step t + 1 is still sampled by its old weights w. They
are mixed with equal shares, (1 - D f) w + f with f = 2 / B, so that every domain has rows in the
batch. A domain that has none all the same, because it is used up, keeps its last loss.

It works for every method that asks for held-out losses (Aioli, Skill-It). The noise is that of the
batch's rows, fresh ones each time, where the cached held-out rows are the same at every evaluation:
differences of two losses are noisier. So it is for large batches.

Shapes: D domains, B rows of a batch.
"""

from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Floats, Ints
from training.mixers.interface import (
    GuardVerdict,
    Json,
    Mixer,
    MixerState,
    MixingTask,
    Observation,
    SamplingMixer,
)

_ROWS = 2
"""Rows that each domain is to have in a batch that is measured; shares are realised up to one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSignalState(MixerState):
    """What the method knows, and the step that it has not heard of yet."""

    method: MixerState
    """State of the method."""
    step: int
    """Last step observed; -2 before the first."""
    waiting: bool
    """Whether the method is still to hear of that step; if not, the four fields below are zeros."""
    train_loss_sums: Floats
    """Of that step, as in the observation, shape (D,)."""
    train_token_counts: Ints
    """Likewise."""
    realised_counts: Ints
    """Likewise."""
    learning_rate: float
    """Likewise."""
    losses: Floats
    """Last training loss of each domain, shape (D,), nats per token; not a number before any."""
    decided: bool
    """Whether the method got losses with the last step."""


class TrainingLossSignal(SamplingMixer):
    """A method that is given training losses."""

    def __init__(self, method: Mixer, task: MixingTask) -> None:
        """Wrap a method.

        Raises:
            ValueError: It never asks for held-out losses, or asks for more; it leaves a domain out;
                or the batch is too small to hold rows of every domain.
        """
        size = len(task.domains)
        first = method.initial()
        asks = any(method.wants_evaluation(first, step) for step in range(-1, task.steps))
        if not asks or method.wants(first, 0):
            raise ValueError(
                "mixer.losses: 'training' is for methods that ask for held-out losses and nothing "
                "else, as aioli and skill_it do; this one does not: leave the key out"
            )
        if not (method.weights(first, 0) > 0).all():
            raise ValueError(
                "mixer.losses: 'training' needs rows of every domain, and the mixer gives none to "
                "some; use heldout"
            )
        if task.batch_rows < 2 * _ROWS * size:
            raise ValueError(
                f"mixer.losses: 'training' needs batches of at least {2 * _ROWS} rows for each of "
                f"{size} domains, schedule.batch_rows is {task.batch_rows}; raise it or use heldout"
            )
        self._method = method
        self._size = size
        self._floor = _ROWS / task.batch_rows

    def initial(self) -> TrainingSignalState:
        """Return the state before the first observation."""
        zeros, counts = np.zeros(self._size), np.zeros(self._size, dtype=np.int64)
        return TrainingSignalState(
            method=self._method.initial(),
            step=-2,
            waiting=False,
            train_loss_sums=zeros,
            train_token_counts=counts,
            realised_counts=counts,
            learning_rate=0.0,
            losses=np.full(self._size, np.nan),
            decided=False,
        )

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Never."""
        return False

    def observe(self, state: MixerState, observation: Observation) -> TrainingSignalState:
        """Tell the method of the last step if it waited for this one's losses, then of this one.

        Raises:
            ValueError: As the method does; or a domain had no row yet.
        """
        state = _own(state)
        drawn = observation.train_token_counts > 0
        losses = state.losses.copy()
        losses[drawn] = observation.train_loss_sums[drawn] / observation.train_token_counts[drawn]
        method = state.method
        if state.waiting:
            method = self._method.observe(method, _waited(state, losses))
        waiting = self._method.wants_evaluation(method, observation.step)
        if not waiting:
            method = self._method.observe(method, observation)
        kept = replace(
            self.initial(), method=method, step=observation.step, losses=losses,
            decided=state.waiting,
        )  # fmt: skip
        if not waiting:
            return kept
        return replace(
            kept,
            waiting=True,
            train_loss_sums=observation.train_loss_sums,
            train_token_counts=observation.train_token_counts,
            realised_counts=observation.realised_counts,
            learning_rate=observation.learning_rate,
        )

    def weights(self, state: MixerState, step: int) -> Floats:
        """Weights of the method, with a floor in a step whose losses it waits for."""
        state = _own(state)
        weights = self._method.weights(state.method, step)
        if not state.waiting:
            return weights
        return np.asarray((1 - self._size * self._floor) * weights + self._floor)

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return what the method says."""
        return self._method.describe(_own(state).method)

    def learned_weights(self, state: MixerState) -> Floats | None:
        """Return what the method says."""
        return self._method.learned_weights(_own(state).method)

    def verdicts(self, state: MixerState) -> tuple[GuardVerdict, ...]:
        """Return what the method says."""
        return self._method.verdicts(_own(state).method)

    def loss_weights(self, state: MixerState, counts: Ints) -> Floats | None:
        """Return what the method says."""
        return self._method.loss_weights(_own(state).method, counts)


def has_decided(state: MixerState) -> bool:
    """Whether a method has just been given training losses."""
    return isinstance(state, TrainingSignalState) and state.decided


def _waited(state: TrainingSignalState, losses: Floats) -> Observation:
    return Observation(
        step=state.step,
        heldout_losses=losses,
        train_loss_sums=state.train_loss_sums,
        train_token_counts=state.train_token_counts,
        realised_counts=state.realised_counts,
        learning_rate=state.learning_rate,
    )


def _own(state: MixerState) -> TrainingSignalState:
    if not isinstance(state, TrainingSignalState):
        raise TypeError(f"expected a TrainingSignalState, got {type(state).__name__}")
    return state
