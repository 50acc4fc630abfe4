"""Shares given by the user, a plan or a proxy run that learnt them, keyed by domain name."""

from collections.abc import Mapping

from pydantic.dataclasses import dataclass

from training.config import STRICT, Setting
from training.mixers.interface import MixingTask, StaticMixer, parse_settings, weights_by_name


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FixedSettings:
    """What the run file says."""

    weights: dict[str, float] | None = None
    """Share of each domain; every domain is named, and 0 leaves one out. None: those that the run
    named by `weights_from` learnt."""


def make_fixed(settings: Mapping[str, Setting], task: MixingTask) -> StaticMixer:
    """Return the mixer of the given shares.

    Raises:
        ValueError: An unknown setting, other names than the domains, shares that are no mixture, no
            shares, or two.
    """
    given, learned = parse_settings(FixedSettings, "fixed", settings).weights, task.learned_weights
    if given is not None and learned is not None:
        raise ValueError(
            "mixer 'fixed' has both settings.weights and the weights that weights_from names; "
            "remove one"
        )
    if given is not None:
        shares = weights_by_name(given, task.domains, name="mixer.settings.weights")
    elif learned is not None:
        shares = weights_by_name(learned, task.domains, name="weights_from: the learned weights")
    else:
        raise ValueError(
            "mixer 'fixed' has no weights: set settings.weights to a share of each domain, or "
            "weights_from to the folder of a proxy run that learnt them"
        )
    return StaticMixer(task.domains, shares)
