"""Groups of documents that cleaning must not lose, as they are declared with a corpus."""

import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.path_selection import compile_pattern

GroupKind = Literal["all", "language", "source", "length"]
BAND = re.compile(r"(?P<low>[0-9]+)-(?P<high>[0-9]*)")
"""A band of lengths: from, and below unless it is open."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class CoverageLimit:
    """What one declared group may lose."""

    by: GroupKind = "all"
    """What the group has in common; `all` is the whole corpus."""
    group: str = ""
    """A detected language (`de`); a pattern of sources (`docs/**`); characters from-below
    (`200-2000`, `2000-`); empty for `all`."""
    max_loss: Annotated[float, Field(ge=0, lt=1)]
    """Greatest share of its documents that cleaning may reject."""

    def __post_init__(self) -> None:
        """Refuse a group that its kind cannot mean."""
        if (self.by == "all") != (not self.group):
            raise ValueError(f"by={self.by!r} does not go with group={self.group!r}")
        if self.by == "length" and BAND.fullmatch(self.group) is None:
            raise ValueError(f"a band of length is written 200-2000 or 2000-, not {self.group!r}")
        if self.by == "source":
            compile_pattern(self.group)

    @property
    def name(self) -> str:
        """`loss` for the whole corpus, otherwise such as `loss_language_de`."""
        return "loss" if self.by == "all" else f"loss_{self.by}_{self.group}"
