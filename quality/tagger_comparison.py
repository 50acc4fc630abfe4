"""Compares two taggers on the same documents.

coverage            labelled / documents, of each, and of both together
agreement           equal tags / documents that both label
kappa               (agreement - chance) / (1 - chance)      Cohen 1960, 1 perfect, 0 chance
matched agreement   the same after the best one-to-one translation of the second tagger's tags
                    into the first's (Hungarian algorithm), for taggers that name things in
                    their own words, such as clusters
mutual information  normalised by the mean of both entropies, 1: each tag tells the other
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quality.taggers.interface import TAG_COLUMNS


@dataclass(frozen=True, kw_only=True, slots=True)
class TaggerComparison:
    """How far two taggers agree; shares in [0, 1], None where no document is labelled by both."""

    num_documents: int
    """Documents that were given to both."""
    coverage: tuple[float, float]
    """Share that each labels."""
    num_both: int
    """Documents that both label."""
    agreement: float | None
    """Share of equal tags."""
    kappa: float | None
    """Agreement beyond chance; at most 1."""
    matched_agreement: float | None
    """Share of equal tags after the translation."""
    translation: Mapping[str, str]
    """Tag of the second -> tag of the first that it matches best."""
    mutual_information: float | None
    """Normalised."""
    confusion: pl.DataFrame
    """Columns `first`, `second` (null: not labelled) and `num_documents`, most frequent first."""

    def to_json(self) -> dict[str, object]:
        """Return a JSON object."""
        return {
            "num_documents": self.num_documents,
            "coverage": list(self.coverage),
            "num_both": self.num_both,
            "agreement": self.agreement,
            "kappa": self.kappa,
            "matched_agreement": self.matched_agreement,
            "translation": dict(self.translation),
            "mutual_information": self.mutual_information,
            "confusion": self.confusion.to_dicts(),
        }


def compare_taggers(first: pl.DataFrame, second: pl.DataFrame) -> TaggerComparison:
    """Compare two tables of tags, columns `TAG_COLUMNS`, matched by id.

    Raises:
        ValueError: A table has other columns, an id twice, or not the same ids, or there are none.
    """
    for table in (first, second):
        if dict(table.schema) != TAG_COLUMNS:
            raise ValueError(f"a table of tags has the columns {TAG_COLUMNS}, got {table.schema}")
        if table["id"].is_duplicated().any():
            raise ValueError(f"id {table['id'].filter(table['id'].is_duplicated())[0]!r} twice")
    if first.is_empty() or set(first["id"]) != set(second["id"]):
        raise ValueError(
            f"both tables must have the same ids: {first.height} and {second.height} rows, "
            f"{len(set(first['id']) & set(second['id']))} ids in both"
        )
    joined = first.select("id", first="tag").join(second.select("id", second="tag"), on="id")
    confusion = (
        joined.group_by("first", "second")
        .agg(num_documents=pl.len().cast(pl.Int64))
        .sort("num_documents", "first", "second", descending=[True, False, False])
    )
    both = confusion.drop_nulls()
    agreement = _Agreement.of(both) if both.height else None
    return TaggerComparison(
        num_documents=joined.height,
        coverage=(
            int(joined["first"].is_not_null().sum()) / joined.height,
            int(joined["second"].is_not_null().sum()) / joined.height,
        ),
        num_both=int(both["num_documents"].sum()),
        agreement=None if agreement is None else agreement.plain,
        kappa=None if agreement is None else agreement.kappa,
        matched_agreement=None if agreement is None else agreement.matched,
        translation={} if agreement is None else agreement.translation,
        mutual_information=None if agreement is None else agreement.mutual_information,
        confusion=confusion,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Agreement:
    plain: float
    kappa: float
    matched: float
    translation: dict[str, str]
    mutual_information: float

    @classmethod
    def of(cls, both: pl.DataFrame) -> "_Agreement":
        """Measure documents that both label."""
        from scipy.optimize import linear_sum_assignment

        rows, columns = sorted(both["first"].unique()), sorted(both["second"].unique())
        table = np.zeros((len(rows), len(columns)))
        for one, other, count in both.iter_rows():
            table[rows.index(one), columns.index(other)] = count
        shares = table / table.sum()
        by_row = dict(zip(rows, shares.sum(axis=1), strict=True))
        by_column = dict(zip(columns, shares.sum(axis=0), strict=True))
        common = [tag for tag in rows if tag in by_column]
        plain = sum(shares[rows.index(tag), columns.index(tag)] for tag in common)
        chance = sum(by_row[tag] * by_column[tag] for tag in common)
        matched_rows, matched_columns = linear_sum_assignment(-shares)
        return cls(
            plain=float(plain),
            kappa=float((plain - chance) / (1 - chance)) if chance < 1 else 1.0,
            matched=float(shares[matched_rows, matched_columns].sum()),
            translation={
                columns[column]: rows[row]
                for row, column in zip(matched_rows, matched_columns, strict=True)
            },
            mutual_information=_mutual_information(shares),
        )


def _mutual_information(shares: NDArray[np.float64]) -> float:
    """Mutual information over the mean entropy; 1 if both taggers know one tag only."""
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    mean_entropy = (_entropy(rows) + _entropy(columns)) / 2
    if mean_entropy == 0:
        return 1.0
    return float((_entropy(rows) + _entropy(columns) - _entropy(shares.ravel())) / mean_entropy)


def _entropy(shares: NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
