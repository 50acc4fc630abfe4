"""What a run has done so far, apart from tensors and files: small, immutable, saved as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Ints
from training.mixers.interface import Json, Mixer, MixerState, pack_state, unpack_state
from training.sampler import Sampler, SamplerState


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The state between two steps, shapes (D,)."""

    step: int
    """Steps finished."""
    sampler: SamplerState
    """Where each domain stands."""
    mixer: MixerState
    """What the mixer knows; it has observed `step` steps."""
    requested_sum: Floats
    """Sum over the steps of the weights asked for."""
    realised_rows: Ints
    """Rows drawn."""


def initial_progress(sampler: Sampler, mixer: Mixer) -> Progress:
    """Return the state before anything happened."""
    num_domains = len(sampler.domains)
    return Progress(
        step=0,
        sampler=sampler.initial(),
        mixer=mixer.initial(),
        requested_sum=np.zeros(num_domains),
        realised_rows=np.zeros(num_domains, dtype=np.int64),
    )


def pack_progress(progress: Progress) -> dict[str, Json]:
    """Turn it into plain JSON values; floats come back bit for bit."""
    return {
        "step": progress.step,
        "cursors": progress.sampler.cursors.tolist(),
        "carry": progress.sampler.carry.tolist(),
        "mixer": pack_state(progress.mixer),
        "requested_sum": progress.requested_sum.tolist(),
        "realised_rows": progress.realised_rows.tolist(),
    }


def unpack_progress(packed: Mapping[str, Json], mixer: Mixer) -> Progress:
    """Undo pack_progress.

    Raises:
        ValueError: It is the state of another mixer.
    """
    step, mixer_state = packed["step"], packed["mixer"]
    assert isinstance(step, int)
    assert isinstance(mixer_state, dict)
    return Progress(
        step=step,
        sampler=SamplerState(
            cursors=np.array(packed["cursors"], dtype=np.int64),
            carry=np.array(packed["carry"], dtype=np.float64),
        ),
        mixer=unpack_state(mixer_state, mixer.initial()),
        requested_sum=np.array(packed["requested_sum"], dtype=np.float64),
        realised_rows=np.array(packed["realised_rows"], dtype=np.int64),
    )
