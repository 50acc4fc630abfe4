"""How well laws do on rows that were given for it: Spearman, MAE, MSE, regret, coverage.

Shapes: N rows, E evaluation domains.
"""

from dataclasses import asdict, dataclass

import numpy as np

from training.arrays import Floats
from training.law_evidence import spearman
from training.law_record import LawRecord
from training.run_table import RunTable


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenScores:
    """Of one evaluation domain."""

    spearman: float | None
    """Rank correlation. None: predictions or losses are constant."""
    mae_nats: float
    """Mean absolute error."""
    mse_nats2: float
    """Mean squared error."""
    regret_nats: float
    """Loss of the row that the law would pick above the best row."""
    pick: str
    """Run id of that row."""
    pick_rank: int
    """Its place by the observed loss; 1 is the best."""
    coverage: float
    """Share of the losses inside the intervals of one run."""

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)


def score_given(record: LawRecord, table: RunTable) -> dict[str, GivenScores]:
    """Score every evaluation domain on given rows.

    Args:
        record: The laws; their refits give the intervals.
        table: Rows with the same training and evaluation domains, in the same order.

    Raises:
        ValueError: The domains are others.
    """
    laws = record.laws
    if table.domains != laws.domains or table.eval_domains != laws.eval_domains:
        raise ValueError(
            f"rows over {table.domains} with losses of {table.eval_domains}, the laws know "
            f"{laws.domains} and {laws.eval_domains}"
        )
    low, high = record.intervals(table.weights, of_run=True)
    return score_predictions(table, laws.predict(table.weights), low=low, high=high)


def score_predictions(
    table: RunTable, predicted: Floats, *, low: Floats, high: Floats
) -> dict[str, GivenScores]:
    """Score predictions of every evaluation domain.

    Args:
        table: Rows, N of them.
        predicted: Shape (N, E), nats per token, in the order of the table.
        low: Lower ends of the intervals of one run, the same shape.
        high: Upper ends.
    """
    ranks = spearman(predicted.T, table.losses.T)
    scores = {}
    for column, name in enumerate(table.eval_domains):
        observed, error = table.losses[:, column], predicted[:, column] - table.losses[:, column]
        pick = int(predicted[:, column].argmin())
        inside = (observed >= low[:, column]) & (observed <= high[:, column])
        scores[name] = GivenScores(
            spearman=float(ranks[column]) if np.isfinite(ranks[column]) else None,
            mae_nats=float(np.abs(error).mean()),
            mse_nats2=float((error**2).mean()),
            regret_nats=float(observed[pick] - observed.min()),
            pick=table.run_ids[pick],
            pick_rank=int((observed < observed[pick]).sum()) + 1,
            coverage=float(inside.mean()),
        )
    return scores
