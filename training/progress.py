"""What a run has done so far, apart from tensors and files: small, immutable, saved as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Ints
from training.policies import Json, PolicyState, pack_state, unpack_state
from training.run_inputs import RunInputs
from training.sampler import SamplerState


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The state between two steps, shapes (D,)."""

    step: int
    """Steps finished."""
    sampler: SamplerState
    """Where each domain stands."""
    mixer: PolicyState
    """What the mixer knows; it has observed `step` steps."""
    weighter: PolicyState
    """What the weighter knows; likewise."""
    selector: PolicyState
    """What the selector keeps for the next draws."""
    requested_sum: Floats
    """Sum over the steps of the weights asked for."""
    realised_rows: Ints
    """Rows drawn."""
    scored_rows: int
    """Held-out rows scored, over all evaluations."""


def initial_progress(inputs: RunInputs) -> Progress:
    """Return the state before anything happened."""
    num_domains = len(inputs.domains)
    return Progress(
        step=0,
        sampler=inputs.sampler.initial(),
        mixer=inputs.mixer.initial(),
        weighter=inputs.weighter.initial(),
        selector=inputs.selector.initial(),
        requested_sum=np.zeros(num_domains),
        realised_rows=np.zeros(num_domains, dtype=np.int64),
        scored_rows=0,
    )


def pack_progress(progress: Progress) -> dict[str, Json]:
    """Turn it into plain JSON values; floats come back bit for bit."""
    return {
        "step": progress.step,
        "cursors": progress.sampler.cursors.tolist(),
        "carry": progress.sampler.carry.tolist(),
        "mixer": pack_state(progress.mixer),
        "weighter": pack_state(progress.weighter),
        "selector": pack_state(progress.selector),
        "requested_sum": progress.requested_sum.tolist(),
        "realised_rows": progress.realised_rows.tolist(),
        "scored_rows": progress.scored_rows,
    }


def unpack_progress(packed: Mapping[str, Json], inputs: RunInputs) -> Progress:
    """Undo pack_progress.

    Raises:
        ValueError: It holds the state of another mixer, weighter or selector, or none.
    """
    step, scored_rows = packed["step"], packed["scored_rows"]
    assert isinstance(step, int)
    assert isinstance(scored_rows, int)
    return Progress(
        step=step,
        sampler=SamplerState(
            cursors=np.array(packed["cursors"], dtype=np.int64),
            carry=np.array(packed["carry"], dtype=np.float64),
        ),
        mixer=_unpack(packed, "mixer", inputs.mixer.initial()),
        weighter=_unpack(packed, "weighter", inputs.weighter.initial()),
        selector=_unpack(packed, "selector", inputs.selector.initial()),
        requested_sum=np.array(packed["requested_sum"], dtype=np.float64),
        realised_rows=np.array(packed["realised_rows"], dtype=np.int64),
        scored_rows=scored_rows,
    )


def _unpack(packed: Mapping[str, Json], key: str, like: PolicyState) -> PolicyState:
    state = packed.get(key)
    if not isinstance(state, dict):
        raise ValueError(
            f"the checkpoint holds no state of a {key}; it is of another version: start in a new "
            "folder"
        )
    return unpack_state(state, like)
