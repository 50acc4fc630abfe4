"""Can an order of skills help at all? And is a slice of data a skill?

    density    positive edges between different skills / edges that could be
    empty      density < 0.05: no skill prepares another
    complete   density > 0.95: every skill prepares every other
    ordered    in between: an order can help, Skill-It has something to use

An empty or complete graph leaves nothing to order: train on all skills alike. With fewer than three
seeds no edge can be told from noise, and the answer is "insufficient".

A slice is a skill if training on it lowers the loss on its own held-out part more than as much
randomly drawn data does, paired over seeds.

Source: Chen et al. 2023, "Skill-it! A Data-Driven Skills Framework for Understanding and Training
Language Models", arXiv:2307.14430, definitions 2.1 and 2.2. They say "neither complete nor empty"
and report densities of 97 % (nearly complete), 43 % and 4 % (nearly empty); the two thresholds are
ours, so that a stray edge does not change the answer. For an empty graph their rule would weigh
each skill by its own loss; here both cases mean equal shares.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats
from training.seed_intervals import MIN_SEEDS, seed_intervals
from training.skill_runs import SkillRuns, absent_alone

EMPTY_BELOW = 0.05
COMPLETE_ABOVE = 0.95

Verdict = Literal["ordered", "empty", "complete", "insufficient"]

ADVICE: dict[Verdict, str] = {
    "ordered": "an order can help: some skills prepare others and some do not",
    "empty": "ordering cannot help: no skill prepares another; use stratified (uniform) weights",
    "complete": "ordering cannot help: every skill prepares every other; use stratified (uniform) "
    "weights",
    "insufficient": f"insufficient evidence: edges need at least {MIN_SEEDS} seeds, use stratified "
    "(uniform) weights until then",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What a graph can be used for."""

    verdict: Verdict
    """See the module."""
    density: float
    """Positive edges over possible ones, both without self-edges, in [0, 1]."""
    num_possible: int
    """Edges between different skills that could be."""
    num_positive: int
    """Of these, significantly above zero."""
    num_negative: int
    """Of these, significantly below zero: the skill hinders."""

    @property
    def advice(self) -> str:
        """What to do, in words."""
        return ADVICE[self.verdict]

    def to_json(self) -> dict[str, object]:
        """All fields and the advice."""
        return {**asdict(self), "advice": self.advice}


def diagnose(
    positive: NDArray[np.bool_],
    negative: NDArray[np.bool_],
    *,
    trained: tuple[str, ...],
    evaluated: tuple[str, ...],
    num_seeds: int | None = None,
) -> Diagnosis:
    """Count the edges and say whether an order can help.

    Args:
        positive: Edges above zero, shape (K train, E eval).
        negative: Edges below zero, the same shape.
        trained: K names.
        evaluated: E names; an edge from a skill to itself does not count.
        num_seeds: Seeds behind the edges; None: the edges are given, not measured.

    Raises:
        ValueError: The shapes differ, or no edge between different skills is possible.
    """
    shape = (len(trained), len(evaluated))
    if positive.shape != shape or negative.shape != shape:
        raise ValueError(f"edges must have shape {shape}, got {positive.shape}, {negative.shape}")
    other = np.array([[train != name for name in evaluated] for train in trained], dtype=bool)
    possible = int(other.sum())
    if not possible:
        raise ValueError(f"a graph needs two different skills, got {trained} and {evaluated}")
    num_positive = int((positive & other).sum())
    density = num_positive / possible
    return Diagnosis(
        verdict=_verdict(density, num_seeds),
        density=density,
        num_possible=possible,
        num_positive=num_positive,
        num_negative=int((negative & other).sum()),
    )


def _verdict(density: float, num_seeds: int | None) -> Verdict:
    if num_seeds is not None and num_seeds < MIN_SEEDS:
        return "insufficient"
    if density < EMPTY_BELOW:
        return "empty"
    return "complete" if density > COMPLETE_ABOVE else "ordered"


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillTest:
    """Whether a slice is a skill."""

    skill: str
    """Name of the slice."""
    gain_nats: float
    """Held-out loss on the slice after random data less that after the slice; mean over seeds."""
    low: float | None
    """Lower end of its interval; None: too few seeds."""
    high: float | None
    """Upper end."""
    is_skill: bool | None
    """Whether the interval lies above zero; None: too few seeds."""


def judge_skills(runs: SkillRuns, *, level: float = 0.95) -> tuple[SkillTest, ...]:
    """Test every slice that was trained on alone and evaluated; none without runs on random data.

    Args:
        runs: With runs on random data of the same length, for the same seeds.
        level: Of the intervals.

    Raises:
        ValueError: A seed lacks its run on random data, or one on a slice alone.
    """
    if not np.isfinite(runs.random).any():
        return ()
    names = [name for name in runs.trained if name in runs.evaluated]
    lacking = absent_alone(runs, names)
    for seed, losses in zip(runs.seeds, runs.random, strict=True):
        lacking += [] if np.isfinite(losses).all() else [f"random data (seed {seed})"]
    if lacking:
        raise ValueError(f"the test for skills is paired over seeds; runs are missing: {lacking}")
    return tuple(_judge_skill(runs, name, level=level) for name in names)


def _judge_skill(runs: SkillRuns, name: str, *, level: float) -> SkillTest:
    column = runs.evaluated.index(name)
    own = runs.alone[:, runs.trained.index(name), column]
    gains: Floats = runs.random[:, column] - own
    found = seed_intervals(gains, level=level)
    enough = len(runs.seeds) >= MIN_SEEDS
    return SkillTest(
        skill=name,
        gain_nats=float(found.mean),
        low=float(found.low) if enough else None,
        high=float(found.high) if enough else None,
        is_skill=bool(found.low > 0) if enough else None,
    )
