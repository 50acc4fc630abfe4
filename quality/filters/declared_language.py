"""The detected language against the one that the corpus declares.

Judges the columns `language` (declared by the corpus), `detected_language` and
`language_confidence` that every cleaned document has; see `quality.languages`. A document that
declares no natural language (empty, `und`, `mul`, `zxx`) is not judged.

Default confidence 0.65: Penedo et al. 2024, "The FineWeb Datasets", arXiv:2406.17557, with the same
detector. Deviation: the language is that of the catalogue, not always English. Both are compared by
their first subtag, so `en-GB` agrees with `en`.
"""

from typing import Annotated

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.filters.rules import Filter, Rule

UNDECLARED = ("", "und", "mul", "zxx")
"""Declared codes that promise no particular language (ISO 639-2)."""
DECLARED = pl.col("language").str.to_lowercase().str.split("-").list.first().fill_null("")
"""First subtag of the declared language."""
IS_DECLARED = ~DECLARED.is_in(UNDECLARED)
"""Whether the document declares one natural language."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class DeclaredLanguageSettings:
    """Thresholds; None switches a rule off."""

    match: bool = True
    """Whether the detected language must be the declared one."""
    min_confidence: Annotated[float, Field(ge=0.0, le=1.0)] | None = 0.65
    """Least probability of the detected language."""

    def rules(self) -> tuple[Rule, ...]:
        """Rules in force, in the order in which they are tried."""
        rules: tuple[Rule, ...] = ()
        if self.match:
            rules += (
                Rule(
                    reason="another language than declared",
                    metric="detected_language",
                    limit="the declared language",
                    fails=IS_DECLARED & (pl.col("detected_language") != DECLARED),
                ),
            )
        if self.min_confidence is not None:
            rules += (
                Rule(
                    reason="language uncertain",
                    metric="language_confidence",
                    limit=f">= {self.min_confidence:g}",
                    fails=IS_DECLARED & (pl.col("language_confidence") < self.min_confidence),
                ),
            )
        return rules


DECLARED_LANGUAGE = Filter(metrics={}, settings=DeclaredLanguageSettings)
"""The filter; it needs no metric beyond the language columns."""
