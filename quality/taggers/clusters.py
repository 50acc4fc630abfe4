"""Tags from clusters: documents of similar vocabulary get the same tag, which nobody has named.

TF-IDF of words, latent semantic analysis (truncated SVD; Deerwester et al. 1990, "Indexing by
Latent Semantic Analysis"), rows scaled to length one, k-means. A cluster is called after the words
that weigh most in its centre, so that a person can read the table of tags. Confidence compares the
nearest centre with the second nearest:

    confidence = 1 - d1 / d2            0 on the border of two clusters, 1 at a centre

The same documents and seed give the same clusters. Seeds are chosen by k-means++ (Arthur and
Vassilvitskii 2007), best of `NUM_STARTS`.
"""

from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.hashed_ngrams import sample_text
from quality.taggers.interface import require_columns, tag_table

if TYPE_CHECKING:
    from sklearn.cluster import KMeans
    from sklearn.pipeline import Pipeline

Floats = NDArray[np.float64]

MAX_WORDS = 20_000
"""Most frequent words that TF-IDF knows."""
NUM_STARTS = 4
NAME_WORDS = 3
"""Words in the name of a cluster."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class ClusterTagger:
    """Found clusters."""

    names: tuple[str, ...]
    """Name of each cluster, such as `2: theorem proof lemma`."""
    embedding: "Pipeline"
    """Text -> point of length one."""
    clustering: "KMeans"
    """Point -> cluster."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.names))

    def tag(self, documents: pl.DataFrame) -> pl.DataFrame:
        """Give each text the name of the nearest cluster, none to a text without a known word."""
        require_columns(documents, "id", "text")
        if documents.is_empty():
            return tag_table(documents["id"], documents["text"], pl.Series([], dtype=pl.Float64))
        points = self.embedding.transform(_texts(documents))
        distances = np.sort(self.clustering.transform(points), axis=1)
        clusters = self.clustering.predict(points)
        has_words = pl.Series(np.linalg.norm(points, axis=1) > 0)
        tags = pl.Series([self.names[index] for index in clusters], dtype=pl.String)
        confidence = 1.0 - distances[:, 0] / np.maximum(distances[:, 1], 1e-12)
        return tag_table(documents["id"], tags.set(~has_words, None), pl.Series(confidence))


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class ClusterSettings:
    """How clusters are sought."""

    num_clusters: Annotated[int, Field(ge=2)] = 8
    """Clusters."""
    num_dimensions: Annotated[int, Field(ge=2)] = 64
    """Dimensions of the latent space."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Decides the random projections and the first centres."""

    def fit(self, documents: pl.DataFrame) -> ClusterTagger:
        """Embed the documents and find clusters.

        Raises:
            ValueError: A column is missing, or there are fewer documents or words than clusters or
                dimensions need.
        """
        from sklearn.cluster import KMeans
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer

        require_columns(documents, "id", "text")
        self._require_enough("documents", documents.height)
        words = TfidfVectorizer(
            max_features=MAX_WORDS,
            max_df=0.5,
            sublinear_tf=True,
            token_pattern=r"(?u)\b[^\W\d_]{2,}\b",
        )
        counts = words.fit_transform(_texts(documents))
        self._require_enough("words", counts.shape[1])
        semantics = TruncatedSVD(self.num_dimensions, random_state=self.seed)
        to_sphere = Normalizer(copy=False)
        points = to_sphere.fit_transform(semantics.fit_transform(counts))
        clustering = KMeans(self.num_clusters, n_init=NUM_STARTS, random_state=self.seed).fit(
            points
        )
        centres = semantics.inverse_transform(clustering.cluster_centers_)
        return ClusterTagger(
            names=_name(centres, words.get_feature_names_out()),
            embedding=make_pipeline(words, semantics, to_sphere),
            clustering=clustering,
        )

    def _require_enough(self, what: str, number: int) -> None:
        if number <= max(self.num_clusters, self.num_dimensions):
            raise ValueError(
                f"{number} {what} are too few for {self.num_clusters} clusters in "
                f"{self.num_dimensions} dimensions"
            )


def _texts(documents: pl.DataFrame) -> list[str]:
    return [sample_text(text) for text in documents["text"]]


def _name(centres: Floats, words: NDArray[np.str_]) -> tuple[str, ...]:
    """Number of the cluster, which makes the name unique, and its heaviest words."""
    heaviest = np.argsort(-centres, axis=1, kind="stable")[:, :NAME_WORDS]
    return tuple(f"{index}: {' '.join(words[row])}" for index, row in enumerate(heaviest))
