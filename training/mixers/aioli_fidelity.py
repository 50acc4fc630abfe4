"""Whether a round of Aioli went as its mixing matrix said: the guard that the paper lacks.

    predicted_i = sum_j A_ij n_j / N_probe     n_j: rows of train domain j after the round's probes
    observed_i  = loss after the probes - loss at the start of the next round
    fidelity    = cosine of the two, between -1 and 1        N_probe: rows of one probe

A is what one probe saves, so the rest of the round is predicted to save as much for each probe's
worth of rows. Losses fall ever more slowly, so the size of the prediction is too large over long
rounds; a cosine judges only its direction, and the record keeps the ratio of the sizes. The losses
compared are evaluated anyway. A fidelity of 1 says that the falls come in the proportions of A;
pure noise gives 0 on average.

Shapes: D domains.
"""

import numpy as np

from training.arrays import Floats, Ints
from training.guard_verdict import GuardVerdict


def predict_drops(matrix: Floats, counts: Ints, rows_per_probe: int) -> Floats:
    """Return the falls of the held-out losses that A predicts, shape (D,), nats per token.

    Args:
        matrix: A, shape (D eval, D train), nats per token and probe.
        counts: Rows trained on of each domain, shape (D,).
        rows_per_probe: Rows of one probe, > 0.
    """
    return np.asarray(matrix @ (counts / rows_per_probe))


def fidelity(predicted: Floats, observed: Floats) -> float:
    """Return the cosine of predicted and observed falls; 0 if either is zero everywhere."""
    norm = float(np.linalg.norm(predicted) * np.linalg.norm(observed))
    return 0.0 if norm == 0 else float(predicted @ observed) / norm


def fidelity_verdict(num_compared: int, num_unfaithful: int, min_fidelity: float) -> GuardVerdict:
    """Sum up the rounds of a run.

    Args:
        num_compared: Rounds whose prediction was held against what came.
        num_unfaithful: Those of them below min_fidelity.
        min_fidelity: The setting.
    """
    told = f"{num_compared} rounds went as the mixing matrix of the round before said"
    if num_compared == 0:
        told = "no round with a matrix was followed by another, so no prediction could be tested"
    elif num_unfaithful:
        told = (
            f"the mixing matrix did not predict {num_unfaithful} of {num_compared} rounds; after "
            "each of them the run trained on equal shares, so its mixture is partly not Aioli's"
        )
    return GuardVerdict(
        guard="aioli_fidelity",
        passed=num_compared > 0 and num_unfaithful == 0,
        observed=num_unfaithful if num_compared else None,
        limit=f"no round below a fidelity of {min_fidelity:g}, and one at least compared",
        told=told,
    )
