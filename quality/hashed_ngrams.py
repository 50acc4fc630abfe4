"""Hashed word n-grams of texts as a sparse matrix: features without vocabulary or download.

Lower-cased words of letters and digits, n-grams of 1 and 2 words, signed 32-bit MurmurHash3 modulo
`NUM_BUCKETS` (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning",
arXiv:0902.2206), rows scaled to length one, by scikit-learn's HashingVectorizer. A long text is
represented by its beginning, middle and end, so that the cost of a document is bounded.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NUM_BUCKETS = 1 << 18
"""Columns of the matrix: few collisions among the some 10^5 n-grams of a training sample."""
MAX_CHARS = 6000
"""Characters that represent a document; a longer one gives three windows of a third each."""


def hash_ngrams(texts: Sequence[str]) -> "csr_matrix":
    """Return the features, shape (len(texts), NUM_BUCKETS), rows of length one or zero."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        n_features=NUM_BUCKETS, ngram_range=(1, 2), token_pattern=r"(?u)\w+", norm="l2"
    )
    # The empty text at the end is cut off again: no texts at all would be an error.
    matrix: csr_matrix = vectorizer.transform([*map(sample_text, texts), ""])
    return matrix[: len(texts)]


def sample_text(text: str) -> str:
    """Return the text, or its beginning, middle and end if it is longer than `MAX_CHARS`."""
    if len(text) <= MAX_CHARS:
        return text
    part = MAX_CHARS // 3
    middle = (len(text) - part) // 2
    return " ".join((text[:part], text[middle : middle + part], text[-part:]))
