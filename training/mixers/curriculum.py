"""Curriculum baselines: domains in the order of their difficulty.

    pool    the pool holds the first f(u) of all tokens in that order, and is sampled evenly:
              w_j proportional to the tokens of domain j in the pool
            u = 1, 2, ... n updates, one every update_steps
            linear  f = b + (1 - b) u / (a n)
            log     f = b + (1 - b) (1 + 0.1 ln(u / (a n) + e^-10))         both at most 1
    group   phase i = 1 ... D:  domain i with n_i tokens, and those before it with m n_j
            phase D + 1:        all domains in proportion to n_j
            phases are as long as the tokens that their weights stand for

Easy to hard is by ascending difficulty, hard to easy the reverse. Difficulty is given, or it is the
held-out loss before the first step: that says something only if training continues a model.

Source: the baselines of Chen et al. 2023, "Skill-it!", arXiv:2307.14430, and their released code;
pacing after Wu et al. 2021, "When Do Curricula Work?", arXiv:2012.03107; groups after Varshney et
al. 2022, arXiv:2205.09898, with a mixing fraction m of .4.
Deviations, and why:
- Difficulty belongs to a domain here, not to a document: a mixer chooses domains. In the pool all
  documents of a domain are alike, and a domain may be in it in part.
- The length of a group's phase follows the tokens there are, not a number of selected documents.
Their own repeats disagree by more than 20 points of accuracy on curricula (63.6 printed, 85.4 in
the notebook), so take these as baselines, not as a recommendation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats, Ints
from training.config import STRICT, Count, Setting
from training.mixers.interface import (
    Json,
    MixerState,
    MixingTask,
    Observation,
    SamplingMixer,
    by_domain,
    parse_settings,
    require_heldout_losses,
    require_next_step,
)

Share = Annotated[float, Field(ge=0, le=1)]


@config_dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CurriculumSettings:
    """What the run file says."""

    order: Literal["easy_to_hard", "hard_to_easy"] = "easy_to_hard"
    """Which domains come first."""
    form: Literal["pool", "group"] = "pool"
    """A pool that grows, or one domain after the other."""
    difficulty: dict[str, float] | None = None
    """Domain -> difficulty, higher is harder; None: the held-out loss before the first step."""
    pacing: Literal["linear", "log"] = "linear"
    """How the pool grows."""
    full_at: Annotated[float, Field(gt=0)] = 1.0
    """a, share of the run at which the pool is full."""
    start_share: Share = 0.0
    """b, share of the tokens that the pool starts from."""
    update_steps: Count = 1
    """Steps between two sizes of the pool."""
    mixing_share: Share = 0.4
    """m, how much of the groups before a group is trained on with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CurriculumState(MixerState):
    """All that changes."""

    step: int
    """Last step observed; -2 before the first."""
    difficulty: Floats
    """Of each domain, shape (D,); zeros until it is measured."""


class Curriculum(SamplingMixer):
    """Weights as a function of the step and the difficulties."""

    def __init__(self, settings: CurriculumSettings, task: MixingTask) -> None:
        """Check the settings against the run.

        Raises:
            ValueError: Difficulties of other domains than those of the run, or two equal ones.
        """
        self._settings = settings
        self._task = task
        self._given: Floats | None = None
        if settings.difficulty is not None:
            self._given = _ordered(settings.difficulty, task.domains)

    def initial(self) -> CurriculumState:
        """Return the state before the first observation."""
        size = len(self._task.domains)
        given = np.zeros(size) if self._given is None else self._given.copy()
        return CurriculumState(step=-2, difficulty=given)

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Before the first step, if difficulty is to be measured."""
        return self._given is None and step == -1

    def observe(self, state: MixerState, observation: Observation) -> CurriculumState:
        """Count the step; before the first, book the losses if difficulty is to be measured.

        Raises:
            ValueError: A step out of order, or held-out losses that are missing or not finite.
        """
        state = _own(state)
        require_next_step(state.step, observation)
        state = replace(state, step=observation.step)
        if self.wants_evaluation(state, observation.step):
            losses = require_heldout_losses(observation, len(self._task.domains))
            return replace(state, difficulty=losses.copy())
        return state

    def weights(self, state: MixerState, step: int) -> Floats:
        """Shares of the pool, or of the running group."""
        order = self._order(_own(state))
        tokens = self._task.available_tokens[order]
        shares = (
            self._pool(tokens, step) if self._settings.form == "pool" else self._group(tokens, step)
        )
        weights = np.empty(len(order))
        weights[order] = shares / shares.sum()
        return weights

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return the weights of the next step and the order of the domains."""
        state = _own(state)
        names = self._task.domains
        step = min(max(state.step + 1, 0), self._task.steps - 1)
        return {
            "weights": by_domain(names, self.weights(state, step)),
            "order": [names[index] for index in self._order(state).tolist()],
            "difficulty": by_domain(names, state.difficulty),
        }

    def _order(self, state: CurriculumState) -> Ints:
        sign = 1 if self._settings.order == "easy_to_hard" else -1
        return np.argsort(sign * state.difficulty, kind="stable")

    def _pool(self, tokens: Floats, step: int) -> Floats:
        """Tokens of each domain in the pool, in the order of the curriculum."""
        settings = self._settings
        num_updates = -(-self._task.steps // settings.update_steps)
        progress = (step // settings.update_steps + 1) / (settings.full_at * num_updates)
        grown = (
            progress if settings.pacing == "linear" else 1 + 0.1 * np.log(progress + np.exp(-10))
        )
        share = min(1.0, settings.start_share + (1 - settings.start_share) * grown)
        before = np.cumsum(tokens) - tokens
        return np.asarray(np.clip(share * tokens.sum() - before, 0.0, tokens))

    def _group(self, tokens: Floats, step: int) -> Floats:
        """Tokens that each domain has in the running phase, in the order of the curriculum."""
        size = len(tokens)
        mixed = np.tril(np.full((size, size), self._settings.mixing_share), -1) + np.eye(size)
        phases = np.vstack([mixed * tokens, tokens])
        ends = np.cumsum(phases.sum(axis=1))
        done = (step + 0.5) / self._task.steps * ends[-1]
        phase: Floats = phases[np.searchsorted(ends, done)]
        return phase


def make_curriculum(settings: Mapping[str, Setting], task: MixingTask) -> Curriculum:
    """Return a curriculum mixer.

    Raises:
        ValueError: A wrong setting, or settings that do not fit the run.
    """
    return Curriculum(parse_settings(CurriculumSettings, "curriculum", settings), task)


def _ordered(difficulty: Mapping[str, float], domains: tuple[str, ...]) -> Floats:
    if set(difficulty) != set(domains):
        raise ValueError(
            f"mixer.settings.difficulty must name every domain once: missing "
            f"{sorted(set(domains) - set(difficulty))}, unknown "
            f"{sorted(set(difficulty) - set(domains))}"
        )
    if len(set(difficulty.values())) != len(difficulty):
        raise ValueError(
            f"mixer.settings.difficulty: two domains are equally difficult in {dict(difficulty)}; "
            "an order needs different numbers"
        )
    return np.array([difficulty[domain] for domain in domains], dtype=np.float64)


def _own(state: MixerState) -> CurriculumState:
    if not isinstance(state, CurriculumState):
        raise TypeError(f"expected a CurriculumState, got {type(state).__name__}")
    return state
