"""Tags from what is known of a document already: a column, or a key of its metadata.

Confidence is 1: nothing is estimated. A value that `rename` does not know is kept as it is; an
empty or missing one is no tag.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.taggers.interface import Arrays, require_columns, tag_table


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class MetadataTagger:
    """Tagger and its settings in one: there is nothing to learn."""

    column: Annotated[str, Field(min_length=1)] = "domain"
    """Column to read; `metadata` holds JSON objects."""
    key: str | None = None
    """Key of the JSON object in the column; None: the column itself is the tag."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Value -> tag."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Tags that are known beforehand: those of `rename`."""
        return tuple(sorted(set(self.rename.values())))

    def fit(self, documents: pl.DataFrame) -> "MetadataTagger":
        """Check that the column is there."""
        require_columns(documents, "id", self.column)
        return self

    def tag(self, documents: pl.DataFrame) -> pl.DataFrame:
        """Look each document's value up."""
        require_columns(documents, "id", self.column)
        values = documents[self.column]
        if self.key is not None:
            decoded = values.str.json_decode(pl.Struct({self.key: pl.String}))
            values = decoded.struct.field(self.key)
        tags = values.replace(dict(self.rename)) if self.rename else values
        tags = tags.set(tags == "", None)
        return tag_table(documents["id"], tags, pl.repeat(1.0, documents.height, eager=True))

    def learnt(self) -> Arrays:
        """Return nothing: the settings say all."""
        return {}

    def restore(self, learnt: Arrays) -> "MetadataTagger":
        """Return itself."""
        return self
