"""Does the ranking of mixtures at a small scale hold at a larger one?

Everything that proxies decide rests on this, so it is measured wherever the same mixtures were
trained at both scales: Spearman over mixtures with a bootstrap interval, the regret of training at
the large scale what was best at the small one, and the share of the best that are the same. Runs
are joined by mixture, since ids differ between scales; repeats of a mixture are averaged. Levels
are not compared: they differ by construction (see `recalibration`).
Shapes: N mixtures in both tables, E evaluation domains, B resamples.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from training.arrays import Floats, Ints
from training.law_evidence import Interval, spearman
from training.run_table import RunTable

FEWEST_MIXTURES = 4
SAME_MIXTURE = 2e-3
"""Total variation distance below which two rows are one mixture: shares are rounded on their own
in each table."""
TOP_SHARE = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class RankTransfer:
    """Of one evaluation domain, or of the mean over all."""

    rank: Interval | None
    """Spearman over mixtures. None: one side is constant."""
    regret_nats: float
    """Loss at the large scale of the mixture that was best at the small one, above the best."""
    top_overlap: float
    """Share of the best tenth (at least one) at the large scale that is also best at the small."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferReport:
    """All evaluation domains."""

    num_mixtures: int
    """N, found at both scales."""
    per_domain: Mapping[str, RankTransfer]
    """By evaluation domain."""
    average: RankTransfer
    """On the mean over evaluation domains."""

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)


def measure_rank_transfer(
    small: RunTable,
    large: RunTable,
    *,
    num_resamples: int = 1000,
    level: float = 0.9,
    seed: int = 0,
) -> TransferReport:
    """Compare rankings of the mixtures that both tables hold.

    Args:
        small: Runs at the small scale.
        large: Runs at the large scale; evaluation domains that both have are compared.
        num_resamples: B, draws of mixtures.
        level: Share of the draws inside an interval.
        seed: Decides them.

    Raises:
        ValueError: The training domains differ, no evaluation domain is in both, or fewer than
            four mixtures are.
    """
    if set(small.domains) != set(large.domains):
        raise ValueError(f"domains differ: {sorted(small.domains)} and {sorted(large.domains)}")
    shared = [name for name in large.eval_domains if name in small.eval_domains]
    if not shared:
        raise ValueError(
            f"no evaluation domain in both {small.eval_domains} and {large.eval_domains}"
        )
    before, after = _joined(small, large, shared)
    if len(before) < FEWEST_MIXTURES:
        raise ValueError(
            f"rank transfer needs {FEWEST_MIXTURES} mixtures at both scales, got {len(before)}"
        )
    draws = np.random.default_rng(seed).integers(len(before), size=(num_resamples, len(before)))

    def compare(first: Floats, second: Floats) -> RankTransfer:
        best = max(1, round(TOP_SHARE * len(first)))
        top = (set(np.argsort(one, kind="stable")[:best].tolist()) for one in (first, second))
        return RankTransfer(
            rank=_rank(first, second, draws, level),
            regret_nats=float(second[first.argmin()] - second.min()),
            top_overlap=len(set.intersection(*top)) / best,
        )

    return TransferReport(
        num_mixtures=len(before),
        per_domain={
            name: compare(before[:, column], after[:, column]) for column, name in enumerate(shared)
        },
        average=compare(before.mean(axis=1), after.mean(axis=1)),
    )


def _joined(small: RunTable, large: RunTable, shared: list[str]) -> tuple[Floats, Floats]:
    """Losses of the mixtures in both tables, shape (N, E) each; repeats are averaged."""
    order = [small.domains.index(name) for name in large.domains]
    first, second = small.weights[:, order], large.weights
    mixtures: list[Floats] = []
    for mixture in second:
        if all(np.abs(mixture - known).sum() / 2 >= SAME_MIXTURE for known in mixtures):
            mixtures.append(mixture)
    rows = []
    for mixture in mixtures:
        here, there = (
            np.abs(table - mixture).sum(axis=1) / 2 < SAME_MIXTURE for table in (first, second)
        )
        if here.any():
            rows.append(
                (
                    small.losses[here][:, [small.eval_domains.index(name) for name in shared]],
                    large.losses[there][:, [large.eval_domains.index(name) for name in shared]],
                )
            )
    pairs = [(a.mean(axis=0), b.mean(axis=0)) for a, b in rows]
    before = np.array([pair[0] for pair in pairs]).reshape(-1, len(shared))
    return before, np.array([pair[1] for pair in pairs]).reshape(-1, len(shared))


def _rank(
    first: Floats,
    second: Floats,
    draws: Ints,
    level: float,
) -> Interval | None:
    value = float(spearman(first, second))
    if not np.isfinite(value):
        return None
    resampled = spearman(first[draws], second[draws])
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high))
