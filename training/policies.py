"""What mixers, weighters and selectors share: settings, states, and what they observe. No torch.

A policy holds constants. All that changes is in its state, a frozen dataclass of arrays and plain
values, taken and given back by its methods; so any run can be stopped after any step and continued,
and no policy needs a line of its own in the loop or in a checkpoint.

    mixer      shares of the domains in the next batch, and weights of their rows in the loss
    selector   which of the rows of a domain are drawn at all
    weighter   weight of each row of a batch in the loss

Shapes: D domains, B rows of a batch, R held-out rows of all domains, H width of the model.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Literal, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from training.arrays import Floats, Ints
from training.config import Setting, validation_message
from training.guard_verdict import GuardVerdict

__all__ = [
    "AlignmentTarget",
    "GradientAlignments",
    "GuardVerdict",
    "HeldoutEmbeddings",
    "Json",
    "Observation",
    "PolicyState",
    "Signal",
    "by_domain",
    "find_method",
    "pack_state",
    "parse_settings",
    "require_next_step",
    "unpack_state",
]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Maker = TypeVar("Maker")
Settings = TypeVar("Settings")
State = TypeVar("State", bound="PolicyState")

Signal = Literal["excess_losses", "heldout_embeddings"]
"""What a policy may ask for besides held-out losses and gradient alignments; the losses of the
training step are always there."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AlignmentTarget:
    """Which gradient the gradients of the domains are compared with."""

    heldout_weights: Floats | None
    """Weights of the held-out losses whose gradient it is, shape (D,); None: the sum of the
    gradients of the domains in the batch."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GradientAlignments:
    """Gradients of the mean loss of each domain of a batch, before the step on it."""

    dots: Floats
    """Inner product of each with the target, shape (D,); not a number where a domain was absent."""
    squared_norms: Floats
    """Squared norm of each, shape (D,); not a number likewise."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PolicyState:
    """Base of all states: fields are arrays, int, float, bool, str, None, or another state."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HeldoutEmbeddings:
    """Embeddings (training.row_features) of the cached held-out rows."""

    vectors: Floats
    """Shape (R, H)."""
    domain_index: Ints
    """Domain of each, shape (R,)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What was measured in one training step and after it. A signal nobody asked for is None."""

    step: int
    """Step that was just finished; -1 before the first, which has no rows."""
    heldout_losses: Floats | None
    """Mean held-out loss of each domain after the step, shape (D,), nats per token."""
    train_loss_sums: Floats
    """Sum of the training loss of each domain in the step, shape (D,), nats; 0 where absent."""
    train_token_counts: Ints
    """Tokens behind those sums, shape (D,)."""
    realised_counts: Ints
    """Rows of each domain in the step, shape (D,)."""
    learning_rate: float = 0.0
    """Of the step; 0 before the first."""
    row_domains: Ints | None = None
    """Domain of each row of the batch, shape (B,)."""
    row_ids: Ints | None = None
    """Row within the shards of its domain, shape (B,)."""
    row_losses: Floats | None = None
    """Training loss of each row, shape (B,), nats per token, not weighted."""
    heldout_embeddings: HeldoutEmbeddings | None = None
    """After the step."""
    excess_sums: Floats | None = None
    """Sum over the tokens of each domain in the step of max(loss - loss of the reference, 0),
    shape (D,), nats; 0 where absent."""
    alignments: GradientAlignments | None = None
    """Of the step's batch, with the target that was asked for."""


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


def find_method(makers: Mapping[str, Maker], role: str, method: str) -> Maker:
    """Return what makes a method of a role.

    Args:
        makers: Name -> what makes it.
        role: mixer, weighter or selector: where the name stands in a run file.
        method: The name.

    Raises:
        ValueError: There is none of that name.
    """
    if method not in makers:
        raise ValueError(
            f"{role}.method: no method {method!r}; choose one of {', '.join(sorted(makers))}"
        )
    return makers[method]


def parse_settings(
    kind: type[Settings], method: str, settings: Mapping[str, Setting], *, role: str = "mixer"
) -> Settings:
    """Check the settings of a method.

    Args:
        kind: A strict pydantic dataclass.
        method: Its name, for the message.
        settings: As they stand in the run file.
        role: mixer, weighter or selector, for the message.

    Raises:
        ValueError: An unknown, missing or wrong setting; the message names it.
    """
    try:
        # By way of JSON, because strict mode takes a mapping for a dataclass only from there.
        return TypeAdapter(kind).validate_json(json.dumps(dict(settings)))
    except ValidationError as error:
        message = validation_message(f"{role} {method!r}, settings", error, kind)
        raise ValueError(message) from error


def pack_state(state: PolicyState) -> dict[str, Json]:
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
        like: Any state of the same policy, for instance mixer.initial().

    Raises:
        ValueError: It is the state of another policy, or of another version of this one.
    """
    names = [field.name for field in dataclasses.fields(like)]
    fields = packed.get("fields")
    if packed.get("state") != type(like).__name__ or not isinstance(fields, dict):
        raise ValueError(
            f"expected a packed {type(like).__name__}, got {packed.get('state')!r}; the checkpoint "
            "belongs to another mixer, selector or weighter: start in a new folder"
        )
    if set(fields) != set(names):
        raise ValueError(
            f"the packed {type(like).__name__} has the fields {sorted(fields)}, expected "
            f"{sorted(names)}; the checkpoint is of another version: start in a new folder"
        )
    return type(like)(**{name: _unpack(fields[name], getattr(like, name)) for name in names})


def _pack(value: object) -> Json:
    if isinstance(value, PolicyState):
        return pack_state(value)
    if isinstance(value, np.ndarray):
        return {
            "dtype": value.dtype.name,
            "shape": list(value.shape),
            "data": value.ravel().tolist(),
        }
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"the state of a policy holds arrays and plain values, not {type(value).__name__}"
    )


def _unpack(value: Json, like: object) -> object:
    if isinstance(value, dict) and isinstance(like, PolicyState):
        return unpack_state(value, like)
    if isinstance(value, dict):
        return np.array(value["data"], dtype=str(value["dtype"])).reshape(value["shape"])  # type: ignore[arg-type]
    return value
