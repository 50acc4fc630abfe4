"""Clusters of copies over many corpora, and which copies stay.

    link     equal text hash, or an equal band hash (of the stored bands or those across them) and
             a similarity of at least min_similarity
    cluster  connected component of the links
    stays    best first: every member that is no copy of one that stays already

Best is, in this order: the corpus named first in the priority, the longer text, the lesser id. So
the result is a function of the set of documents: not of the order of files, partitions or rows, nor
of which corpus came first in time. Each removed document names the one that stays, which is either
an exact copy or as similar as asked: a chain A ~ B ~ C does not remove C for an A unlike it. The
whole chain is still one cluster, so that no held-out set can be parted from its near-copies.

Documents of one bucket are compared with the best 32 unlike ones of it, and members of a cluster
with its best 1,000 that stay; more occur only in buckets that hold thousands of unlike texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from math import ceil
from typing import Annotated, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.dedup.fingerprints import Fingerprints
from quality.dedup.minhash import MinHashConfig, estimate_similarity, regroup

MEMBERS = {
    "corpus": pl.String,
    "id": pl.String,
    "cluster": pl.String,
    "kind": pl.String,
    "kept_corpus": pl.String,
    "kept_id": pl.String,
    "similarity": pl.Float64,
}
"""Columns of a table of cluster members.

`kind` is kept, exact or near; `cluster` names the best member; `similarity` is that with the
document that stays: 1 for exact copies, estimated for near ones, null for those that stay."""

Method = Literal["exact", "minhash", "both"]
_KINDS = ("kept", "exact", "near")


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class DeduplicationConfig:
    """What counts as a copy and which copy stays."""

    method: Method = "both"
    """`exact`: texts equal up to case and white space. `minhash`: texts with equal bands, which
    finds exact copies of at least one n-gram too. `both`: either."""
    minhash: MinHashConfig = MinHashConfig()
    """Size of the signatures."""
    min_similarity: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Least estimated Jaccard similarity of near-copies; 0: an equal stored band suffices."""
    priority: tuple[str, ...] = ()
    """Corpora whose documents stay, best first; the others follow in the order of the catalogue."""

    @property
    def signatures(self) -> MinHashConfig | None:
        """Signatures to compute; None: exact hashes only."""
        return None if self.method == "exact" else self.minhash


@plain_dataclass(frozen=True, slots=True)
class _Ranked:
    """All documents, best first."""

    corpora: list[str]
    corpus: NDArray[np.int64]
    ids: pl.Series
    hashes: NDArray[np.uint64]
    has_ngrams: NDArray[np.bool_]
    bands: NDArray[np.uint64]
    sketches: NDArray[np.uint8]


def find_clusters(
    fingerprints: Mapping[str, Fingerprints],
    config: DeduplicationConfig | None = None,
    *,
    order: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Find the copies among the documents of all corpora.

    Args:
        fingerprints: Of each corpus by its name, made with the `signatures` of the same config.
        config: None for the defaults.
        order: Corpora in the order of the catalogue, which follows the configured priority; None:
            by name.

    Returns:
        One row per document that has copies, with the columns `MEMBERS`, by corpus and id.

    Raises:
        ValueError: The priority names an unknown corpus, or one twice.
    """
    config = config or DeduplicationConfig()
    ranked = _rank(fingerprints, _priority(fingerprints, config, order))
    min_equal = _min_equal(config.min_similarity, ranked.sketches.shape[1])
    edges = [] if config.method == "minhash" else [_exact_edges(ranked.hashes)]
    if config.method != "exact":
        edges += [_band_edges(ranked, band, min_equal) for band in ranked.bands.T]
        if min_equal:
            groups = regroup(ranked.sketches, config.minhash)
            edges += [_band_edges(ranked, group, min_equal) for group in groups]
    members, clusters = _components(np.concatenate(edges), len(ranked.ids))
    return _decide(ranked, members, clusters, min_equal)


def _priority(
    fingerprints: Mapping[str, Fingerprints],
    config: DeduplicationConfig,
    order: Sequence[str] | None,
) -> list[str]:
    """All corpora, best first."""
    unknown = sorted({*config.priority, *(order or ())} - fingerprints.keys())
    named = list(config.priority)
    if unknown or len(set(named)) != len(named):
        raise ValueError(
            f"the priority names {', '.join(unknown) or 'a corpus twice'}; give each of "
            f"{sorted(fingerprints)} at most once"
        )
    rest = [name for name in order or () if name not in named]
    return [*named, *rest, *sorted(set(fingerprints) - {*named, *rest})]


def _rank(fingerprints: Mapping[str, Fingerprints], corpora: list[str]) -> _Ranked:
    parts = [fingerprints[name] for name in corpora]
    ids = pl.concat([part.ids.cast(pl.String) for part in parts], rechunk=True)
    corpus = np.repeat(np.arange(len(parts)), [len(part.ids) for part in parts])
    num_chars = np.concatenate([part.num_chars for part in parts])
    best_first = (
        pl.DataFrame({"corpus": corpus, "num_chars": -num_chars, "id": ids})
        .with_row_index("row")
        .sort("corpus", "num_chars", "id")["row"]
        .to_numpy()
    )
    hashes = np.ascontiguousarray(np.concatenate([part.hashes for part in parts])[best_first])
    return _Ranked(
        corpora=corpora,
        corpus=corpus[best_first],
        ids=ids.gather(best_first),
        hashes=hashes.view(np.uint64),
        has_ngrams=np.concatenate([part.num_ngrams for part in parts])[best_first] > 0,
        bands=np.concatenate([part.bands for part in parts])[best_first],
        sketches=np.concatenate([part.sketches for part in parts])[best_first],
    )


def _min_equal(min_similarity: float, num_minima: int) -> int:
    """Fewest equal bytes of a sketch at this similarity (inverse of the estimate)."""
    share = min_similarity * (1 - 1 / 256) + 1 / 256 if min_similarity else 0.0
    return ceil(share * num_minima - 1e-9)


def _exact_edges(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Link every row to the best of the same hash."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: the best row of a hash comes first
    ordered = hashes[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    return np.stack([first, order], axis=1)[~begins]


def _band_edges(ranked: _Ranked, band: NDArray[np.uint64], min_equal: int) -> NDArray[np.int64]:
    """Link rows of an equal band hash, shape (N,), that resemble each other."""
    from quality.dedup.kernel_clusters import link_buckets

    rows = np.flatnonzero(ranked.has_ngrams)
    values = band[rows]
    order = np.argsort(values, kind="stable")
    rows, values = rows[order], values[order]
    shared = np.zeros(len(rows), dtype=bool)
    shared[1:] = values[1:] == values[:-1]
    shared[:-1] |= shared[1:]
    rows, values = rows[shared], values[shared]
    edges = np.empty((len(rows), 2), dtype=np.int64)
    num_edges = link_buckets(rows, values, ranked.sketches, min_equal, edges)
    return edges[:num_edges]


def _components(
    edges: NDArray[np.int64], num_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that some edge touches, by component, and the best row of the component of each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(edges), dtype=np.int8)
    graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(num_rows, num_rows))
    _, labels = connected_components(graph, directed=False)
    touched = np.unique(edges)
    _, first, inverse = np.unique(labels[touched], return_index=True, return_inverse=True)
    best = touched[first[inverse]]
    order = np.lexsort((touched, best))
    return touched[order], best[order]


def _decide(
    ranked: _Ranked, members: NDArray[np.int64], clusters: NDArray[np.int64], min_equal: int
) -> pl.DataFrame:
    """Tell which members stay and which goes in favour of which."""
    from quality.dedup.kernel_clusters import EXACT, KEPT, choose_kept

    kinds = np.empty(len(members), dtype=np.int8)
    kept = np.empty(len(members), dtype=np.int64)
    choose_kept(
        *(members, clusters, ranked.hashes, ranked.has_ngrams, ranked.sketches, min_equal),
        *(kinds, kept),
    )
    similarity = [
        None
        if kind == KEPT
        else 1.0
        if kind == EXACT
        else estimate_similarity(ranked.sketches[row], ranked.sketches[stays])
        for kind, row, stays in zip(kinds, members, kept, strict=True)
    ]

    def names(rows: NDArray[np.int64]) -> list[str]:
        return [ranked.corpora[index] for index in ranked.corpus[rows]]

    best = zip(names(clusters), ranked.ids.gather(clusters), strict=True)
    return pl.DataFrame(
        {
            "corpus": names(members),
            "id": ranked.ids.gather(members),
            "cluster": [f"{corpus}/{identity}" for corpus, identity in best],
            "kind": [_KINDS[kind] for kind in kinds],
            "kept_corpus": names(kept),
            "kept_id": ranked.ids.gather(kept),
            "similarity": similarity,
        },
        schema=MEMBERS,
    ).sort("corpus", "id")
