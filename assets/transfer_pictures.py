"""The picture of a transfer study, for the UI and for the report."""

from assets.plots import Estimate, plot_transfer
from training.scale_transfer import ScaleTransfer


def draw_transfer(found: ScaleTransfer) -> bytes:
    """Average losses, rank correlations and errors at the larger scale, as PNG."""
    level = found.average_level
    names = {"average": found.runs.average, **found.runs.per_domain}
    ranks = [
        Estimate(name=name, value=one.rank.value, low=one.rank.low, high=one.rank.high)
        for name, one in names.items()
        if one.rank is not None
    ]
    levels = {"average": level, **found.level}
    return plot_transfer(
        found.predicted_nats,
        found.actual_nats,
        correction=(level.offset_nats, level.slope),
        ranks=ranks,
        errors={name: (one.before_nats, one.after_nats) for name, one in levels.items()},
    )
