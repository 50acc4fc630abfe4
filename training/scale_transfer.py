"""Does what small runs say hold at a second, larger scale? Measured on mixtures trained at both.

    runs rank       Spearman between the losses at the two scales, with its bootstrap interval
    law ranks       the same between the law's predictions and the losses at the large scale
    level error     mean |law - actual| at the large scale, as the law stands
    recalibrated    the same for runs that did not help to correct it (see `recalibration`)

The mixtures are those of the swarm that lie farthest apart (greedy maximin in the Hellinger
distance, from the first one on), because runs that all rank alike test nothing. Their order is that
of the choice, so the curve "error after recalibration by the first k runs" says how many a larger
study would need.
Shapes: K mixtures at both scales, N runs of the swarm, D training domains, E evaluation domains.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats, Ints, require_simplex
from training.fitted_laws import FittedLaws
from training.law_gate import LawCriterion, LawVerdict
from training.rank_transfer import TransferReport, measure_rank_transfer
from training.recalibration import recalibrate
from training.run_table import RunTable


@config_dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class TransferGateConfig:
    """What a ranking at the small scale must show at the large one."""

    min_spearman: Annotated[float, Field(ge=-1, le=1)] = 0.7
    """Least rank correlation of the average loss between the scales."""
    min_lower_bound: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Least lower end of its interval: 0 asks that it be no accident."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelError:
    """How wrong the law's level is at the large scale; of one evaluation domain, or of the mean."""

    before_nats: float
    """Mean absolute error as the law stands."""
    after_nats: float
    """Mean absolute error on runs that the correction did not see."""
    offset_nats: float
    """Correction from all runs: constant part."""
    slope: float
    """Correction from all runs: factor of the prediction; 1: only the offset."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleTransfer:
    """What was found."""

    runs: TransferReport
    """Ranks of the runs at the small scale against those at the large one."""
    law: TransferReport
    """Ranks of the law's predictions against those of the runs at the large scale."""
    level: Mapping[str, LevelError]
    """By evaluation domain."""
    average_level: LevelError
    """On the mean over evaluation domains."""
    left_after: tuple[float, ...]
    """Mean absolute error, over domains, of the other runs after recalibration by the first 1, 2,
    ... K - 1 runs, nats."""
    predicted_nats: tuple[float, ...]
    """What the law says of the average loss of each large run, K numbers."""
    actual_nats: tuple[float, ...]
    """What it was."""

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)


def choose_spread_rows(weights: Floats, count: int) -> Ints:
    """Rows that lie far apart, shape (count,), in the order of the choice; the first row leads.

    Args:
        weights: Mixtures, shape (N, D), rows on the simplex.
        count: How many, from 1 to N.

    Raises:
        ValueError: An argument breaks one of the conditions above.
    """
    require_simplex(weights)
    if not 1 <= count <= len(weights):
        raise ValueError(f"choose 1 to {len(weights)} of {len(weights)} mixtures, got {count}")
    roots = np.sqrt(weights)
    chosen = [0]
    distance = np.linalg.norm(roots - roots[0], axis=1)
    while len(chosen) < count:
        distance[chosen] = -1.0  # a repeat of a chosen mixture is still another row
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(roots - roots[chosen[-1]], axis=1))
    return np.array(chosen, dtype=np.int64)


def measure_scale_transfer(
    laws: FittedLaws, small: RunTable, large: RunTable, *, realised: Floats
) -> ScaleTransfer:
    """Compare two scales.

    Args:
        laws: Fitted at the small scale.
        small: Runs there; their weights are the *requested* shares, by which mixtures are joined.
        large: Runs at the large scale, likewise; in the order in which they are to recalibrate.
        realised: Shares that the large runs really drew, shape (K, D), columns as in `large`.

    Raises:
        ValueError: Domains differ, fewer than four mixtures are in both tables, or `realised` has
            another shape.
    """
    if realised.shape != large.weights.shape:
        raise ValueError(
            f"realised shares must have shape {large.weights.shape}, got {realised.shape}"
        )
    runs = measure_rank_transfer(small, large)
    predicted = laws.predict(realised[:, [large.domains.index(name) for name in laws.domains]])
    own = [large.eval_domains.index(name) for name in laws.eval_domains]
    actual = large.losses[:, own]
    as_table = replace(large, losses=predicted, eval_domains=laws.eval_domains)
    return ScaleTransfer(
        runs=runs,
        law=measure_rank_transfer(as_table, large),
        level={
            name: _level(predicted[:, column], actual[:, column])
            for column, name in enumerate(laws.eval_domains)
        },
        average_level=_level(predicted.mean(axis=1), actual.mean(axis=1)),
        left_after=tuple(_left(predicted, actual, seen) for seen in range(1, len(large.run_ids))),
        predicted_nats=tuple(predicted.mean(axis=1).tolist()),
        actual_nats=tuple(actual.mean(axis=1).tolist()),
    )


def _level(predicted: Floats, actual: Floats) -> LevelError:
    correction = recalibrate(predicted, actual)
    assert correction.left_out_error_nats is not None  # there are four runs at least
    return LevelError(
        before_nats=float(np.abs(predicted - actual).mean()),
        after_nats=correction.left_out_error_nats,
        offset_nats=correction.offset_nats,
        slope=correction.slope,
    )


def _left(predicted: Floats, actual: Floats, seen: int) -> float:
    """Mean absolute error of the runs after the first `seen` ones, over domains."""
    errors = [
        np.abs(recalibrate(one[:seen], other[:seen]).apply(one[seen:]) - other[seen:]).mean()
        for one, other in zip(predicted.T, actual.T, strict=True)
    ]
    return float(np.mean(errors))


def judge_transfer(found: ScaleTransfer, config: TransferGateConfig | None = None) -> LawVerdict:
    """Say whether the ranking of the average loss carries over.

    Args:
        found: What was measured.
        config: None: the default thresholds.
    """
    config = config or TransferGateConfig()
    rank = found.runs.average.rank
    value, low = (None, None) if rank is None else (rank.value, rank.low)
    rows = (
        ("rank between the scales", value, config.min_spearman),
        ("lower end of its interval", low, config.min_lower_bound),
    )
    criteria = tuple(
        LawCriterion(
            name=name,
            observed=observed,
            limit=limit,
            rule="at least",
            passed=observed is not None and observed >= limit,
            detail=f"{found.runs.num_mixtures} mixtures at both scales",
        )
        for name, observed, limit in rows
    )
    return LawVerdict(passed=all(row.passed for row in criteria), rows=criteria)
