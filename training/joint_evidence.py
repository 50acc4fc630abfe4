"""Evidence for a joint law: runs that its fit did not see, and what a blind law says of them.

Two kinds of runs are left out. Mixtures: all runs of a mixture leave together, at every scale. And
the largest scale: a law from the smaller sizes predicts the runs of the largest one, which is what
a joint law is for; with two sizes or one the longest runs take their place. Beside both stands the
law of a single domain, E + A / N^a + B / D^b, blind to the mixture and fitted on the same runs: a
joint law that does not beat it has learnt nothing of mixtures.
Shapes: K runs, D training domains, E evaluation domains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from training.arrays import Floats, Ints
from training.folds import assign_folds
from training.joint_laws import JointTable, Tick, fit_joint
from training.law_evidence import Interval, spearman
from training.law_gate import LawCriterion, LawVerdict
from training.mixing_laws.scaled_laws import fit_scaled_law

MIN_SPEARMAN = 0.7
LEVEL = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class JointScores:
    """Runs left out of the fit; of one evaluation domain, or of the mean over all."""

    num_runs: int
    """Behind the scores."""
    spearman: float | None
    """Rank correlation. None: one side is constant."""
    mae_nats: float
    """Mean absolute error."""
    scale_only_mae_nats: float
    """The same of the rule that does not know the mixture."""
    difference_nats: Interval
    """Error of the law minus that of the rule; below 0: the law is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointEvidence:
    """Scores on what was left out, by evaluation domain and as `average` of them."""

    num_folds: int
    """Folds over mixtures."""
    mixtures: Mapping[str, JointScores]
    """Mixtures left out."""
    scale: Mapping[str, JointScores]
    """The largest scale left out; empty: the smaller ones cannot carry a fit."""
    scale_held_out: str
    """Which that was, or why there is none."""

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)


def gather_joint_evidence(
    table: JointTable,
    *,
    method: str,
    num_folds: int | None = None,
    seed: int = 0,
    tick: Tick | None = None,
) -> tuple[JointEvidence, Floats]:
    """Predict every run by laws that saw no run of its mixture, and the largest scale.

    Args:
        table: The runs.
        method: Key of `FORMS`.
        num_folds: Folds over mixtures. None: 10, or one each where there are fewer.
        seed: Decides the folds.
        tick: Told of progress.

    Returns:
        The evidence, and the predictions with mixtures left out, shape (K, E).

    Raises:
        ValueError: As `fit_joint`, for the runs beside any fold.
    """
    runs = table.runs
    mixtures = assign_folds(runs.weights, num_folds=len(runs.run_ids), seed=seed)
    folds = assign_folds(
        runs.weights, num_folds=num_folds or min(10, len(np.unique(mixtures))), seed=seed
    )
    last = int(folds.max()) + 1
    predicted, rule = np.empty_like(runs.losses), np.empty_like(runs.losses)
    for fold in range(last):
        out = folds == fold
        predicted[out], rule[out] = _predict(table, out, method)
        if tick is not None:
            tick("held-out mixtures", fold + 1, last)
    largest, told = _largest_scale(table)
    scale: dict[str, JointScores] = {}
    try:
        by_law, by_rule = _predict(table, largest, method)
    except ValueError as error:
        told = f"none: without {told} {error}"
    else:
        scale = _scores(runs.eval_domains, runs.losses[largest], by_law, by_rule, mixtures[largest])
    evidence = JointEvidence(
        num_folds=last,
        mixtures=_scores(runs.eval_domains, runs.losses, predicted, rule, mixtures),
        scale=scale,
        scale_held_out=told,
    )
    return evidence, predicted


def _predict(
    table: JointTable, out: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], method: str
) -> tuple[Floats, Floats]:
    """What law and blind rule say of rows when fitted on the others, shape (rows, E) each."""
    rest, there = table.take(np.flatnonzero(~out)), table.take(np.flatnonzero(out))
    laws = fit_joint(rest, method=method)
    blind = [
        fit_scaled_law(np.ones((len(rest.params), 1)), rest.params, rest.tokens, losses)
        for losses in rest.runs.losses.T
    ]
    ones = np.ones((len(there.params), 1))
    rule = np.column_stack([law.predict(ones, there.params, there.tokens) for law in blind])
    return laws.predict(there.runs.weights, there.params, there.tokens), rule


def _largest_scale(
    table: JointTable,
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]], str]:
    """Rows of the largest size, or of the greatest length where two sizes are not enough."""
    if len(np.unique(table.params)) > 2:
        most = table.params.max()
        return table.params == most, f"runs of {most:.6g} parameters"
    most = table.tokens.max()
    return table.tokens == most, f"runs of {most:.6g} tokens"


def _scores(
    names: Sequence[str], observed: Floats, predicted: Floats, rule: Floats, mixtures: Ints
) -> dict[str, JointScores]:
    """By evaluation domain, then of the mean over them."""
    columns = {
        name: (observed[:, at], predicted[:, at], rule[:, at]) for at, name in enumerate(names)
    }
    means = (observed.mean(axis=1), predicted.mean(axis=1), rule.mean(axis=1))
    scored = {name: _score(*arrays, mixtures) for name, arrays in columns.items()}
    return {**scored, "average": _score(*means, mixtures)}


def _score(observed: Floats, predicted: Floats, rule: Floats, mixtures: Ints) -> JointScores:
    rank = float(spearman(predicted, observed)) if len(observed) > 1 else float("nan")
    error, trivial = np.abs(predicted - observed), np.abs(rule - observed)
    names = np.unique(mixtures)
    sums = np.array([(error - trivial)[mixtures == one].sum() for one in names])
    sizes = np.array([(mixtures == one).sum() for one in names])
    draws = np.random.default_rng(0).integers(len(names), size=(1000, len(names)))
    resampled = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return JointScores(
        num_runs=len(observed),
        spearman=rank if np.isfinite(rank) else None,
        mae_nats=float(error.mean()),
        scale_only_mae_nats=float(trivial.mean()),
        difference_nats=Interval(
            value=float((error - trivial).mean()), low=float(low), high=float(high)
        ),
    )


def judge_joint(evidence: JointEvidence) -> LawVerdict:
    """Judge the average loss: rank, and error beside the rule that is blind to the mixture."""
    rows: list[LawCriterion] = []
    for what, scores in (("mixtures", evidence.mixtures), ("largest scale", evidence.scale)):
        if not scores:
            continue
        one = scores["average"]
        detail = f"{what} left out, {one.num_runs} runs"
        rows += [
            LawCriterion(
                name=f"Spearman, {what} left out",
                observed=one.spearman,
                limit=MIN_SPEARMAN,
                rule="at least",
                passed=one.spearman is not None and one.spearman >= MIN_SPEARMAN,
                detail=detail,
            ),
            LawCriterion(
                name=f"error minus that of scale alone, {what} left out, upper bound (nats)",
                observed=one.difference_nats.high,
                limit=0.0,
                rule="below",
                passed=one.difference_nats.high < 0,
                detail=f"{detail}; estimate {one.difference_nats.value:.4g}",
            ),
        ]
    return LawVerdict(passed=all(row.passed for row in rows), rows=tuple(rows))
