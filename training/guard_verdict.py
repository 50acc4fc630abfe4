"""What a guard of a policy found: a value, stored with the result of the run."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardVerdict:
    """Whether a policy worked over the run as its method supposes; stored with the result."""

    guard: str
    """What was watched."""
    passed: bool
    """Whether all was well."""
    observed: float | None
    """What was found; None: nothing could be observed."""
    limit: str
    """What was allowed."""
    told: str
    """What it means for the run, one sentence."""
