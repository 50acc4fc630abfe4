"""Tags from clusters: documents of similar vocabulary get the same tag, which nobody has named.

TF-IDF of words, latent semantic analysis (truncated SVD; Deerwester et al. 1990, "Indexing by
Latent Semantic Analysis"), rows scaled to length one, k-means. A cluster is called after the words
that weigh most in its centre, so that a person can read the table of tags. Confidence compares the
nearest centre with the second nearest:

    confidence = 1 - d1 / d2            0 on the border of two clusters, 1 at a centre

The same documents and seed give the same clusters. Seeds are chosen by k-means++ (Arthur and
Vassilvitskii 2007), best of `NUM_STARTS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.hashed_ngrams import sample_text
from quality.taggers.interface import Arrays, require_columns, tag_table

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Floats = NDArray[np.float64]

MAX_WORDS = 20_000
"""Most frequent words that TF-IDF knows."""
NUM_STARTS = 4
NAME_WORDS = 3
"""Words in the name of a cluster."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class ClusterTagger:
    """Found clusters: K of them, in E dimensions, over W words."""

    names: tuple[str, ...]
    """Name of each cluster, such as `2: theorem proof lemma`."""
    words: tuple[str, ...]
    """Words that TF-IDF knows, length W."""
    idf: Floats
    """Weight of each word, shape (W,)."""
    components: Floats
    """Projection of the latent semantic analysis, shape (E, W)."""
    centres: Floats
    """Centre of each cluster, shape (K, E)."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.names))

    def tag(self, documents: pl.DataFrame) -> pl.DataFrame:
        """Give each text the name of the nearest cluster, none to a text without a known word."""
        from scipy.spatial.distance import cdist

        require_columns(documents, "id", "text")
        if documents.is_empty():
            return tag_table(documents["id"], documents["text"], pl.Series([], dtype=pl.Float64))
        points = self._embed(_texts(documents))
        distances = cdist(points, self.centres)
        clusters = distances.argmin(axis=1)
        distances.sort(axis=1)
        has_words = pl.Series(np.linalg.norm(points, axis=1) > 0)
        tags = pl.Series([self.names[index] for index in clusters], dtype=pl.String)
        confidence = 1.0 - distances[:, 0] / np.maximum(distances[:, 1], 1e-12)
        return tag_table(documents["id"], tags.set(~has_words, None), pl.Series(confidence))

    def learnt(self) -> Arrays:
        """Return words, projection and centres, in double precision: a distance may be a tie."""
        return {
            "names": np.array(self.names, dtype=np.str_),
            "words": np.array(self.words, dtype=np.str_),
            "idf": self.idf,
            "components": self.components,
            "centres": self.centres,
        }

    def _embed(self, texts: Sequence[str]) -> Floats:
        """Points of length one, or zero where no word is known, shape (N, E)."""
        from sklearn.preprocessing import normalize

        vectorizer = _vectorizer(self.words)
        vectorizer.idf_ = self.idf
        points: Floats = normalize(vectorizer.transform(texts) @ self.components.T)
        return points


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
        from sklearn.preprocessing import normalize

        require_columns(documents, "id", "text")
        self._require_enough("documents", documents.height)
        vectorizer = _vectorizer(None)
        counts = vectorizer.fit_transform(_texts(documents))
        self._require_enough("words", counts.shape[1])
        semantics = TruncatedSVD(self.num_dimensions, random_state=self.seed)
        points = normalize(semantics.fit_transform(counts))
        clustering = KMeans(self.num_clusters, n_init=NUM_STARTS, random_state=self.seed).fit(
            points
        )
        centres = semantics.inverse_transform(clustering.cluster_centers_)
        words = vectorizer.get_feature_names_out()
        return ClusterTagger(
            names=_name(centres, words),
            words=tuple(words.tolist()),
            idf=vectorizer.idf_,
            components=semantics.components_,
            centres=clustering.cluster_centers_,
        )

    def restore(self, learnt: Arrays) -> ClusterTagger:
        """Make the same clusters again."""
        return ClusterTagger(
            names=tuple(learnt["names"].tolist()),
            words=tuple(learnt["words"].tolist()),
            idf=learnt["idf"].astype(np.float64),
            components=learnt["components"].astype(np.float64),
            centres=learnt["centres"].astype(np.float64),
        )

    def _require_enough(self, what: str, number: int) -> None:
        if number <= max(self.num_clusters, self.num_dimensions):
            raise ValueError(
                f"{number} {what} are too few for {self.num_clusters} clusters in "
                f"{self.num_dimensions} dimensions"
            )


def _vectorizer(words: Sequence[str] | None) -> "TfidfVectorizer":
    """TF-IDF of known words, or of those that it will find."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        vocabulary=words,
        max_features=MAX_WORDS,
        max_df=0.5,
        sublinear_tf=True,
        token_pattern=r"(?u)\b[^\W\d_]{2,}\b",
    )


def _texts(documents: pl.DataFrame) -> list[str]:
    return [sample_text(text) for text in documents["text"]]


def _name(centres: Floats, words: NDArray[np.str_]) -> tuple[str, ...]:
    """Number of the cluster, which makes the name unique, and its heaviest words."""
    heaviest = np.argsort(-centres, axis=1, kind="stable")[:, :NAME_WORDS]
    return tuple(f"{index}: {' '.join(words[row])}" for index, row in enumerate(heaviest))
