"""The skill graph: which skill's data lowers the loss of which other skill, learnt from runs.

    linear        A[i, j] = (L_j before - L_j after training on i alone) / L_j before
    brute force   A[i, j] = (L_j after j alone - L_j after i and j, half and half) / L_j before
                  A[j, j] = (L_j before - L_j after training on j alone) / L_j before

All runs have the same number of steps, so in the second form i has to be worth more to j than the
half of j's own data that it replaces. The first needs K runs a seed, the second K (K + 1) / 2.
An edge has the mean over seeds as its weight, an interval, and a sign: positive or negative if it
differs from zero at a false discovery rate of 1 - level among all edges of the graph, else none.
`min_weight` asks for more: an effect below it counts as none, however certain.

Source: Chen et al. 2023, "Skill-it! A Data-Driven Skills Framework for Understanding and Training
Language Models", arXiv:2307.14430, algorithms 2 and 3; no code for them was released, and the
released graphs follow no common convention (zero diagonals, negative entries, absolute drops).
Deviations, and why:
- Weights are relative to the loss before training, which their update assumes; algorithm 2 leaves
  the scale of a brute-force edge open.
- Edges come from repeats over seeds. The paper keeps every difference above zero, which makes an
  edge of half of all noise.
- Negative effects are kept and shown; a mixer gets the graph with zeros in their place.

Axes: A[train, eval]: the transpose of the mixing matrix A[eval, train] of Aioli and DoGE.
Shapes: S seeds, K training skills, E evaluated skills.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats
from training.seed_intervals import MIN_SEEDS, seed_intervals, select_nonzero
from training.skill_diagnosis import Diagnosis, SkillTest, diagnose, judge_skills
from training.skill_runs import SkillRuns, UnusedRun, absent_alone, absent_pairs

Method = Literal["linear", "brute_force"]
Sign = Literal["positive", "negative", "none", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """What training on one skill does to another, or to itself."""

    train: str
    """Skill that was trained on."""
    evaluated: str
    """Skill whose loss was measured."""
    weight: float
    """A[train, eval], mean over seeds."""
    low: float | None
    """Lower end of the interval of the weight; None: too few seeds."""
    high: float | None
    """Upper end."""
    p_value: float | None
    """Of a weight of zero, two-sided; None: too few seeds."""
    sign: Sign
    """Against all edges of the graph; unknown: too few seeds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillGraph:
    """A graph with its evidence."""

    method: Method
    """How it was learnt."""
    trained: tuple[str, ...]
    """K names."""
    evaluated: tuple[str, ...]
    """E names."""
    seeds: tuple[int, ...]
    """Behind every edge."""
    steps: int
    """Of the runs."""
    level: float
    """Of the intervals; 1 - level is the false discovery rate of the signs."""
    min_weight: float
    """Smallest weight that is an edge."""
    edges: tuple[Edge, ...]
    """One for each training skill and evaluated skill, by rows."""
    diagnosis: Diagnosis
    """Whether an order can help."""
    skills: tuple[SkillTest, ...]
    """Which slices are skills; empty: there were no runs on random data."""
    used: tuple[str, ...]
    """Run ids behind it."""
    unused: tuple[UnusedRun, ...]
    """Runs of the table that are not behind it."""

    def matrix(self) -> Floats:
        """Weights, shape (K, E)."""
        weights = np.array([edge.weight for edge in self.edges])
        return weights.reshape(len(self.trained), len(self.evaluated))

    def signs(self) -> NDArray[np.str_]:
        """Signs, shape (K, E)."""
        signs = np.array([edge.sign for edge in self.edges])
        return signs.reshape(len(self.trained), len(self.evaluated))

    def positive_weights(self) -> dict[str, dict[str, float]]:
        """{training skill: {evaluated skill: weight}} with zero where an edge is not positive.

        This is the `graph` setting of the mixer skill_it; without significant edges it is empty,
        and the mixer then keeps to equal shares.
        """
        weights = np.where(self.signs() == "positive", self.matrix(), 0.0)
        return {
            train: dict(zip(self.evaluated, row.tolist(), strict=True))
            for train, row in zip(self.trained, weights, strict=True)
        }

    def to_json(self) -> dict[str, object]:
        """All fields, the weights keyed by name, and the mixer that a run file can take over."""
        content: dict[str, object] = json.loads(json.dumps(asdict(self), allow_nan=False))
        content["diagnosis"] = self.diagnosis.to_json()
        content["axes"] = ["train", "eval"]
        content["matrix"] = {
            train: dict(zip(self.evaluated, row, strict=True))
            for train, row in zip(self.trained, self.matrix().tolist(), strict=True)
        }
        content["mixer"] = {"method": "skill_it", "settings": {"graph": self.positive_weights()}}
        return content


def learn_skill_graph(
    runs: SkillRuns,
    *,
    method: Method | None = None,
    level: float = 0.95,
    min_weight: float = 0.0,
) -> SkillGraph:
    """Learn the graph from finished runs.

    Args:
        runs: From training.skill_runs.
        method: None: brute force if there is any run on two skills, else linear.
        level: Of the intervals, in (0, 1).
        min_weight: Smallest weight, relative to the loss before training, that is an edge; >= 0.

    Raises:
        ValueError: The design is not complete: a seed lacks a run that the method needs.
    """
    if not (math.isfinite(min_weight) and min_weight >= 0):
        raise ValueError(f"min_weight must be finite and not negative, got {min_weight}")
    method = method or ("brute_force" if runs.has_pairs else "linear")
    per_seed = _linear(runs) if method == "linear" else _brute_force(runs)
    found = seed_intervals(per_seed, level=level)
    signs = _signs(found.mean, found.p_value, runs, level=level, min_weight=min_weight)
    return SkillGraph(
        method=method,
        trained=runs.trained,
        evaluated=runs.evaluated,
        seeds=runs.seeds,
        steps=runs.steps,
        level=level,
        min_weight=min_weight,
        edges=tuple(
            Edge(
                train=train,
                evaluated=name,
                weight=float(found.mean[i, j]),
                low=_known(found.low[i, j]),
                high=_known(found.high[i, j]),
                p_value=_known(found.p_value[i, j]),
                sign=signs[i][j],
            )
            for i, train in enumerate(runs.trained)
            for j, name in enumerate(runs.evaluated)
        ),
        diagnosis=diagnose(
            np.array(signs) == "positive",
            np.array(signs) == "negative",
            trained=runs.trained,
            evaluated=runs.evaluated,
            num_seeds=len(runs.seeds),
        ),
        skills=judge_skills(runs, level=level),
        used=runs.used,
        unused=runs.unused,
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _linear(runs: SkillRuns) -> Floats:
    """Relative drop of each evaluated skill after each training skill, shape (S, K, E)."""
    if lacking := absent_alone(runs, runs.trained):
        raise ValueError(f"the linear graph needs every skill alone; {_list(lacking)}")
    drop: Floats = (runs.initial[:, None, :] - runs.alone) / runs.initial[:, None, :]
    return drop


def _brute_force(runs: SkillRuns) -> Floats:
    """Relative gain of each pair over the evaluated skill alone, shape (S, K, E)."""
    if foreign := [name for name in runs.evaluated if name not in runs.trained]:
        raise ValueError(
            f"brute force trains on every evaluated skill, but there is no share of {foreign}; "
            "use the linear method for skills that are only evaluated"
        )
    if lacking := absent_alone(runs, runs.evaluated) + absent_pairs(runs, runs.evaluated):
        raise ValueError(f"brute force needs every skill alone and every pair; {_list(lacking)}")
    own = [runs.trained.index(name) for name in runs.evaluated]
    columns = range(len(runs.evaluated))
    alone = runs.alone[:, own, columns]
    gain = (alone[:, None, :] - runs.pairs[:, :, own, columns]) / runs.initial[:, None, :]
    gain[:, own, columns] = (runs.initial - alone) / runs.initial
    return np.asarray(gain)


def _list(lacking: Sequence[str], shown: int = 4) -> str:
    more = f" and {len(lacking) - shown} more" if len(lacking) > shown else ""
    return f"missing: {', '.join(lacking[:shown])}{more}"


def _signs(
    weights: Floats, p_values: Floats, runs: SkillRuns, *, level: float, min_weight: float
) -> list[list[Sign]]:
    """Sign of each edge; self-edges are a family of their own."""
    if len(runs.seeds) < MIN_SEEDS:
        return [["unknown" for _ in runs.evaluated] for _ in runs.trained]
    itself = np.array([[train == name for name in runs.evaluated] for train in runs.trained])
    certain = np.zeros(weights.shape, dtype=bool)
    for family in (itself, ~itself):
        certain[family] = select_nonzero(p_values[family], level=level)
    certain &= np.abs(weights) >= min_weight

    def sign(weight: float, sure: bool) -> Sign:
        if not sure:
            return "none"
        return "positive" if weight > 0 else "negative"

    return [
        [sign(weight, sure) for weight, sure in zip(row, flags, strict=True)]
        for row, flags in zip(weights.tolist(), certain.tolist(), strict=True)
    ]
