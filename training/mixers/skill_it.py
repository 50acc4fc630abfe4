"""Skill-It: more of the skills that prepare what is not learnt yet.

    start        p_i proportional to exp(eta * sum_j A_ij)
    each round   p_i proportional to exp(eta * sum over the window of sum_j A_ij L_j)

A[train i, eval j] is the skill graph (training.skill_graph), L_j the held-out losses at the last w
evaluations of the round. `static` keeps the start weights. With window_losses `mean` the window is
averaged, which the released code does when fine-tuning for a target; give then only the columns of
the targets. Skills that are only evaluated get no weight.

The update has no memory: weights before do not enter. The share of i over that of k reaches at most
exp(eta * w * max L * sum_j max(A_ij - A_kj, 0)) (mean: without w), so eta and w belong together.

Source: Chen et al. 2023, "Skill-it! A Data-Driven Skills Framework for Understanding and Training
Language Models", arXiv:2307.14430, algorithm 1 and the released code; their formula before it
multiplies the previous weights, which neither does.
Deviations, and why:
- A graph that is empty or complete (training.skill_diagnosis) gives equal shares, recorded as the
  verdict, because no order can help there; `obey_diagnosis: false` runs the update all the same.
- Losses are evaluated only where a window needs them, not at every checkpoint of the run, and after
  the last step of a round rather than one step later.
- An entry of exactly 1 stays 1; the released code makes it 1/2 off the diagonal.
Left out: their options for a growing eta, relative losses, lone nodes and a shrinking graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats
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
    softmax,
)
from training.skill_diagnosis import Diagnosis, diagnose


@config_dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SkillItSettings:
    """What the run file says."""

    graph: Annotated[dict[str, dict[str, Annotated[float, Field(ge=0)]]], Field(min_length=1)]
    """Training skill -> evaluated skill -> weight of the edge; `mixwright skill-graph` writes it.
    Skills are domains of the run."""
    eta: Annotated[float, Field(gt=0)] = 0.2
    """Step size."""
    round_steps: Count = 1000
    """U, steps between two updates."""
    window: Count = 3
    """w, evaluations of a round that count."""
    evaluation_steps: Count = 50
    """Steps between them; the last is at the end of the round."""
    window_losses: Literal["sum", "mean"] = "sum"
    """What is done with the evaluations of a window."""
    static: bool = False
    """Whether to keep the start weights."""
    obey_diagnosis: bool = True
    """Whether an empty or complete graph gives equal shares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillItState(MixerState):
    """All that changes."""

    step: int
    """Last step observed; -2 before the first."""
    losses: Floats
    """Sum of the held-out losses of this round's window so far, shape (D,), nats per token."""
    sampling_weights: Floats
    """Shape (D,)."""
    num_updates: int
    """Rounds that changed the weights."""


class SkillIt(SamplingMixer):
    """The state machine over steps."""

    def __init__(self, settings: SkillItSettings, task: MixingTask) -> None:
        """Check the settings against the run.

        Raises:
            ValueError: Settings that contradict each other or do not fit the run.
        """
        self._settings = settings
        self._domains = task.domains
        self._steps = task.steps
        self._graph, self._trained, self._diagnosis = _read_graph(settings.graph, task.domains)
        self._stratified = settings.obey_diagnosis and self._diagnosis.verdict != "ordered"
        if not self._learns:
            return
        if settings.round_steps >= task.steps:
            raise ValueError(
                f"mixer 'skill_it': a run of {task.steps} steps ends before the first update at "
                f"round_steps {settings.round_steps}; shorten the rounds or set static"
            )
        if (settings.window - 1) * settings.evaluation_steps >= settings.round_steps:
            raise ValueError(
                f"mixer 'skill_it': {settings.window} evaluations {settings.evaluation_steps} "
                f"steps apart do not fit a round of {settings.round_steps} steps"
            )

    @property
    def _learns(self) -> bool:
        return not (self._stratified or self._settings.static)

    def initial(self) -> SkillItState:
        """Return the state before the first observation: the start weights."""
        size = len(self._domains)
        return SkillItState(
            step=-2,
            losses=np.zeros(size),
            sampling_weights=self._tilt(np.ones(size)),
            num_updates=0,
        )

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """At the last evaluations of a round that another round follows."""
        settings = self._settings
        done = step + 1
        end = -(-done // settings.round_steps) * settings.round_steps
        before = end - done
        return (
            self._learns
            and done > 0
            and end < self._steps
            and before % settings.evaluation_steps == 0
            and before < settings.window * settings.evaluation_steps
        )

    def observe(self, state: MixerState, observation: Observation) -> SkillItState:
        """Book a step; at the end of a round, update.

        Raises:
            ValueError: A step out of order, or held-out losses that are missing or not finite.
        """
        state = _own(state)
        require_next_step(state.step, observation)
        state = replace(state, step=observation.step)
        if not self.wants_evaluation(state, observation.step):
            return state
        losses = state.losses + require_heldout_losses(observation, len(self._domains))
        if (observation.step + 1) % self._settings.round_steps:
            return replace(state, losses=losses)
        divisor = self._settings.window if self._settings.window_losses == "mean" else 1
        return replace(
            state,
            losses=np.zeros_like(losses),
            sampling_weights=self._tilt(losses / divisor),
            num_updates=state.num_updates + 1,
        )

    def weights(self, state: MixerState, step: int) -> Floats:
        """Weights of the running round."""
        return _own(state).sampling_weights.copy()

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return the weights, the number of updates, and what the graph is good for."""
        state = _own(state)
        return {
            "weights": by_domain(self._domains, state.sampling_weights),
            "updates": state.num_updates,
            "graph_density": self._diagnosis.density,
            "graph_verdict": self._diagnosis.verdict,
            "stratified": self._stratified,
        }

    def _tilt(self, losses: Floats) -> Floats:
        """Weights from one loss for each domain, shape (D,)."""
        weights = np.zeros(len(self._domains))
        if self._stratified:
            weights[self._trained] = 1 / len(self._trained)
        else:
            scores = self._settings.eta * (self._graph @ losses)
            weights[self._trained] = softmax(scores[self._trained])
        return weights


def make_skill_it(settings: Mapping[str, Setting], task: MixingTask) -> SkillIt:
    """Return the Skill-It mixer.

    Raises:
        ValueError: A wrong setting, or settings that do not fit the run.
    """
    return SkillIt(parse_settings(SkillItSettings, "skill_it", settings), task)


def _read_graph(
    graph: Mapping[str, Mapping[str, float]], domains: tuple[str, ...]
) -> tuple[Floats, list[int], Diagnosis]:
    """The graph by domain, shape (D train, D eval), the domains to train on, and its diagnosis."""
    trained = tuple(name for name in domains if name in graph)
    named = {name for row in graph.values() for name in row}
    evaluated = tuple(name for name in domains if name in named)
    unknown = sorted((set(graph) | named) - set(domains))
    idle = [name for name in domains if name not in graph and name not in named]
    if unknown or idle:
        raise ValueError(
            f"mixer.settings.graph names {unknown}, which are no domains, and lacks {idle}; give "
            "every domain a row (to be trained on) or a column (to be evaluated only)"
        )
    if ragged := sorted(name for name, row in graph.items() if set(row) != named):
        raise ValueError(
            f"mixer.settings.graph: the rows {ragged} lack some of the columns {sorted(named)}; "
            "give 0 where there is no edge"
        )
    matrix = np.zeros((len(domains), len(domains)))
    for train in trained:
        for name in evaluated:
            matrix[domains.index(train), domains.index(name)] = graph[train][name]
    rows = [domains.index(name) for name in trained]
    edges = matrix[np.ix_(rows, [domains.index(name) for name in evaluated])] > 0
    diagnosis = diagnose(edges, np.zeros_like(edges), trained=trained, evaluated=evaluated)
    return matrix, rows, diagnosis


def _own(state: MixerState) -> SkillItState:
    if not isinstance(state, SkillItState):
        raise TypeError(f"expected a SkillItState, got {type(state).__name__}")
    return state
