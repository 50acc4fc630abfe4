"""Evidence for a mixing law: held-out scores beside those of trivial predictors.

Every run is predicted by a law that did not see it: folds leave out one mixture at a time, or a
tenth of them when there are many. Runs of one mixture (other seeds) always leave together, or the
law would be asked about what it was told. Scores, for each evaluation domain and for the average
objective (mean over evaluation domains of the predictions, never a fit to the mean):

    Spearman   rank correlation of held-out predictions with losses; None for a constant predictor
    MAE        mean absolute error, nats
    regret     loss of the run that the predictor would pick minus the best observed loss, nats

The law is compared with the best baseline by a paired bootstrap over runs of the held-out
predictions: difference in MAE (negative: the law is better) and in Spearman (positive: better).
The baseline is chosen after seeing the scores, which favours it. The predictions are not refitted
inside this bootstrap. Leaving one out ranks a useless predictor below zero (the mean of the
others falls when the left-out loss is high): a cautious bias.
Shapes: N runs, E evaluation domains, B resamples.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as config_dataclass
from scipy.stats import rankdata

from training.arrays import Floats, Ints
from training.fitted_laws import Tick, law_family, predict_left_out
from training.folds import assign_folds
from training.run_table import RunTable
from training.trivial_baselines import BASELINES, Fold


@config_dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class EvidenceConfig:
    """How the evidence is gathered."""

    num_folds: Annotated[int, Field(ge=2)] | None = None
    """Folds over mixtures. None: one per mixture up to 64 mixtures, 10 beyond."""
    num_resamples: Annotated[int, Field(ge=100)] = 1000
    """Draws of the paired bootstrap, B."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the resamples inside an interval."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides folds and draws."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate and the bounds around it."""

    value: float
    """The estimate."""
    low: float
    """Lower bound."""
    high: float
    """Upper bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Held-out scores of one predictor on one target."""

    spearman: float | None
    """Rank correlation, -1 to 1. None: the predictor, or the loss, is constant."""
    mae_nats: float
    """Mean absolute error."""
    regret_nats: float | None
    """Loss of the predictor's pick above the best, >= 0. None: a constant predictor picks none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetEvidence:
    """The law and the baselines on one evaluation domain, or on their average."""

    law: Scores
    """Of the law."""
    baselines: Mapping[str, Scores]
    """Of each trivial predictor that applies to this target."""
    best_by_error: str
    """Baseline with the smallest MAE."""
    error_difference: Interval
    """MAE of the law minus that of `best_by_error`, nats."""
    best_by_rank: str
    """Baseline with the highest Spearman."""
    rank_difference: Interval | None
    """Spearman of the law minus that of `best_by_rank`. None: the law predicts a constant."""
    spread_nats: float
    """Largest minus smallest observed loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LawEvidence:
    """All that a gate and a reader need."""

    method: str
    """Key of `LAWS`."""
    num_folds: int
    """Folds that were used."""
    level: float
    """Of the intervals."""
    table: RunTable
    """The runs judged on."""
    predicted: Floats
    """Held-out predictions of the law, shape (N, E), nats per token."""
    per_domain: Mapping[str, TargetEvidence]
    """By evaluation domain."""
    average: TargetEvidence
    """On the mean over evaluation domains."""

    def to_json(self) -> dict[str, object]:
        """Content of evidence.json."""
        return {
            "method": self.method,
            "num_runs": len(self.table.run_ids),
            "num_folds": self.num_folds,
            "level": self.level,
            "average": asdict(self.average),
            "per_domain": {name: asdict(target) for name, target in self.per_domain.items()},
        }

    def predictions(self) -> pl.DataFrame:
        """Content of predictions.parquet: run_id, eval_domain, observed, predicted (held out)."""
        names = self.table.eval_domains
        return pl.DataFrame(
            {
                "run_id": np.repeat(self.table.run_ids, len(names)).tolist(),
                "eval_domain": list(names) * len(self.table.run_ids),
                "observed_nats": self.table.losses.ravel(),
                "predicted_nats": self.predicted.ravel(),
            }
        )


def gather_evidence(
    table: RunTable,
    *,
    method: str = "log_linear",
    config: EvidenceConfig | None = None,
    importance: Floats | None = None,
    tick: Tick | None = None,
) -> LawEvidence:
    """Predict every run without it and score the law beside the baselines.

    Args:
        table: Admitted runs; each fold must leave more runs than the method's minimum needs.
        method: Key of `LAWS`.
        config: None: the defaults.
        importance: How much each run counts in the fits, shape (N,), > 0. None: alike. The scores
            count all runs alike.
        tick: Told of progress, fold by fold.

    Raises:
        ValueError: The method is unknown, a fold leaves too few runs for it, or a domain has the
            same loss in every run.
    """
    config = config or EvidenceConfig()
    folds = assign_folds(table.weights, num_folds=config.num_folds, seed=config.seed)
    num_folds = int(folds.max()) + 1
    fewest = len(folds) - int(np.bincount(folds).max())
    needed = law_family(method).min_runs(len(table.domains))
    if num_folds < 2 or fewest < needed:
        raise ValueError(
            f"held-out evidence for {method} over {len(table.domains)} domains needs {needed} runs "
            f"beside each of at least two folds, got {fewest} beside the largest of {num_folds}: "
            "admit more runs"
        )
    predicted = predict_left_out(table, folds, method=method, importance=importance, tick=tick)
    return judge_predictions(table, predicted, folds=folds, method=method, config=config)


def judge_predictions(
    table: RunTable,
    predicted: Floats,
    *,
    folds: Ints,
    method: str,
    config: EvidenceConfig | None = None,
) -> LawEvidence:
    """Score held-out predictions beside the baselines, which see the same folds.

    Args:
        table: The runs.
        predicted: Predictions by laws that did not see a run, shape (N, E), nats per token.
        folds: Fold of each run, shape (N,).
        method: What predicted.
        config: None: the defaults.

    Raises:
        ValueError: A domain has the same loss in every run.
    """
    config = config or EvidenceConfig()
    baselines = _baseline_predictions(table, folds)
    draws = np.random.default_rng(config.seed).integers(
        len(folds), size=(config.num_resamples, len(folds))
    )
    per_domain = {}
    for target, name in enumerate(table.eval_domains):
        rivals = {key: values[:, target] for key, values in baselines.items()}
        ranks = dict(rivals)
        if name in table.domains:
            ranks["own_share"] = -table.weights[:, table.domains.index(name)]
        observed = table.losses[:, target]
        if np.ptp(observed) == 0:
            raise ValueError(f"held-out loss of {name} is {observed[0]} in every run: no evidence")
        per_domain[name] = _judge(
            observed, predicted[:, target], rivals=rivals, ranks=ranks, draws=draws, config=config
        )
    rivals = {key: values.mean(axis=1) for key, values in baselines.items()}
    average = _judge(
        table.losses.mean(axis=1),
        predicted.mean(axis=1),
        rivals=rivals,
        ranks=rivals,
        draws=draws,
        config=config,
    )
    return LawEvidence(
        method=method,
        num_folds=int(folds.max()) + 1,
        level=config.level,
        table=table,
        predicted=predicted,
        per_domain=per_domain,
        average=average,
    )


def spearman(first: Floats, second: Floats) -> Floats:
    """Rank correlation along the last axis; NaN where one side is constant."""
    ranks = [rankdata(values, axis=-1) for values in (first, second)]
    a, b = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    product = (a * b).sum(axis=-1)
    correlation: Floats = np.where(scale > 0, product / np.where(scale > 0, scale, 1.0), np.nan)
    return correlation


def _baseline_predictions(table: RunTable, folds: Ints) -> dict[str, Floats]:
    own = tuple(
        table.domains.index(name) if name in table.domains else None for name in table.eval_domains
    )
    predicted = {name: np.empty_like(table.losses) for name in BASELINES}
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        seen = Fold(
            weights=table.weights[~out],
            losses=table.losses[~out],
            heldout_weights=table.weights[out],
            own_columns=own,
        )
        for name, predict in BASELINES.items():
            predicted[name][out] = predict(seen)
    return predicted


def _judge(
    observed: Floats,
    law: Floats,
    *,
    rivals: Mapping[str, Floats],
    ranks: Mapping[str, Floats],
    draws: Ints,
    config: EvidenceConfig,
) -> TargetEvidence:
    """Score one target; a baseline with NaN does not apply to it."""
    scores = {
        name: _score(observed, values, ranks[name], constant=name == "mean")
        for name, values in rivals.items()
        if np.isfinite(values).all()
    }
    by_error = min(scores, key=lambda name: scores[name].mae_nats)
    ranked = {name: each.spearman for name, each in scores.items() if each.spearman is not None}
    by_rank = max(ranked, key=lambda name: ranked[name])
    gap = np.abs(law - observed) - np.abs(rivals[by_error] - observed)
    own = _score(observed, law, law, constant=False)
    rank_difference = None
    if own.spearman is not None:
        gaps = spearman(law[draws], observed[draws])
        gaps -= spearman(ranks[by_rank][draws], observed[draws])
        rank_difference = _interval(own.spearman - ranked[by_rank], gaps, config.level)
    return TargetEvidence(
        law=own,
        baselines=scores,
        best_by_error=by_error,
        error_difference=_interval(float(gap.mean()), gap[draws].mean(axis=1), config.level),
        best_by_rank=by_rank,
        rank_difference=rank_difference,
        spread_nats=float(np.ptp(observed)),
    )


def _score(observed: Floats, level: Floats, rank: Floats, *, constant: bool) -> Scores:
    """Score a predictor by its level and its rank.

    Left-out means differ from fold to fold, so "constant" is said by the caller, not seen.
    """
    correlation = float(spearman(rank, observed))
    known = not constant and bool(np.isfinite(correlation))
    pick = float(observed[rank.argmin()] - observed.min())
    return Scores(
        spearman=correlation if known else None,
        mae_nats=float(np.abs(level - observed).mean()),
        regret_nats=None if constant else pick,
    )


def _interval(value: float, resampled: Floats, level: float) -> Interval:
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high))
