"""A law for each evaluation domain, fitted on one run table, with the names that belong to it.

Each domain is fitted by itself; averages are taken over predictions, because a law fitted to an
average of unlike losses predicts worse (Olmix, arXiv:2602.12237). Names travel with the numbers:
columns are found by domain name, never by position.
Shapes: N mixtures, D training domains, E evaluation domains, R refits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats, Ints
from training.mixing_laws import LAWS
from training.mixing_laws.interface import ConvexLaw, Law, LawFamily, Runs
from training.run_table import RunTable

SLICE = "joint_slice"
"""Method of laws that are a joint law at one scale (`joint_laws`): convex, fitted there."""
BLOCK_REFITS = 20
"""Refits of a small law that are solved as one stack; large laws are refitted one by one."""

HINT = 0.1
"""How often a run that was not drawn counts where a draw is too small for a fit."""

Tick = Callable[[int], None]
"""Called with the number of refits that were just done."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    method: str
    domains: list[str]
    eval_domains: list[str]
    laws: dict[str, dict[str, object]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedLaws:
    """Laws of all evaluation domains."""

    method: str
    """Key of `LAWS`, or `SLICE`."""
    domains: tuple[str, ...]
    """D training domains: order of the weights."""
    eval_domains: tuple[str, ...]
    """E evaluation domains: order of `laws`."""
    laws: tuple[Law, ...]
    """One law per evaluation domain."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N, E), nats per token."""
        return np.column_stack([law.predict(weights) for law in self.laws])

    @property
    def is_convex(self) -> bool:
        """Whether a minimum on the simplex can be proven to be global."""
        return self.method == SLICE or law_family(self.method).convex

    def convex_laws(self) -> tuple[ConvexLaw, ...]:
        """The laws with their derivatives, for a minimiser.

        Raises:
            ValueError: The family is not convex: a minimiser could stop at a local optimum.
        """
        convex = tuple(law for law in self.laws if isinstance(law, ConvexLaw))
        if not self.is_convex or len(convex) < len(self.laws):
            names = sorted(name for name, family in LAWS.items() if family.convex)
            raise ValueError(
                f"{self.method} is not convex in the weights, so no optimum can be proven: "
                f"choose one of {names}"
            )
        return convex

    def to_json(self) -> dict[str, object]:
        """Content of law.json."""
        laws = zip(self.eval_domains, self.laws, strict=True)
        return {
            "method": self.method,
            "domains": list(self.domains),
            "eval_domains": list(self.eval_domains),
            "laws": {name: law.to_json(self.domains) for name, law in laws},
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> "FittedLaws":
        """Read what `to_json` wrote.

        Raises:
            ValueError: A field is missing or unknown, the method is no key of `LAWS`, or the laws
                are not those of `eval_domains`.
        """
        record = _Record.model_validate(fields)
        family = law_family(record.method)
        if set(record.laws) != set(record.eval_domains):
            raise ValueError(f"laws of {sorted(record.laws)}, wanted {sorted(record.eval_domains)}")
        return cls(
            method=record.method,
            domains=tuple(record.domains),
            eval_domains=tuple(record.eval_domains),
            laws=tuple(
                family.from_json(record.laws[name], record.domains) for name in record.eval_domains
            ),
        )


def law_family(method: str) -> LawFamily:
    """Look a method up.

    Raises:
        ValueError: There is no such method.
    """
    if method not in LAWS:
        raise ValueError(f"unknown mixing law {method!r}: choose one of {sorted(LAWS)}")
    return LAWS[method]


def fit_laws(
    table: RunTable, *, method: str = "log_linear", importance: Floats | None = None
) -> FittedLaws:
    """Fit every evaluation domain on all runs of the table.

    Args:
        table: Admitted runs.
        method: Key of `LAWS`.
        importance: How much each run counts beside the others, shape (N,), > 0. None: alike.

    Raises:
        ValueError: The method is unknown, or the family refuses the runs (too few, bad losses).
    """
    counts = np.ones((1, len(table.run_ids)))
    return refit_laws(table, counts, method=method, importance=importance)[0]


def refit_laws(
    table: RunTable,
    counts: Floats,
    *,
    method: str = "log_linear",
    importance: Floats | None = None,
    tick: Tick | None = None,
) -> tuple[FittedLaws, ...]:
    """Fit every evaluation domain once per row of counts.

    Args:
        table: Admitted runs.
        counts: How often each run counts in each refit, shape (R, N), >= 0.
        method: Key of `LAWS`.
        importance: How much each run counts beside the others, shape (N,), > 0. None: alike.
        tick: Told of progress.

    Raises:
        ValueError: As `fit_laws`, for any row of counts.
    """
    family = law_family(method)
    if importance is not None:
        counts = counts * importance
    own = {name: column for column, name in enumerate(table.domains)}
    runs = Runs(
        weights=table.weights,
        losses=table.losses,
        own_columns=tuple(own.get(name) for name in table.eval_domains),
    )
    block = BLOCK_REFITS if family.intervals == "bootstrap" else 1
    fitted: list[FittedLaws] = []
    for start in range(0, len(counts), block):
        stack = family.refit(runs, counts[start : start + block])
        fitted += [
            FittedLaws(
                method=method,
                domains=table.domains,
                eval_domains=table.eval_domains,
                laws=tuple(laws),
            )
            for laws in stack
        ]
        if tick is not None:
            tick(len(stack))
    return tuple(fitted)


def predict_left_out(
    table: RunTable,
    folds: Ints,
    *,
    method: str = "log_linear",
    importance: Floats | None = None,
    tick: Tick | None = None,
) -> Floats:
    """Predict every run by laws that did not see its fold, shape (N, E), nats per token.

    Args:
        table: Admitted runs.
        folds: Fold of each run, shape (N,), from 0 without a gap.
        method: Key of `LAWS`.
        importance: How much each run counts beside the others, shape (N,), > 0. None: alike.
        tick: Told of progress.

    Raises:
        ValueError: As `fit_laws`, for the runs beside any fold.
    """
    counts = (folds[None] != np.arange(folds.max() + 1)[:, None]).astype(np.float64)
    predicted = np.empty_like(table.losses)
    refits = refit_laws(table, counts, method=method, importance=importance, tick=tick)
    for fold, laws in enumerate(refits):
        predicted[folds == fold] = laws.predict(table.weights[folds == fold])
    return predicted


def bootstrap_laws(
    table: RunTable,
    *,
    method: str = "log_linear",
    num_refits: int = 200,
    seed: int = 0,
    importance: Floats | None = None,
    tick: Tick | None = None,
) -> tuple[FittedLaws, ...]:
    """Refit on runs drawn with replacement, the same draw for every evaluation domain.

    In a draw with fewer different runs than a fit needs, the others count `HINT` times. (Drawing
    again instead makes draws more alike than chance does: with nine runs over three domains they
    lost a sixth to a half of their variance, and intervals of 90 % held 74 to 88 %.)

    Args:
        table: Admitted runs.
        method: Key of `LAWS`.
        num_refits: R, >= 1.
        seed: Decides the draws.
        importance: How much each run counts beside the others, shape (N,), > 0. None: alike.
        tick: Told of progress.

    Raises:
        ValueError: `num_refits` is below 1, or the table has too few runs for the method.
    """
    num_runs = len(table.run_ids)
    fewest = law_family(method).min_runs(len(table.domains))
    if num_refits < 1:
        raise ValueError(f"num_refits must be at least 1, got {num_refits}")
    if num_runs <= fewest:
        raise ValueError(
            f"a bootstrap of {method} over {len(table.domains)} domains needs more than {fewest} "
            f"runs, got {num_runs}"
        )
    rng = np.random.default_rng(seed)
    drawn = rng.integers(num_runs, size=(num_refits, num_runs))
    counts = np.array([np.bincount(row, minlength=num_runs) for row in drawn], dtype=np.float64)
    sparse = (counts > 0).sum(axis=1) < fewest
    counts[sparse] = np.maximum(counts[sparse], HINT)
    return refit_laws(table, counts, method=method, importance=importance, tick=tick)


def prediction_intervals(
    refits: Sequence[FittedLaws],
    weights: Floats,
    *,
    level: float = 0.9,
    fitted: FittedLaws | None = None,
    num_runs: int = 0,
) -> tuple[Floats, Floats]:
    """Low and high predicted losses, shape (N, E) each, over refits.

    They hold the uncertainty of the parameters alone: not the noise of a single run, nor the
    distance between the scale of the proxies and that of a target.

    Args:
        refits: From `bootstrap_laws`, at least one.
        weights: Shape (N, D).
        level: Share of the refits between low and high, in (0, 1).
        fitted: Laws of all runs; bounds are moved away from their predictions by what the family
            says of refits on `num_runs` runs. None: bounds are quantiles of the refits.
        num_runs: Runs behind `fitted`.

    Raises:
        ValueError: No refits, or the level is out of range.
    """
    if not refits or not 0 < level < 1:
        raise ValueError(f"intervals need refits and a level in (0, 1), got {len(refits)}, {level}")
    stack = np.stack([laws.predict(weights) for laws in refits])
    # Of R draws and the truth, each is as likely as any other to lie between two of the draws: the
    # quantiles of R + 1, not of R - 1, which would hold 88.2 % of 90 with R = 100.
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(stack, tails, axis=0, method="weibull")
    if fitted is None or fitted.method not in LAWS:
        return low, high
    factor = LAWS[fitted.method].widening(num_runs, len(fitted.domains), len(fitted.eval_domains))
    middle = fitted.predict(weights)
    return low + (factor - 1) * np.minimum(low - middle, 0), high + (factor - 1) * np.maximum(
        high - middle, 0
    )
