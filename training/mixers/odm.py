"""ODM, online data mixing: a bandit that prefers domains with a high training loss.

After every step, for each domain that was in the batch, with its mean training loss L_i:

    released   R_i <- s R_i + (1 - s) exp(L_i)     pi = (1 - K eps_t) R / sum R + eps_t
    paper      R_i <- s R_i + (1 - s) L_i / pi_i   pi = (1 - K eps_t) softmax(eps_(t-1) R) + eps_t

    eps_t = min(1 / K, sqrt(ln K / (K t)))             t: steps trained, warm-up included

R starts at zero and is learnt after a warm-up on proportional shares; a domain that has not been
drawn since then has the share eps_t (released). No model is run besides the training itself.

The two are different methods. The released one samples in proportion to smoothed perplexity. In the
paper's, EXP3, eps goes to zero and takes the softmax of a bounded R to equal shares: with seven
domains and losses from 2 to 3.6 its shares end at .139 to .146. Neither subtracts what cannot be
learnt, so a domain of noise draws tokens.

Source: Albalak et al. 2023, "Efficient Online Data Mixing For Language Model Pre-Training",
arXiv:2312.02406, and the released code (its smoothed, grouped update with s = .5).
Deviation: a batch here holds rows of several domains, not of one drawn domain, and each is credited
with its own loss. The paper's form divides by pi_i all the same, as printed.
Shapes: K = D domains.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats
from training.config import STRICT, Setting
from training.mixers.interface import (
    Json,
    MixerState,
    MixingTask,
    Observation,
    SamplingMixer,
    by_domain,
    parse_settings,
    require_next_step,
    softmax,
)

WARMUP_SHARE = 0.01
"""Share of the steps that warm up unless the run file says otherwise, as in the paper."""


@config_dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class OdmSettings:
    """What the run file says."""

    form: Literal["released", "paper"] = "released"
    """Which update."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """s, weight of the past in R."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Steps on proportional shares before anything is learnt; None: a hundredth of the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OdmState(MixerState):
    """All that changes."""

    step: int
    """Last step observed; -2 before the first."""
    rewards: Floats
    """R, shape (D,): smoothed perplexity, or smoothed loss over share."""
    sampling_weights: Floats
    """Shape (D,)."""


class Odm(SamplingMixer):
    """The state machine over steps."""

    def __init__(self, settings: OdmSettings, task: MixingTask) -> None:
        """Check the settings against the run.

        Raises:
            ValueError: A warm-up as long as the run.
        """
        self._settings = settings
        self._domains = task.domains
        self._natural = task.available_tokens / task.available_tokens.sum()
        wanted = settings.warmup_steps
        self._warmup_steps = int(WARMUP_SHARE * task.steps) if wanted is None else wanted
        if self._warmup_steps >= task.steps:
            raise ValueError(
                f"mixer 'odm': warmup_steps {self._warmup_steps} must be below the {task.steps} "
                "steps of the run"
            )

    def initial(self) -> OdmState:
        """Return the state before the first observation: proportional shares."""
        return OdmState(
            step=-2, rewards=np.zeros(len(self._domains)), sampling_weights=self._natural.copy()
        )

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Never: the signal is the training loss."""
        return False

    def observe(self, state: MixerState, observation: Observation) -> OdmState:
        """Credit each domain of the batch with its loss and set the weights of the next step.

        Raises:
            ValueError: A step out of order, or a training loss that is not finite.
        """
        state = _own(state)
        require_next_step(state.step, observation)
        state = replace(state, step=observation.step)
        drawn = observation.train_token_counts > 0
        if observation.step < self._warmup_steps or not drawn.any():
            return state
        losses = observation.train_loss_sums[drawn] / observation.train_token_counts[drawn]
        gains = (
            np.exp(losses)
            if self._settings.form == "released"
            else losses / state.sampling_weights[drawn]
        )
        if not np.isfinite(gains).all():
            raise ValueError(
                f"step {observation.step}: training losses {losses.tolist()} of the domains in the "
                "batch give no finite reward; training diverged"
            )
        rewards = state.rewards.copy()
        smoothing = self._settings.smoothing
        rewards[drawn] = smoothing * rewards[drawn] + (1 - smoothing) * gains
        return replace(
            state, rewards=rewards, sampling_weights=self._shares(rewards, observation.step + 1)
        )

    def weights(self, state: MixerState, step: int) -> Floats:
        """Weights after the last update."""
        return _own(state).sampling_weights.copy()

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return weights, rewards and the share of exploration."""
        state = _own(state)
        return {
            "weights": by_domain(self._domains, state.sampling_weights),
            "rewards": by_domain(self._domains, state.rewards),
            "exploration": exploration_share(len(self._domains), max(state.step + 1, 1)),
        }

    def _shares(self, rewards: Floats, step: int) -> Floats:
        """Weights after so many steps."""
        size = len(self._domains)
        share = exploration_share(size, step)
        if self._settings.form == "released":
            preferred = rewards / rewards.sum()
        else:
            preferred = softmax(exploration_share(size, max(step - 1, 1)) * rewards)
        return np.asarray((1 - size * share) * preferred + share)


def exploration_share(num_domains: int, step: int) -> float:
    """eps_t, least share of a domain after `step` >= 1 steps."""
    return min(1 / num_domains, math.sqrt(math.log(num_domains) / (num_domains * step)))


def make_odm(settings: Mapping[str, Setting], task: MixingTask) -> Odm:
    """Return the ODM mixer.

    Raises:
        ValueError: A wrong setting, or settings that do not fit the run.
    """
    return Odm(parse_settings(OdmSettings, "odm", settings), task)


def _own(state: MixerState) -> OdmState:
    if not isinstance(state, OdmState):
        raise TypeError(f"expected an OdmState, got {type(state).__name__}")
    return state
