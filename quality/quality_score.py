"""Quality score: how much a document resembles the user's own choice of reference documents.

    score = P(reference | text) = 1 / (1 + exp(-(w . x + b)))         in [0, 1], even odds before

x are hashed n-grams, w and b a logistic regression between reference and background, with classes
weighted to equal mass. Source: Brown et al. 2020, "Language Models are Few-Shot Learners",
arXiv:2005.14165, appendix A, which trains such a classifier between curated text and Common Crawl.
Deviations: bigrams beside words; L2 penalty with C = 10, beyond which the separation of one of our
ten benchmark domains from the others gains less than 0.002; the choice of reference is the user's,
because "quality" is a word for a purpose.

Three uses of one score:

    filter            keep where score >= threshold, or by chance: Pareto(9) > 1 - score
    stratum           quantile bins of equal size, a domain of its own each
    sampling weight   odds score / (1 - score): the density ratio of reference to background (Xie et
                      al. 2023, "Data Selection for Language Models via Importance Resampling",
                      arXiv:2302.03169), clipped and scaled to mean one

A score is worth as much as its separation of documents it has not seen, so that is measured with
every fit, on every fifth document by a hash of its text.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quality.hashed_ngrams import NUM_BUCKETS, hash_ngrams

Floats = NDArray[np.float64]

SCORE = "quality_score"
"""Column of the score."""
MIN_DOCUMENTS = 20
"""Fewest documents of each side: with fewer, a fifth of them measures nothing."""
PARETO_SHAPE = 9.0
"""alpha of Brown et al. 2020."""
_HELDOUT_PART = 5
_WEIGHTS, _FACTS = "quality_model.npz", "quality_model.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Separation:
    """How well scores tell reference from background on documents that the fit has not seen."""

    auc: float
    """Probability that a reference document scores above a background one; 0.5 is chance."""
    num_reference: int
    """Reference documents measured."""
    num_background: int
    """Background documents measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityModel:
    """A fitted score."""

    weights: Floats
    """w, shape (NUM_BUCKETS,)."""
    intercept: float
    """b."""
    separation: Separation
    """Measured on documents outside the fit."""

    def score(self, texts: Sequence[str]) -> Floats:
        """Probability that each text is of the reference, shape (len(texts),), in [0, 1]."""
        logits = hash_ngrams(texts) @ self.weights + self.intercept
        scores: Floats = 1.0 / (1.0 + np.exp(-logits))
        return scores

    def save(self, folder: Path) -> None:
        """Write weights and facts into an existing folder."""
        np.savez_compressed(folder / _WEIGHTS, weights=self.weights.astype(np.float32))
        facts = {"intercept": self.intercept, "separation": asdict(self.separation)}
        (folder / _FACTS).write_text(json.dumps(facts, sort_keys=True, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: A file is missing or is not what `save` writes.
        """
        try:
            with np.load(folder / _WEIGHTS, allow_pickle=False) as stored:
                weights = stored["weights"].astype(np.float64)
            facts = json.loads((folder / _FACTS).read_text())
            model = cls(
                weights=weights,
                intercept=float(facts["intercept"]),
                separation=Separation(**facts["separation"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder}: no quality model ({error}); fit it again") from error
        if weights.shape != (NUM_BUCKETS,):
            raise ValueError(f"{folder}: {weights.shape} weights instead of {NUM_BUCKETS}")
        return model


def fit_quality_model(
    reference: Sequence[str], background: Sequence[str], *, c: float = 10.0
) -> QualityModel:
    """Fit the score on a user's choice of texts.

    The result does not depend on the order of the texts. A text that stands twice on one side is
    counted once; every fifth text by hash is held out to measure the separation.

    Args:
        reference: What good text is for this purpose.
        background: What there is otherwise.
        c: Inverse strength of the L2 penalty, > 0.

    Raises:
        ValueError: A side has fewer than `MIN_DOCUMENTS` different texts, both sides share a text,
            or the hash leaves a side without held-out texts.
    """
    sides = (sorted(set(background)), sorted(set(reference)))
    for name, texts in zip(("background", "reference"), sides, strict=True):
        if len(texts) < MIN_DOCUMENTS:
            raise ValueError(
                f"{name}: {len(texts)} different texts; a score needs at least {MIN_DOCUMENTS}"
            )
    if shared := set(sides[0]) & set(sides[1]):
        raise ValueError(
            f"{len(shared)} texts are both reference and background, for example "
            f"{min(shared)[:60]!r}; a document can be on one side only"
        )
    texts = [text for side in sides for text in side]
    labels = np.repeat([0, 1], [len(side) for side in sides])
    heldout = np.array([_is_heldout(text) for text in texts])
    if len(set(labels[heldout].tolist())) < 2:
        raise ValueError("no held-out texts on one side; give more documents")
    return _fit(texts, labels, heldout, c=c)


def _fit(
    texts: Sequence[str], labels: NDArray[np.int64], heldout: NDArray[np.bool_], *, c: float
) -> QualityModel:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    features = hash_ngrams(texts)
    regression = LogisticRegression(C=c, class_weight="balanced", max_iter=200, tol=1e-4)
    # An n-gram that no document has keeps weight zero; leaving it out saves most of the time.
    seen = np.unique(features.indices)
    regression.fit(features[~heldout][:, seen], labels[~heldout])
    logits = regression.decision_function(features[heldout][:, seen])
    weights = np.zeros(NUM_BUCKETS)
    weights[seen] = regression.coef_[0]
    return QualityModel(
        weights=weights,
        intercept=float(regression.intercept_[0]),
        separation=Separation(
            auc=float(roc_auc_score(labels[heldout], logits)),
            num_reference=int(labels[heldout].sum()),
            num_background=int((1 - labels[heldout]).sum()),
        ),
    )


def _is_heldout(text: str) -> bool:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest()[0] % _HELDOUT_PART == 0


def keep_above(threshold: float) -> pl.Expr:
    """Filter: documents whose score reaches a threshold in [0, 1].

    Raises:
        ValueError: The threshold is outside [0, 1].
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold must be in [0, 1], got {threshold}")
    return pl.col(SCORE) >= threshold


def keep_by_chance(scores: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Filter of Brown et al. 2020: mostly high scores, and some low ones lest the text get narrow.

    Args:
        scores: Shape (N,), in [0, 1].
        rng: One draw per document.
    """
    kept: NDArray[np.bool_] = rng.pareto(PARETO_SHAPE, size=scores.shape) > 1.0 - scores
    return kept


def score_strata(scores: Floats, num_strata: int) -> NDArray[np.int64]:
    """Stratum of each document, 0 (lowest scores) to num_strata - 1, of sizes that differ by one.

    Equal scores are parted by their order.

    Args:
        scores: Shape (N,).
        num_strata: 1 to N.

    Raises:
        ValueError: num_strata is out of its range.
    """
    if not 1 <= num_strata <= len(scores):
        raise ValueError(f"num_strata must be in 1 to {len(scores)}, got {num_strata}")
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(scores, kind="stable")] = np.arange(len(scores))
    strata: NDArray[np.int64] = ranks * num_strata // len(scores)
    return strata


def score_weights(scores: Floats, *, max_ratio: float = 100.0) -> Floats:
    """Sampling weight of each document, mean one.

    Args:
        scores: Shape (N,), N > 0, in [0, 1].
        max_ratio: Odds are clipped to [1 / max_ratio, max_ratio], >= 1, so that no single document
            takes over.

    Raises:
        ValueError: There are no scores, or one or max_ratio is out of its range.
    """
    if not len(scores) or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"scores must be in [0, 1] and not empty, got {scores}")
    if max_ratio < 1:
        raise ValueError(f"max_ratio must be at least 1, got {max_ratio}")
    with np.errstate(divide="ignore"):
        odds = np.clip(scores / (1.0 - scores), 1.0 / max_ratio, max_ratio)
    weights: Floats = odds / odds.mean()
    return weights
