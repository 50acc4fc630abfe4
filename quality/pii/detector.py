"""What a detector of personal or secret data is made of.

A document is searched in two steps. The screen, a regular expression of Rust's linear-time engine,
runs over a whole column of texts and names the few that may hold something. Only those are searched
by `find` in Python, which validates each candidate. Every pattern of `find` repeats a bounded
number of times, so its time is linear in the text, too.
"""

from collections.abc import Callable
from dataclasses import dataclass

Span = tuple[int, int]
"""Start and end of a finding, in characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector:
    """One kind of personal or secret data."""

    kind: str
    """Name: key of `DETECTORS`, and end of the column `num_pii_<kind>`."""
    placeholder: str
    """What stands in the place of a finding; no detector finds anything in it."""
    screen: str
    """Rust regular expression that occurs in every text in which `find` finds something."""
    find: Callable[[str], list[Span]]
    """Findings of a text, in order, without overlap."""
