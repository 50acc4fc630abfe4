"""The weights that one run learnt for another: from the result of a DoReMi or DoGE proxy run.

Only what they say enters the digest of the run that uses them, not where they lie.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from training.run_result import RESULT_FILE, read_result


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedWeights:
    """Weights, and which run learnt them."""

    run_id: str
    """Name of that run."""
    method: str
    """Its mixer."""
    config_digest: str
    """Of its configuration."""
    weights: dict[str, float]
    """Share of each domain."""

    def source(self) -> dict[str, str]:
        """Return which run learnt them, for the result of the run that uses them."""
        return {
            "run_id": self.run_id,
            "method": self.method,
            "config_digest": self.config_digest,
        }

    def digest(self) -> str:
        """16 hexadecimal digits over the weights."""
        return hashlib.sha256(json.dumps(self.weights, sort_keys=True).encode()).hexdigest()[:16]


def read_learned_weights(run: Path) -> LearnedWeights:
    """Read what a finished run learnt.

    Args:
        run: Its folder, which holds result.json.

    Raises:
        ValueError: It is not finished, or its mixer learns nothing for another run.
    """
    path = run / RESULT_FILE
    if not path.is_file():
        raise ValueError(
            f"weights_from: {run} holds no {RESULT_FILE}; name the folder of a finished run"
        )
    result = read_result(path)
    if result.learned_weights is None:
        raise ValueError(
            f"weights_from: the run {result.run_id!r} in {run} has the mixer {result.method!r}, "
            "which learns no weights for another run; name a proxy run of doremi or doge"
        )
    return LearnedWeights(
        run_id=result.run_id,
        method=result.method,
        config_digest=result.config_digest,
        weights=result.learned_weights,
    )
