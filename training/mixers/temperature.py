"""Shares between proportional and equal: w_j = n_j^(1/T) / sum n^(1/T).

T = 1 is proportional, T to infinity equal, T below 1 sharper than proportional. The exponent of
multilingual models is 1/T. Computed in logarithms, so that no power overflows.

Source: Devlin et al. 2019 (multilingual BERT), Arivazhagan et al. 2019, arXiv:1907.05019.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from training.config import STRICT, Setting
from training.mixers.interface import MixingTask, StaticMixer, parse_settings, softmax


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class TemperatureSettings:
    """What the run file says."""

    temperature: Annotated[float, Field(gt=0)]
    """T; 1: in proportion to the tokens, larger: more equal."""


def make_temperature(settings: Mapping[str, Setting], task: MixingTask) -> StaticMixer:
    """Return the mixer of tempered shares.

    Raises:
        ValueError: An unknown, missing or wrong setting.
    """
    temperature = parse_settings(TemperatureSettings, "temperature", settings).temperature
    return StaticMixer(task.domains, softmax(np.log(task.available_tokens) / temperature))
