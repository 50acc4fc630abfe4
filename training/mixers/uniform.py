"""Equal shares: w_j = 1 / D."""

from collections.abc import Mapping

import numpy as np
from pydantic.dataclasses import dataclass

from training.config import STRICT, Setting
from training.mixers.interface import MixingTask, StaticMixer, parse_settings


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class UniformSettings:
    """None."""


def make_uniform(settings: Mapping[str, Setting], task: MixingTask) -> StaticMixer:
    """Return the mixer of equal shares.

    Raises:
        ValueError: Any setting.
    """
    parse_settings(UniformSettings, "uniform", settings)
    return StaticMixer(task.domains, np.full(len(task.domains), 1 / len(task.domains)))
