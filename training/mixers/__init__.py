"""The mixers by name. A new one: a file, a line here, a test."""

from collections.abc import Callable, Mapping

from training.arrays import Floats
from training.config import MixerConfig, Setting
from training.mixers.aioli import make_aioli
from training.mixers.curriculum import make_curriculum
from training.mixers.doge import make_doge
from training.mixers.doremi import make_doremi
from training.mixers.fixed import make_fixed
from training.mixers.interface import Mixer, MixingTask
from training.mixers.odm import make_odm
from training.mixers.proportional import make_proportional
from training.mixers.schedule import make_schedule
from training.mixers.skill_it import make_skill_it
from training.mixers.temperature import make_temperature
from training.mixers.training_signal import TrainingLossSignal
from training.mixers.uniform import make_uniform
from training.mixers.unimax import make_unimax
from training.policies import find_method

MIXERS: dict[str, Callable[[Mapping[str, Setting], MixingTask], Mixer]] = {
    "aioli": make_aioli,
    "curriculum": make_curriculum,
    "doge": make_doge,
    "doremi": make_doremi,
    "fixed": make_fixed,
    "odm": make_odm,
    "proportional": make_proportional,
    "schedule": make_schedule,
    "skill_it": make_skill_it,
    "temperature": make_temperature,
    "uniform": make_uniform,
    "unimax": make_unimax,
}


def make_mixer(
    config: MixerConfig,
    *,
    domains: tuple[str, ...],
    available_tokens: Floats,
    steps: int,
    batch_rows: int,
    has_reference: bool = False,
    learned_weights: Mapping[str, float] | None = None,
) -> Mixer:
    """Build the mixer that a run file names.

    Args:
        config: Method and settings.
        domains: Their names; all vectors are in this order.
        available_tokens: Training tokens of each domain, shape (D,), > 0.
        steps: Optimiser steps of the run.
        batch_rows: Rows of a batch.
        has_reference: Whether the run names a reference model.
        learned_weights: Shares by domain that another run learnt, if the run names one.

    Raises:
        ValueError: Unknown method, settings that the method refuses, or a reference or learned
            weights that it does not use.
    """
    make = find_method(MIXERS, "mixer", config.method)
    if available_tokens.shape != (len(domains),) or not (available_tokens > 0).all():
        raise ValueError(
            f"available_tokens must be positive, one per domain, got {available_tokens}"
        )
    task = MixingTask(
        domains=domains,
        available_tokens=available_tokens,
        steps=steps,
        batch_rows=batch_rows,
        has_reference=has_reference,
        learned_weights=learned_weights,
    )
    mixer = make(config.settings, task)
    if learned_weights is not None and config.method != "fixed":
        raise ValueError(
            f"weights_from: the mixer {config.method!r} does not sample from learned weights; use "
            "fixed or remove the key"
        )
    if has_reference and "excess_losses" not in mixer.wants(mixer.initial(), 0):
        raise ValueError(
            f"reference: the mixer {config.method!r} compares no losses with a reference; use "
            "doremi or remove the key"
        )
    return mixer if config.losses == "heldout" else TrainingLossSignal(mixer, task)
