"""Tags from a linear classifier trained on documents whose tag is known.

    P(tag | text) = softmax(W x + b)[tag]            x: hashed n-grams, rows of length one

Multinomial logistic regression, classes weighted to equal mass. Confidence is that probability; a
text below `min_confidence` is not labelled. Source of the features: `quality.hashed_ngrams`.
"""

from dataclasses import dataclass as plain_dataclass
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.hashed_ngrams import NUM_BUCKETS, hash_ngrams
from quality.taggers.interface import Arrays, require_columns, tag_table

Floats = NDArray[np.float64]


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class LinearTagger:
    """A trained classifier of K tags."""

    labels: tuple[str, ...]
    """Tags, sorted, length K >= 2."""
    weights: Floats
    """W, shape (K, NUM_BUCKETS)."""
    intercepts: Floats
    """b, shape (K,)."""
    min_confidence: float
    """Least probability of a tag that is given."""

    def probabilities(self, documents: pl.DataFrame) -> Floats:
        """Probability of each tag, shape (N, K), rows sum to one."""
        logits = hash_ngrams(documents["text"].to_list()) @ self.weights.T + self.intercepts
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: Floats = shifted / shifted.sum(axis=1, keepdims=True)
        return result

    def tag(self, documents: pl.DataFrame) -> pl.DataFrame:
        """Give each text its most probable tag, none to those below `min_confidence`."""
        require_columns(documents, "id", "text")
        probabilities = self.probabilities(documents)
        confidence = pl.Series(probabilities.max(axis=1, initial=0.0))
        tags = pl.Series(
            [self.labels[index] for index in probabilities.argmax(axis=1)], dtype=pl.String
        )
        tags = tags.set(confidence < self.min_confidence, None)
        return tag_table(documents["id"], tags, confidence)

    def learnt(self) -> Arrays:
        """Return labels, and weights in the precision of a file: float32."""
        return {
            "labels": np.array(self.labels, dtype=np.str_),
            "weights": self.weights.astype(np.float32),
            "intercepts": self.intercepts,
        }


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class LinearSettings:
    """How the classifier is trained."""

    label_column: Annotated[str, Field(min_length=1)] = "domain"
    """Column of the known tags; documents where it is null are not used."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least probability of a tag that is given."""
    c: Annotated[float, Field(gt=0)] = 10.0
    """Inverse strength of the L2 penalty."""

    def fit(self, documents: pl.DataFrame) -> LinearTagger:
        """Train on the documents that have a known tag.

        Raises:
            ValueError: A column is missing, or fewer than two tags are known.
        """
        from sklearn.linear_model import LogisticRegression

        require_columns(documents, "id", "text", self.label_column)
        known = documents.filter(pl.col(self.label_column).is_not_null())
        labels = sorted(known[self.label_column].unique())
        if len(labels) < 2:
            raise ValueError(
                f"column {self.label_column!r} knows the tags {labels}; a classifier needs two"
            )
        regression = LogisticRegression(C=self.c, class_weight="balanced", max_iter=200)
        features = hash_ngrams(known["text"].to_list())
        # An n-gram that no document has keeps weight zero; leaving it out saves most of the time.
        seen = np.unique(features.indices)
        regression.fit(features[:, seen], known[self.label_column].to_list())
        weights = np.zeros((regression.coef_.shape[0], NUM_BUCKETS))
        weights[:, seen], intercepts = regression.coef_, regression.intercept_
        if len(labels) == 2:  # one row decides between two; softmax needs one row each
            weights = np.vstack([-weights, weights]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        return LinearTagger(
            labels=tuple(labels),
            weights=weights,
            intercepts=intercepts,
            min_confidence=self.min_confidence,
        )

    def restore(self, learnt: Arrays) -> LinearTagger:
        """Make the classifier again; weights have the precision of float32."""
        return LinearTagger(
            labels=tuple(str(label) for label in learnt["labels"]),
            weights=learnt["weights"].astype(np.float64),
            intercepts=learnt["intercepts"].astype(np.float64),
            min_confidence=self.min_confidence,
        )
