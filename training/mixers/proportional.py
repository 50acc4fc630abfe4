"""Shares in proportion to the tokens that each domain has: w_j = n_j / sum n."""

from collections.abc import Mapping

from pydantic.dataclasses import dataclass

from training.config import STRICT, Setting
from training.mixers.interface import MixingTask, StaticMixer, parse_settings


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ProportionalSettings:
    """None."""


def make_proportional(settings: Mapping[str, Setting], task: MixingTask) -> StaticMixer:
    """Return the mixer of natural shares.

    Raises:
        ValueError: Any setting.
    """
    parse_settings(ProportionalSettings, "proportional", settings)
    return StaticMixer(task.domains, task.available_tokens / task.available_tokens.sum())
