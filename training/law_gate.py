"""The gate of a mixing law: is the evidence good enough to let it choose a mixture?

Judged on the average objective, because that is what a proposal minimises:

    admitted runs          enough for the parameters
    held-out rank          Spearman of the predictions
    error against trivial  upper bound of MAE(law) - MAE(best baseline) below 0
    rank against trivial   the law does not rank worse than the best baseline beyond the interval
    regret                 loss of the law's pick above the best run, as a share of the spread
    inside the swarm       the proposal lies in the convex hull of the runs, and near one of them

Level is not judged: proxies rank larger runs far better than they price them. Two ways to fail
that look alike in rank are told apart by the error against trivial predictors: noise (nothing
predicts) and a loss that a single share explains (the law adds nothing).

The error of the law is compared with the *best* of the trivial predictors. The comparison of rank
is one-sided on purpose: where a trivial rule ranks almost perfectly no law can rank better beyond
an interval, yet only a law with curvature knows where to stop.
Shapes: N runs, D domains.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats, require_simplex
from training.law_evidence import LawEvidence
from training.run_region import hull_distance


@config_dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class LawGateConfig:
    """Thresholds."""

    min_runs_per_parameter: Annotated[float, Field(gt=1)] = 2.0
    """Admitted runs over D + 1. A swarm is designed for 3, so a third of it may be lost."""
    min_spearman: Annotated[float, Field(ge=-1, le=1)] = 0.7
    """Least held-out rank correlation on the average objective."""
    max_error_difference_nats: Annotated[float, Field(le=0)] = 0.0
    """The upper bound of MAE(law) - MAE(best baseline) must lie below this."""
    max_regret_share: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Most regret of the law's pick, as a share of the observed spread."""
    max_hull_distance: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Most total variation distance of a proposal from the convex hull of the runs. On generated
    swarms (24 runs, 7 domains) the error of the predicted average was 1.3 times that inside the
    hull up to 0.05, 1.7 times up to 0.1, 5 times beyond 0.2, although the law was of the true
    form; on real losses expect worse."""
    max_nearest_distance: Annotated[float, Field(gt=0, le=1)] | None = None
    """Most total variation distance of a proposal from the nearest run. None: the distance of the
    loneliest run from its nearest neighbour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LawCriterion:
    """One row of the verdict."""

    name: str
    """What was judged."""
    observed: float | None
    """What was seen. None: it does not exist, which fails."""
    limit: float
    """What it is held against."""
    rule: Literal["at least", "at most", "below"]
    """How."""
    passed: bool
    """Whether it holds."""
    detail: str
    """The baseline or the runs behind the number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LawVerdict:
    """Stored beside the law."""

    passed: bool
    """Whether every row passed."""
    rows: tuple[LawCriterion, ...]
    """The criteria."""

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)


def judge_law(
    evidence: LawEvidence,
    config: LawGateConfig | None = None,
    *,
    proposal: Mapping[str, float] | None = None,
) -> LawVerdict:
    """Judge a law and, where there is one, the mixture proposed with it.

    Args:
        evidence: Held-out scores.
        config: None: the defaults.
        proposal: Share of every training domain. None: the law alone is judged.

    Raises:
        ValueError: The proposal names other domains than the runs, or is no mixture.
    """
    config = config or LawGateConfig()
    average = evidence.average
    num_runs, num_domains = evidence.table.weights.shape
    error, rank = average.error_difference, average.rank_difference
    regret = average.law.regret_nats
    rows = [
        _row(
            "admitted runs",
            float(num_runs),
            "at least",
            limit=config.min_runs_per_parameter * (num_domains + 1),
            detail=f"{num_domains} domains, {num_domains + 1} parameters",
        ),
        _row(
            "held-out Spearman",
            average.law.spearman,
            "at least",
            limit=config.min_spearman,
            detail=f"{evidence.num_folds} folds",
        ),
        _row(
            "error minus best trivial predictor, upper bound (nats)",
            error.high,
            "below",
            limit=config.max_error_difference_nats,
            detail=f"{average.best_by_error}; estimate {error.value:.4g}",
        ),
        _row(
            "Spearman minus best trivial predictor, upper bound",
            None if rank is None else rank.high,
            "at least",
            limit=0.0,
            detail=average.best_by_rank,
        ),
        _row(
            "regret over spread",
            None if regret is None else regret / average.spread_nats,
            "at most",
            limit=config.max_regret_share,
            detail=f"spread {average.spread_nats:.4g} nats",
        ),
    ]
    if proposal is not None:
        rows += _region_rows(evidence, config, proposal)
    return LawVerdict(passed=all(row.passed for row in rows), rows=tuple(rows))


def nearest_distances(weights: Floats) -> Floats:
    """Total variation distance of each run from its nearest other mixture, shape (N,).

    Repeats of a mixture (other seeds) are not its neighbours.

    Args:
        weights: Runs, shape (N, D), at least two different mixtures.
    """
    distance = np.abs(weights[:, None] - weights[None]).sum(axis=2) / 2
    distance[distance < 1e-9] = np.inf
    nearest: Floats = distance.min(axis=1)
    return nearest


def _region_rows(
    evidence: LawEvidence, config: LawGateConfig, proposal: Mapping[str, float]
) -> list[LawCriterion]:
    table = evidence.table
    if set(proposal) != set(table.domains):
        raise ValueError(
            f"proposal names {sorted(proposal)}, the runs have {sorted(table.domains)}"
        )
    mixture = np.array([proposal[domain] for domain in table.domains], dtype=np.float64)
    require_simplex(mixture, name="proposal")
    distance = np.abs(table.weights - mixture).sum(axis=1) / 2
    limit = config.max_nearest_distance
    if limit is None:
        limit = float(nearest_distances(table.weights).max())
    return [
        _row(
            "distance of the proposal from the hull of the runs",
            hull_distance(table.weights, mixture),
            "at most",
            limit=config.max_hull_distance,
            detail="total variation",
        ),
        _row(
            "distance of the proposal from the nearest run",
            float(distance.min()),
            "at most",
            limit=limit,
            detail=table.run_ids[int(distance.argmin())],
        ),
    ]


def _row(
    name: str,
    observed: float | None,
    rule: Literal["at least", "at most", "below"],
    *,
    limit: float,
    detail: str,
) -> LawCriterion:
    passed = (
        observed is not None
        and {
            "at least": observed >= limit,
            "at most": observed <= limit,
            "below": observed < limit,
        }[rule]
    )
    return LawCriterion(
        name=name, observed=observed, limit=limit, rule=rule, passed=passed, detail=detail
    )
