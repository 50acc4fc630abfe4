"""Critical share: how much of a domain a mixture needs to keep its loss where it was.

Continued pre-training on new data makes the old domains forget. Along the line of mixtures

    p(x) = x e + (1 - x) q          e: only the domain; q: the mixture of the others; x in [0, 1]

the critical share is the smallest x at which a mixing law of the old domain predicts no more than a
given loss (Ye et al. 2024, "Data Mixing Laws", arXiv:2403.16952, section on continual
pre-training). The law must be convex: then the loss along the line falls to its minimum before it
can rise, and the first crossing is found by bisection, whatever the law.
Shapes: D training domains.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from training.arrays import Floats, require_simplex
from training.mixing_laws.interface import ConvexLaw

FEWEST_REFITS = 20


def critical_share(law: ConvexLaw, loss: float, *, domain: int, others: Floats) -> float | None:
    """Return the smallest share that keeps the loss, 0 if none is needed, None if none suffices.

    Args:
        law: Of the evaluation domain that shall not get worse.
        loss: What it may be at most, nats per token.
        domain: Column of the training domain whose share is sought.
        others: Mixture of the other domains, shape (D,), on the simplex, zero at `domain`.

    Raises:
        ValueError: `others` is no mixture or holds a share of the domain, or the loss is no number.
    """
    require_simplex(others, name="others")
    if others[domain] != 0 or not np.isfinite(loss):
        raise ValueError(f"others must be 0 at {domain} and the loss finite, got {others}, {loss}")
    only = np.eye(len(others))[domain]

    def excess(share: float) -> float:
        return float(law.predict((share * only + (1 - share) * others)[None])[0]) - loss

    if excess(0.0) <= 0:
        return 0.0
    lowest = float(minimize_scalar(excess, bounds=(0, 1), method="bounded").x)
    reached = min((lowest, 1.0), key=excess)
    if excess(reached) > 0:
        return None
    return float(brentq(excess, 0.0, reached, xtol=1e-12))


@dataclass(frozen=True, kw_only=True, slots=True)
class CriticalShare:
    """A critical share with what refits of the law say."""

    share: float | None
    """Least share that keeps the loss; None: none does."""
    low: float | None
    """Lower end of its interval over the refits that have one; None: too few have."""
    high: float | None
    """Upper end."""
    reached: float | None
    """Share of the refits in which some share keeps the loss; None: there are no refits."""


def judge_critical_share(
    law: ConvexLaw,
    refits: Sequence[ConvexLaw],
    loss: float,
    *,
    domain: int,
    others: Floats,
    level: float = 0.9,
) -> CriticalShare:
    """Find the critical share of a law and of its refits.

    Args:
        law: Of the evaluation domain that shall not get worse.
        refits: The same law on drawn runs, at least 20; or none, then there is no interval.
        loss: As `critical_share`.
        domain: As `critical_share`.
        others: As `critical_share`.
        level: Share of the refits inside the interval, in (0, 1).

    Raises:
        ValueError: As `critical_share`, or there are a few refits only.
    """
    if 0 < len(refits) < FEWEST_REFITS:
        raise ValueError(f"an interval needs {FEWEST_REFITS} refits, got {len(refits)}")
    drawn = [critical_share(one, loss, domain=domain, others=others) for one in refits]
    known = [share for share in drawn if share is not None]
    low, high = None, None
    if len(known) >= FEWEST_REFITS:
        ends = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        low, high = float(ends[0]), float(ends[1])
    return CriticalShare(
        share=critical_share(law, loss, domain=domain, others=others),
        low=low,
        high=high,
        reached=len(known) / len(drawn) if drawn else None,
    )
