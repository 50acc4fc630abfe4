"""Critical share: how much of a domain a mixture needs to keep its loss where it was.

Continued pre-training on new data makes the old domains forget. Along the line of mixtures

    p(x) = x e + (1 - x) q          e: only the domain; q: the mixture of the others; x in [0, 1]

the critical share is the smallest x at which a mixing law of the old domain predicts no more than a
given loss (Ye et al. 2024, "Data Mixing Laws", arXiv:2403.16952, section on continual
pre-training). The law must be convex: then the loss along the line falls to its minimum before it
can rise, and the first crossing is found by bisection, whatever the law.
Shapes: D training domains.
"""

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from training.arrays import Floats, require_simplex
from training.mixing_laws.interface import ConvexLaw


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
