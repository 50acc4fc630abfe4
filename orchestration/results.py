"""What the evaluations say: losses by method and seed, and differences paired over seeds.

    paired difference   d_s = loss of the method with seed s - loss of the baseline with seed s
    interval            mean(d) +- t(0.975, n - 1) * sd(d) / sqrt(n)         n seeds, n >= 3

Pairing takes out what a seed does to every method alike. With fewer than three seeds there is no
interval and no verdict: the comparison is "insufficient". The mean over domains counts every domain
alike. A method is the best of a domain beyond chance if the interval of its difference to *every*
other method lies below zero; that is one claim that needs all of them, so nothing is corrected for
the number of methods.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.lake import Artifact, Lake

BASELINE = "uniform"
"""Method that the others are compared with, if it was run."""
MIN_SEEDS = 3
"""Fewest paired seeds of a comparison."""
LEVEL = 0.95
"""Of the intervals."""
MEAN = "mean"
"""Name of the mean over domains where a domain is expected."""
SCORE_COLUMNS = ("run_id", "method", "seed", "domain", "loss_nats", "loss_se", "bits_per_byte")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluations:
    """The evaluations that can be compared with each other."""

    scores: pl.DataFrame
    """One row per run and domain, and one of the domain `MEAN` per run: run_id, method, seed,
    domain, loss_nats, loss_se (null: unknown), bits_per_byte. Baseline first, then by name."""
    excluded: tuple[tuple[str, str], ...]
    """(run id, reason) of every evaluation left out."""

    @property
    def methods(self) -> list[str]:
        """Labels of the methods, the baseline first."""
        return list(self.scores["method"].unique(maintain_order=True))

    @property
    def domains(self) -> list[str]:
        """Evaluation domains without `MEAN`."""
        names = self.scores["domain"].unique().sort().to_list()
        return [str(name) for name in names if name != MEAN]

    def losses(self, method: str, domain: str) -> dict[int, float]:
        """Seed -> loss of one method in one domain (or `MEAN`), nats per token."""
        chosen = self.scores.filter(pl.col("method") == method, pl.col("domain") == domain)
        return dict(chosen.select("seed", "loss_nats").sort("seed").iter_rows())


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanOverSeeds:
    """Loss of one method in one domain."""

    mean: float
    """Nats per token."""
    standard_error: float | None
    """Of the mean, over seeds; None with one seed."""
    num_seeds: int
    """Seeds behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """Loss of one method minus that of another in one domain, same seed."""

    method: str
    """The one."""
    other: str
    """The other one."""
    domain: str
    """Evaluation domain or `MEAN`."""
    by_seed: tuple[float, ...]
    """One difference per seed that both have, nats per token; negative: `method` is better."""
    interval: tuple[float, float] | None
    """Of the mean, at `LEVEL`; None with fewer than `MIN_SEEDS` seeds: insufficient."""

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without a common seed."""
        return float(np.mean(self.by_seed)) if self.by_seed else None

    @property
    def significant(self) -> bool:
        """Whether the interval exists and does not hold zero."""
        return self.interval is not None and (self.interval[1] < 0 or self.interval[0] > 0)

    @property
    def better(self) -> bool:
        """Whether `method` has the lower loss beyond chance."""
        return self.interval is not None and self.interval[1] < 0


def read_evaluations(lake: Lake, run_ids: Sequence[str] | None = None) -> Evaluations | None:
    """Read the current evaluations; None if there is none.

    Two evaluations of one method and seed (another preset) are not mixed: the newest counts. So
    does the set of domains of the newest evaluation; those with another set are left out.

    Args:
        lake: Where they are.
        run_ids: Which runs count; None: all that were evaluated.
    """
    keys = [key for key in lake.partitions("evaluations") if run_ids is None or key in run_ids]
    found = [artifact for key in keys if (artifact := lake.find("evaluations", key)) is not None]
    if not found:
        return None
    found.sort(key=lambda one: (str(one.manifest.get("created", "")), one.name), reverse=True)
    tables = [_read_scores(artifact) for artifact in found]
    wanted = set(tables[0]["domain"])
    taken: set[tuple[str, int]] = set()
    kept, excluded = [], []
    for table in tables:
        run_id, method, seed = table.select("run_id", "method", "seed").row(0)
        if (method, seed) in taken:
            excluded.append((run_id, f"a newer run of {method} with seed {seed} counts"))
        elif set(table["domain"]) != wanted:
            differing = ", ".join(sorted(wanted ^ set(table["domain"])))
            excluded.append((run_id, f"evaluated on other domains; they differ in: {differing}"))
        else:
            taken.add((method, seed))
            kept.append(_with_mean(table))
    order = (pl.col("method") != BASELINE, "method", "seed", pl.col("domain") == MEAN, "domain")
    return Evaluations(scores=pl.concat(kept).sort(order), excluded=tuple(sorted(excluded)))


def _read_scores(artifact: Artifact) -> pl.DataFrame:
    return pl.read_parquet(artifact.folder / "scores.parquet").select(
        "run_id",
        "method",
        pl.col("seed").cast(pl.Int64),
        "domain",
        pl.col("loss_nats", "loss_se", "bits_per_byte").cast(pl.Float64),
    )


def _with_mean(table: pl.DataFrame) -> pl.DataFrame:
    """Add the mean over domains; its standard error takes the domains as independent."""
    mean = table.select(
        pl.col("run_id", "method", "seed").first(),
        pl.lit(MEAN).alias("domain"),
        pl.col("loss_nats").mean(),
        pl.when(pl.col("loss_se").is_null().any())
        .then(None)
        .otherwise((pl.col("loss_se") ** 2).sum().sqrt() / pl.len())
        .alias("loss_se"),
        pl.col("bits_per_byte").mean(),
    )
    return pl.concat([table, mean.select(table.columns)])


def mean_over_seeds(evaluations: Evaluations, method: str, domain: str) -> MeanOverSeeds:
    """Average the loss of one method in one domain over its seeds.

    Raises:
        ValueError: The method was not evaluated in the domain.
    """
    losses = list(evaluations.losses(method, domain).values())
    if not losses:
        raise ValueError(
            f"no evaluation of {method!r} in {domain!r}; there are {evaluations.methods} in "
            f"{evaluations.domains}"
        )
    error = float(np.std(losses, ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else None
    return MeanOverSeeds(mean=float(np.mean(losses)), standard_error=error, num_seeds=len(losses))


def paired_difference(
    evaluations: Evaluations, method: str, other: str, domain: str
) -> PairedDifference:
    """Compare two methods in one domain over the seeds that both were run with."""
    mine, theirs = evaluations.losses(method, domain), evaluations.losses(other, domain)
    by_seed = tuple(mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys()))
    return PairedDifference(
        method=method,
        other=other,
        domain=domain,
        by_seed=by_seed,
        interval=t_interval(by_seed) if len(by_seed) >= MIN_SEEDS else None,
    )


def differences_to_baseline(evaluations: Evaluations) -> list[PairedDifference]:
    """Every other method against `BASELINE`, in every domain and on their mean.

    Empty if the baseline was not run, or nothing else was.
    """
    methods = evaluations.methods
    if BASELINE not in methods:
        return []
    return [
        paired_difference(evaluations, method, BASELINE, domain)
        for domain in [*evaluations.domains, MEAN]
        for method in methods
        if method != BASELINE
    ]


def best_method(evaluations: Evaluations, domain: str) -> str | None:
    """The method that beats every other one in a domain beyond chance; None if none does."""
    methods = evaluations.methods
    for method in methods:
        others = [other for other in methods if other != method]
        if others and all(
            paired_difference(evaluations, method, other, domain).better for other in others
        ):
            return method
    return None


def t_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Interval of the mean of independent values by Student's t.

    Args:
        values: At least two.
        level: In (0, 1).

    Raises:
        ValueError: Fewer than two values.
    """
    from scipy.special import stdtrit

    if len(values) < 2:
        raise ValueError(f"an interval needs at least two values, got {len(values)}")
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, (1 + level) / 2)) * spread
    return mean - reach, mean + reach
