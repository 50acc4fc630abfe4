"""Skills from data alone: documents whose losses fall together are taken for one skill.

    features     one row per document: its loss at every checkpoint of every run, or an embedding
    clusters     k-means, best of 10 starts
    stability    mean adjusted Rand index between clusterings of random four fifths of the
                 documents, one per seed, each extended to all documents by the nearest centre
    accuracy     share of documents in the right cluster under the best matching of clusters to
                 given labels (there are such labels only on test data)

Stability tells whether the clusters are there, not whether they are skills: judge them with
training.skill_diagnosis.judge_skills. Do not expect much: for five planted skills Chen et al.
report an accuracy of .61 for loss trajectories (10 runs, 120 checkpoints), .38 for embeddings of
the trained model and .24 to .25 for others; chance is .2 and a little more, for the matching is
chosen afterwards. Labels by taggers come first.

Source: Chen et al. 2023, "Skill-it!", arXiv:2307.14430, section on recovering skills; their losses
enter as they are, and so they do here. Stability by subsamples after Ben-Hur et al. 2002, "A
Stability Based Method for Discovering Structure in Clustered Data".
Shapes: N documents, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from training.arrays import Floats, Ints

SUBSAMPLE = 0.8
NUM_STARTS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Clusters:
    """One clustering of the documents."""

    labels: Ints
    """Cluster of each document, shape (N,); clusters are numbered by falling size."""
    stability: float
    """Mean adjusted Rand index between seeds; 1: always the same, 0: as by chance."""
    stability_by_pair: tuple[float, ...]
    """Of each pair of seeds."""
    accuracy: float | None
    """Against given labels, in [0, 1]; None: there are none."""


def loss_trajectories(losses: Floats) -> Floats:
    """Features of documents from runs: shape (R runs, C checkpoints, N) to (N, R * C).

    Raises:
        ValueError: Another number of axes, or a loss that is not finite.
    """
    if losses.ndim != 3 or not np.isfinite(losses).all():
        raise ValueError(f"losses must be finite with shape (R, C, N), got {losses.shape}")
    return np.ascontiguousarray(losses.transpose(2, 0, 1).reshape(losses.shape[2], -1))


def discover_skills(
    features: Mapping[str, Floats],
    *,
    num_skills: int,
    seeds: Sequence[int],
    labels: Sequence[str] | None = None,
) -> dict[str, Clusters]:
    """Cluster the same documents by several kinds of features, to be compared.

    Args:
        features: Name of the kind -> features of every document, shape (N, F); F may differ.
        num_skills: Clusters to find, >= 2.
        seeds: Of the subsamples and starts; at least two, or there is no stability.
        labels: True skill of every document, N names; None: not known.

    Raises:
        ValueError: Kinds with different documents, too few documents or seeds, or features that are
            not finite.
    """
    sizes = {name: len(values) for name, values in features.items()}
    if len(set(sizes.values())) != 1 or (
        labels is not None and {len(labels)} != set(sizes.values())
    ):
        raise ValueError(
            f"features and labels must be of the same documents, got {sizes} documents and "
            f"{'no' if labels is None else len(labels)} labels"
        )
    return {
        name: cluster_documents(values, num_skills=num_skills, seeds=seeds, labels=labels)
        for name, values in features.items()
    }


def cluster_documents(
    features: Floats,
    *,
    num_skills: int,
    seeds: Sequence[int],
    labels: Sequence[str] | None = None,
) -> Clusters:
    """Cluster documents by one kind of features; the labels are those of the first seed.

    Raises:
        ValueError: As discover_skills.
    """
    size = int(SUBSAMPLE * len(features))
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"features must be finite with shape (N, F), got {features.shape}")
    if num_skills < 2 or size < num_skills:
        raise ValueError(
            f"{len(features)} documents cannot be divided into {num_skills} skills; at least two "
            f"skills and {SUBSAMPLE:.0%} of the documents for them are needed"
        )
    if len(set(seeds)) < 2:
        raise ValueError(f"stability needs at least two different seeds, got {list(seeds)}")
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    found: list[Ints] = []
    for seed in seeds:
        rows = np.random.default_rng(seed).permutation(len(features))[:size]
        kmeans = KMeans(num_skills, n_init=NUM_STARTS, random_state=seed).fit(features[rows])
        found.append(_by_size(kmeans.predict(features), num_skills))
    pairs = tuple(float(adjusted_rand_score(one, other)) for one, other in combinations(found, 2))
    return Clusters(
        labels=found[0],
        stability=float(np.mean(pairs)),
        stability_by_pair=pairs,
        accuracy=None if labels is None else _accuracy(found[0], labels, num_skills),
    )


def _by_size(clusters: Ints, num_skills: int) -> Ints:
    """Number the clusters by falling size."""
    order = np.argsort(-np.bincount(clusters, minlength=num_skills), kind="stable")
    rank = np.empty(num_skills, dtype=np.int64)
    rank[order] = np.arange(num_skills)
    return rank[clusters]


def _accuracy(clusters: Ints, labels: Sequence[str], num_skills: int) -> float:
    from scipy.optimize import linear_sum_assignment

    names, true = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.zeros((num_skills, len(names)), dtype=np.int64)
    np.add.at(counts, (clusters, true), 1)
    rows, columns = linear_sum_assignment(-counts)
    return float(counts[rows, columns].sum() / len(labels))
