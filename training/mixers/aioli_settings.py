"""Settings of the Aioli mixer, and what they must satisfy in a run."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from training.arrays import Floats
from training.config import STRICT, Count
from training.mixers.interface import MixingTask, weights_by_name


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AioliSettings:
    """What the run file says."""

    eta: Annotated[float, Field(gt=0)] = 0.2
    """Step size of the tilt."""
    main_share: Annotated[float, Field(gt=0, le=1)] = 0.75
    """alpha, share of the main domain in its probe; more than 1 / D."""
    sweeps: Count = 4
    """R, times that every domain is probed in a round."""
    probe_steps: Count = 4
    """s, steps of a probe."""
    round_steps: Count = 250
    """U, steps of a round; more than sweeps * probe_steps * D."""
    update: Literal["memoryless", "cumulative"] = "memoryless"
    """Whether the weights are a tilt of uniform, or of the weights before."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Weight of the past in the average of a memoryless update; 0: only the last round counts."""
    min_signal: Annotated[float, Field(ge=0)] = 2.0
    """Standard errors that a contrast needs to move a weight; 0: everything moves."""
    min_fidelity: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """Agreement of predicted and observed falls of a round (training.mixers.aioli_fidelity) below
    which the next trains on equal shares; -1: never."""
    prior: dict[str, float] | None = None
    """Weights of the first prior_steps, by domain; None: there is no such phase."""
    prior_steps: Annotated[int, Field(ge=0)] = 0
    """Steps before the first round."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the order of the probes."""


def checked_prior(settings: AioliSettings, task: MixingTask) -> Floats | None:
    """Return the prior in the order of the domains, or None.

    Raises:
        ValueError: Prior without prior_steps or the reverse, or a prior that is no mixture.
    """
    if (settings.prior is None) != (settings.prior_steps == 0):
        raise ValueError(
            f"mixer 'aioli': prior and prior_steps (is {settings.prior_steps}) belong together; "
            "give both or neither"
        )
    if settings.prior is None:
        return None
    return weights_by_name(settings.prior, task.domains, name="mixer.settings.prior")


def require_consistent(settings: AioliSettings, task: MixingTask, probing_steps: int) -> None:
    """Refuse settings that contradict each other or do not fit the run.

    Args:
        settings: What the run file says.
        task: The run.
        probing_steps: Steps of all probes of a round.

    Raises:
        ValueError: One of the conditions below; the message says which and what to change.
    """
    size = len(task.domains)
    if size < 2:
        raise ValueError("mixer 'aioli' needs at least two domains; use uniform")
    if settings.main_share <= 1 / size:
        raise ValueError(f"main_share {settings.main_share} must exceed 1 / D = {1 / size:.4g}")
    rows = settings.probe_steps * task.batch_rows
    extra_rows = rows * (settings.main_share * size - 1) / (size - 1)
    if extra_rows < 2:
        raise ValueError(
            f"a probe of {rows} rows has only {extra_rows:.2g} more of its main domain than of "
            "others, needed are 2; raise probe_steps, batch_rows or main_share"
        )
    if settings.min_signal > 0 and settings.sweeps < 2:
        raise ValueError(
            "standard errors need sweeps of at least 2, got 1; raise it or set min_signal to 0"
        )
    if settings.update == "cumulative" and settings.ema > 0:
        raise ValueError("ema belongs to the memoryless update; remove it or change update")
    if probing_steps >= settings.round_steps:
        raise ValueError(
            f"the probes of a round take sweeps * probe_steps * D = {probing_steps} steps, not "
            f"fewer than round_steps {settings.round_steps}; raise round_steps or probe less"
        )
    if settings.prior_steps + probing_steps >= task.steps:
        raise ValueError(
            f"a run of {task.steps} steps ends before the first probes do, at step "
            f"{settings.prior_steps + probing_steps}; train longer or probe less"
        )
