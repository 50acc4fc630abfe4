"""What a mixer is: a rule that yields the sampling weights of each step. Pure; no torch, no files.

A mixer holds constants. All that changes is in a state, a frozen dataclass of arrays and numbers,
so that any mixer can be stopped after any step and continued. The training loop calls it so:

    state = mixer.initial()
    for step in -1, 0, 1, ..., steps - 1:
        if step >= 0:
            train one step on mixer.weights(state, step)
        heldout = held-out losses of the model as it is now   if mixer.wants_evaluation(state, step)
        state = mixer.observe(state, Observation(step=step, heldout_losses=heldout, ...))

The call with step -1, before the first step, has zero train counts. A checkpoint taken after
observe() needs nothing but the packed state. Vectors are in the order of `MixingTask.domains`.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Protocol, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from training.arrays import Floats, Ints, require_simplex
from training.config import Setting, validation_message

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Settings = TypeVar("Settings")
State = TypeVar("State", bound="MixerState")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MixingTask:
    """What a mixer may know of the run it serves."""

    domains: tuple[str, ...]
    """Names; all vectors are in this order."""
    available_tokens: Floats
    """Training tokens of each domain, shape (D,), > 0."""
    steps: int
    """Optimiser steps of the run."""
    batch_rows: int
    """Rows of a batch."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What was measured in one training step and after it."""

    step: int
    """Step that was just finished; -1 before the first."""
    heldout_losses: Floats | None
    """Mean held-out loss of each domain after the step, shape (D,), nats per token; None unless
    wants_evaluation() said yes."""
    train_loss_sums: Floats
    """Sum of the training loss of each domain in the step, shape (D,), nats; 0 where absent."""
    train_token_counts: Ints
    """Tokens behind those sums, shape (D,)."""
    realised_counts: Ints
    """Rows of each domain in the step, shape (D,)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MixerState:
    """Base of all states: fields are arrays, int, float, bool, str, or None."""


class Mixer(Protocol):
    """Yields the weights of each step from what was observed before it."""

    def initial(self) -> MixerState:
        """Return the state before the first observation."""
        ...

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Whether observe() for this step (-1: before the first) needs held-out losses."""
        ...

    def observe(self, state: MixerState, observation: Observation) -> MixerState:
        """Return the state after an observation. Steps must come one after the other."""
        ...

    def weights(self, state: MixerState, step: int) -> Floats:
        """Sampling weights of the step that is about to run, shape (D,), on the simplex."""
        ...

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return the last decision, for the metrics: weights by domain, and what they rest on."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StaticState(MixerState):
    """A mixer that learns nothing."""


class StaticMixer:
    """The same weights at every step."""

    def __init__(
        self,
        domains: tuple[str, ...],
        weights: Floats,
        *,
        notes: Mapping[str, Json] | None = None,
    ) -> None:
        """Fix the weights, shape (D,), on the simplex, and what the record says besides."""
        require_simplex(weights)
        self._domains = domains
        self._weights = weights
        self._notes = dict(notes or {})

    def initial(self) -> StaticState:
        """Return the only state."""
        return StaticState()

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Never."""
        return False

    def observe(self, state: MixerState, observation: Observation) -> MixerState:
        """Learn nothing."""
        return state

    def weights(self, state: MixerState, step: int) -> Floats:
        """Return the fixed weights."""
        return self._weights.copy()

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return the fixed weights by domain, and the notes."""
        return {"weights": by_domain(self._domains, self._weights), **self._notes}


def by_domain(domains: tuple[str, ...], values: Floats) -> dict[str, Json]:
    """Key a vector by domain name."""
    return dict(zip(domains, values.tolist(), strict=True))


def require_next_step(step: int, observation: Observation) -> None:
    """Refuse an observation that does not follow the last one.

    Args:
        step: Last step observed; -2 before the first.
        observation: The new one.

    Raises:
        ValueError: It is of another step than the next.
    """
    if observation.step != step + 1:
        raise ValueError(f"expected the observation of step {step + 1}, got {observation.step}")


def require_heldout_losses(observation: Observation, num_domains: int) -> Floats:
    """Return the held-out losses that a mixer asked for.

    Raises:
        ValueError: They are missing or not finite.
    """
    losses = observation.heldout_losses
    if losses is None or losses.shape != (num_domains,) or not np.isfinite(losses).all():
        raise ValueError(
            f"step {observation.step} needs one finite held-out loss of each of {num_domains} "
            f"domains, got {losses}; a loss that is not finite means that training diverged"
        )
    return losses


def softmax(scores: Floats) -> Floats:
    """Weights in proportion to exp(scores), shape (D,); large scores do not overflow."""
    shares = np.exp(scores - scores.max())
    return np.asarray(shares / shares.sum())


def parse_settings(kind: type[Settings], method: str, settings: Mapping[str, Setting]) -> Settings:
    """Check the settings of a method.

    Args:
        kind: A strict pydantic dataclass.
        method: Its name, for the message.
        settings: As they stand in the run file.

    Raises:
        ValueError: An unknown, missing or wrong setting; the message names it.
    """
    try:
        # By way of JSON, because strict mode takes a mapping for a dataclass only from there.
        return TypeAdapter(kind).validate_json(json.dumps(dict(settings)))
    except ValidationError as error:
        known = ", ".join(field.name for field in dataclasses.fields(kind)) or "none"  # type: ignore[arg-type]
        message = validation_message(f"mixer {method!r}, settings", error)
        raise ValueError(f"{message}\n(settings of {method!r}: {known})") from error


def weights_by_name(weights: Mapping[str, float], domains: tuple[str, ...], *, name: str) -> Floats:
    """Put shares keyed by domain into the order of the domains.

    Raises:
        ValueError: The names are not exactly the domains, or the shares are no mixture.
    """
    if set(weights) != set(domains):
        raise ValueError(
            f"{name} must name every domain once: missing {sorted(set(domains) - set(weights))}, "
            f"unknown {sorted(set(weights) - set(domains))}; give 0 to a domain that is left out"
        )
    shares = np.array([weights[domain] for domain in domains], dtype=np.float64)
    require_simplex(shares, name=name)
    return np.asarray(shares / shares.sum())


def pack_state(state: MixerState) -> dict[str, Json]:
    """Turn a state into plain JSON values; floats come back bit for bit."""
    return {
        "state": type(state).__name__,
        "fields": {
            field.name: _pack(getattr(state, field.name)) for field in dataclasses.fields(state)
        },
    }


def unpack_state(packed: Mapping[str, Json], like: State) -> State:
    """Undo pack_state.

    Args:
        packed: What pack_state returned, perhaps by way of a JSON file.
        like: Any state of the same mixer, for instance mixer.initial().

    Raises:
        ValueError: It is the state of another mixer, or of another version of this one.
    """
    names = [field.name for field in dataclasses.fields(like)]
    fields = packed.get("fields")
    if packed.get("state") != type(like).__name__ or not isinstance(fields, dict):
        raise ValueError(
            f"expected a packed {type(like).__name__}, got {packed.get('state')!r}; the checkpoint "
            "belongs to another mixer: start in a new folder"
        )
    if set(fields) != set(names):
        raise ValueError(
            f"the packed {type(like).__name__} has the fields {sorted(fields)}, expected "
            f"{sorted(names)}; the checkpoint is of another version: start in a new folder"
        )
    return type(like)(**{name: _unpack(fields[name]) for name in names})


def _pack(value: object) -> Json:
    if isinstance(value, np.ndarray):
        return {
            "dtype": value.dtype.name,
            "shape": list(value.shape),
            "data": value.ravel().tolist(),
        }
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a mixer state holds arrays and plain values, not {type(value).__name__}")


def _unpack(value: Json) -> object:
    if isinstance(value, dict):
        return np.array(value["data"], dtype=str(value["dtype"])).reshape(value["shape"])  # type: ignore[arg-type]
    return value
