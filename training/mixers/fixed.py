"""Shares given by the user or by a plan, keyed by domain name."""

from collections.abc import Mapping

from pydantic.dataclasses import dataclass

from training.config import STRICT, Setting
from training.mixers.interface import MixingTask, StaticMixer, parse_settings, weights_by_name


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FixedSettings:
    """What the run file says."""

    weights: dict[str, float]
    """Share of each domain; every domain is named, and 0 leaves one out."""


def make_fixed(settings: Mapping[str, Setting], task: MixingTask) -> StaticMixer:
    """Return the mixer of the given shares.

    Raises:
        ValueError: An unknown setting, other names than the domains, or shares that are no mixture.
    """
    weights = parse_settings(FixedSettings, "fixed", settings).weights
    return StaticMixer(
        task.domains, weights_by_name(weights, task.domains, name="mixer.settings.weights")
    )
