"""What a few runs at the target scale do to laws fitted on small ones.

    actual = offset + slope * predicted        per evaluation domain

Laws of small proxies rank larger runs well and price them badly: a law of 1M-parameter proxies
ranked 1B runs at Spearman .986 with its level off by 2.46 nats. One run gives the offset; from
four on the slope is fitted as well, and kept where it is positive (a recalibration must not turn
the ranking round) and predicts runs that it did not see better than the offset alone.
Shapes: K runs at the target scale, N mixtures, E evaluation domains.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from training.arrays import Floats
from training.fitted_laws import FittedLaws
from training.run_table import RunTable

FEWEST_FOR_SLOPE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalibration:
    """Of one evaluation domain."""

    offset_nats: float
    """Added after scaling."""
    slope: float
    """Change of the actual loss for one nat of predicted change, > 0; 1: only the offset."""
    left_out_error_nats: float | None
    """Mean absolute error on target runs that the fit did not see. None: there is one run."""

    def apply(self, predicted: Floats) -> Floats:
        """Map predicted to expected actual losses, nats per token, any shape."""
        return self.offset_nats + self.slope * predicted


@dataclass(frozen=True, kw_only=True, slots=True)
class RecalibratedLaws:
    """Laws of one scale at the level of another."""

    laws: FittedLaws
    """Of the small runs."""
    corrections: Mapping[str, Recalibration]
    """By evaluation domain."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses at the target scale, shape (N, E)."""
        predicted = self.laws.predict(weights)
        columns = [
            self.corrections[name].apply(predicted[:, column])
            for column, name in enumerate(self.laws.eval_domains)
        ]
        return np.column_stack(columns)

    def to_json(self) -> dict[str, object]:
        """The corrections by evaluation domain."""
        return {name: asdict(one) for name, one in self.corrections.items()}


def recalibrate(predicted: Floats, actual: Floats) -> Recalibration:
    """Fit the correction of one evaluation domain.

    Args:
        predicted: What the laws say of K target runs, shape (K,), nats per token, K >= 1.
        actual: What they reached, shape (K,), nats per token.

    Raises:
        ValueError: There is no run, the shapes differ, or a number is not finite.
    """
    if predicted.shape != actual.shape or predicted.ndim != 1 or not len(actual):
        raise ValueError(f"need K >= 1 pairs, got shapes {predicted.shape} and {actual.shape}")
    if not (np.isfinite(predicted) & np.isfinite(actual)).all():
        raise ValueError(f"losses must be finite, got {predicted} and {actual}")
    by_offset = Recalibration(
        offset_nats=float((actual - predicted).mean()),
        slope=1.0,
        left_out_error_nats=left_out_offset_error(predicted, actual),
    )
    if len(actual) < FEWEST_FOR_SLOPE:
        return by_offset
    offset, slope = _line(predicted, actual)
    kept = ~np.eye(len(actual), dtype=bool)
    lines = [_line(predicted[rest], actual[rest]) for rest in kept]
    errors = [abs(one[0] + one[1] * predicted[run] - actual[run]) for run, one in enumerate(lines)]
    error = float(np.mean(errors))
    assert by_offset.left_out_error_nats is not None
    if slope <= 0 or error >= by_offset.left_out_error_nats:
        return by_offset
    return Recalibration(offset_nats=offset, slope=slope, left_out_error_nats=error)


def left_out_offset_error(predicted: Floats, actual: Floats) -> float | None:
    """Mean absolute error of each run after the mean offset of the others; None for one run."""
    residuals = actual - predicted
    if len(residuals) < 2:
        return None
    others = (residuals.sum() - residuals) / (len(residuals) - 1)
    return float(np.abs(residuals - others).mean())


def recalibrate_laws(laws: FittedLaws, table: RunTable) -> RecalibratedLaws:
    """Correct every evaluation domain by the same few runs.

    Args:
        laws: Fitted at a smaller scale.
        table: Runs at the target scale; columns are matched by name.

    Raises:
        ValueError: The table has no runs or other domains.
    """
    if set(table.domains) != set(laws.domains) or set(table.eval_domains) != set(laws.eval_domains):
        raise ValueError(
            f"target runs over {sorted(table.domains)} with losses of "
            f"{sorted(table.eval_domains)}, the laws know {sorted(laws.domains)} and "
            f"{sorted(laws.eval_domains)}"
        )
    predicted = laws.predict(table.weights[:, [table.domains.index(one) for one in laws.domains]])
    return RecalibratedLaws(
        laws=laws,
        corrections={
            name: recalibrate(predicted[:, column], table.losses[:, table.eval_domains.index(name)])
            for column, name in enumerate(laws.eval_domains)
        },
    )


def _line(predicted: Floats, actual: Floats) -> tuple[float, float]:
    """Least squares; a constant prediction has the slope 0."""
    spread = predicted - predicted.mean()
    square = float(spread @ spread)
    slope = float(spread @ actual) / square if square > 0 else 0.0
    return float(actual.mean() - slope * predicted.mean()), slope
