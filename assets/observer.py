"""Shows what a training process reports as observations of the asset, while it runs."""

import math
import time
from collections.abc import Mapping, Sequence

import dagster as dg

from assets.training_outcome import is_report

Metadata = dict[str, int | float | str | dg.JsonMetadataValue]


class Observer:
    """Turns the newest custom message into an observation of the asset."""

    def __init__(self, context: dg.AssetExecutionContext, *, least_seconds: float) -> None:
        """Observe for a step.

        Args:
            context: The step; its asset and partition get the observations.
            least_seconds: Least time between two observations; each shows the newest message.
        """
        self._context = context
        self._least_seconds = least_seconds
        self._num_seen = 0
        self._last = float("-inf")

    def observe(self, messages: Sequence[object], *, at_once: bool = False) -> None:
        """Report the newest message if it is new and the last report is old enough.

        Args:
            messages: All custom messages so far.
            at_once: Whether the last report may also be younger.
        """
        reports = [message for message in messages if is_report(message)]
        now = time.monotonic()
        if len(reports) == self._num_seen:
            return
        if now - self._last < self._least_seconds and not at_once:
            return
        self._num_seen, self._last = len(reports), now
        partition = self._context.partition_key if self._context.has_partition_key else None
        self._context.log_event(
            dg.AssetObservation(
                asset_key=self._context.asset_key,
                partition=partition,
                metadata=_metadata(reports[-1]),
            )
        )


def _metadata(message: object) -> Metadata:
    """Return the fields of a message as the UI can plot or unfold them."""
    fields = message if isinstance(message, Mapping) else {"message": message}
    return {str(key): _metadata_value(value) for key, value in fields.items()}


def _metadata_value(value: object) -> int | float | str | dg.JsonMetadataValue:
    if isinstance(value, int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping | list):
        return dg.JsonMetadataValue(value)
    return str(value)
