"""How sure a scaling law is: bootstrap intervals, and what a few runs change.

Intervals are quantiles of refits on runs drawn with replacement. They hold the uncertainty of the
parameters for runs like these, not that the law holds beyond their largest budget.

Five of 245 published runs move the exponent of the tokens from .37 to .45 and the recommended
tokens per parameter by a factor of 2.6, so the fit is repeated without

    the k runs with the highest losses,  the k runs that the law fits worst,
    and each run alone: the one that moves the recommendation most is named

with k = 2 % of the runs, rounded up. Refits that start from and compare with themselves would show
no sensitivity at all; these leave runs out. Shapes: N runs, R refits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats
from training.law_evidence import Interval
from training.scaling_laws.chinchilla import PARAMETERS, ChinchillaLaw
from training.scaling_laws.chinchilla_fit import (
    ChinchillaFit,
    ScalingFitError,
    chinchilla_objective,
    fit_chinchilla,
    refit_chinchilla,
)
from training.scaling_runs import ScalingRuns

OUTLIER_SHARE = 0.02
MAX_FAILED_SHARE = 0.02
CHUNK = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Omission:
    """A law fitted without some runs."""

    rule: str
    """Which runs were left out."""
    run_ids: tuple[str, ...]
    """Their names."""
    law: ChinchillaLaw
    """What the others give."""
    objective: float
    """Its objective on the runs that are left."""
    tokens_per_param: float
    """Its recommendation at the reference budget."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingEvidence:
    """A fitted law and what surrounds it."""

    fit: ChinchillaFit
    """On all runs."""
    refits: tuple[ChinchillaLaw, ...]
    """Bootstrap refits that converged."""
    num_failed: int
    """Bootstrap refits that did not: their resample determines no law."""
    reference_flops: float
    """Budget of the recommendation: ten times the largest run."""
    omissions: tuple[Omission, ...]
    """Sensitivity."""
    level: float
    """Share of the refits inside an interval."""

    def parameters(self) -> dict[str, Interval]:
        """A, B, E, alpha, beta and a, the exponent of the optimal size, with intervals."""
        names = (*PARAMETERS, "params_exponent")
        return {
            name: refit_interval(
                getattr(self.fit.law, name),
                [getattr(law, name) for law in self.refits],
                level=self.level,
            )
            for name in names
        }

    def tokens_per_param(self) -> Interval:
        """Recommended D / N at the reference budget."""
        return refit_interval(
            _tokens_per_param(self.fit.law, self.reference_flops),
            [_tokens_per_param(law, self.reference_flops) for law in self.refits],
            level=self.level,
        )


def refit_interval(value: float, samples: Sequence[float], *, level: float) -> Interval:
    """An estimate with the quantiles of its refits.

    Raises:
        ValueError: There are no samples, or the level is not in (0, 1).
    """
    if not len(samples) or not 0 < level < 1:
        raise ValueError(f"an interval needs samples and a level in (0, 1), got {level}")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high))


def gather_scaling_evidence(
    runs: ScalingRuns, *, num_refits: int = 4000, level: float = 0.9, seed: int = 0
) -> ScalingEvidence:
    """Fit, bootstrap, and leave runs out.

    Args:
        runs: At least nine: sensitivity leaves up to three out.
        num_refits: R, >= 100.
        level: Share of the refits inside an interval, in (0, 1).
        seed: Decides the draws.

    Raises:
        ScalingFitError: As `fit_chinchilla`, or more than 2 % of the refits determine no law.
        ValueError: `num_refits` is too small, or the level out of range.
    """
    if num_refits < 100 or not 0 < level < 1:
        raise ValueError(
            f"num_refits must be at least 100 and the level in (0, 1), got {num_refits} and {level}"
        )
    fit = fit_chinchilla(runs)
    rng = np.random.default_rng(seed)
    num_runs = len(runs.losses)
    laws: list[ChinchillaLaw | None] = []
    for start in range(0, num_refits, CHUNK):
        size = min(CHUNK, num_refits - start)
        drawn = rng.multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=size)
        laws += refit_chinchilla(runs, drawn.astype(np.float64), start=fit.law)
    refits = tuple(law for law in laws if law is not None)
    failed = num_refits - len(refits)
    if failed > MAX_FAILED_SHARE * num_refits:
        raise ScalingFitError(
            f"{failed} of {num_refits} resamples determine no law: {num_runs} runs are too few, or "
            "sizes and lengths vary too little; add runs"
        )
    reference = 10 * float(runs.flops.max())
    return ScalingEvidence(
        fit=fit,
        refits=refits,
        num_failed=failed,
        reference_flops=reference,
        omissions=tuple(_omissions(runs, fit, reference)),
        level=level,
    )


def _tokens_per_param(law: ChinchillaLaw, flops: float) -> float:
    best = law.optimal_allocation(flops)
    return best.tokens / best.params


def _omissions(runs: ScalingRuns, fit: ChinchillaFit, flops: float) -> list[Omission]:
    size = np.abs(np.log(fit.law.predict(runs.params, runs.tokens) / runs.losses))
    count = math.ceil(OUTLIER_SHARE * len(runs.losses))
    rules = {
        f"the {count} highest losses": np.argsort(-runs.losses, kind="stable")[:count],
        f"the {count} worst fitted": np.argsort(-size, kind="stable")[:count],
    }
    influential = _most_influential(runs, fit, flops)
    if influential is not None:
        rules["the most influential run"] = np.array([influential])
    found = []
    for rule, rows in rules.items():
        kept = np.ones(len(runs.losses))
        kept[rows] = 0
        rest = runs.take(kept > 0)
        law = fit_chinchilla(rest).law
        found.append(
            Omission(
                rule=rule,
                run_ids=tuple(runs.run_ids[row] for row in rows),
                law=law,
                objective=chinchilla_objective(law, rest),
                tokens_per_param=_tokens_per_param(law, flops),
            )
        )
    return found


def _most_influential(runs: ScalingRuns, fit: ChinchillaFit, flops: float) -> int | None:
    """Row whose omission changes log(D / N) most; None where no omission determines a law."""
    counts: Floats = 1 - np.eye(len(runs.losses))
    base = math.log(_tokens_per_param(fit.law, flops))
    laws = refit_chinchilla(runs, counts, start=fit.law)
    moves = [
        -1.0 if law is None else abs(math.log(_tokens_per_param(law, flops)) - base) for law in laws
    ]
    best = int(np.argmax(moves))
    return best if moves[best] >= 0 else None
