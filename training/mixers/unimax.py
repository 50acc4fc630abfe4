"""UniMax: as equal as the data allow without reading any domain more than E epochs.

    domains by size ascending, b = budget:   U_i = min(b / domains left, E * n_i);  b -= U_i
    w = U / sum U

Small domains are read E times, the others share the rest equally. If all domains together have
less than the budget, every one is read E times and more: the weights are then proportional, and
the record says how many tokens are missing.

Source: Chung et al. 2023, "UniMax: Fairer and More Effective Language Sampling for Large-Scale
Multilingual Pretraining", arXiv:2304.09151.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from training.arrays import Floats
from training.config import STRICT, Count, Setting
from training.mixers.interface import MixingTask, StaticMixer, parse_settings


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class UniMaxSettings:
    """What the run file says."""

    budget_tokens: Count
    """Tokens that the run reads: steps * batch_rows * context_tokens."""
    max_epochs: Annotated[float, Field(gt=0)] = 1.0
    """E, most passes over a domain."""


def unimax_tokens(available_tokens: Floats, *, budget_tokens: float, max_epochs: float) -> Floats:
    """Tokens to read from each domain, shape (D,); they sum to the budget or to all there are.

    Args:
        available_tokens: Of each domain, shape (D,), > 0.
        budget_tokens: To be divided, > 0.
        max_epochs: E, > 0.
    """
    tokens = np.zeros(len(available_tokens))
    left = float(budget_tokens)
    order = np.argsort(available_tokens, kind="stable")
    for rank, domain in enumerate(order.tolist()):
        tokens[domain] = min(left / (len(order) - rank), max_epochs * available_tokens[domain])
        left -= tokens[domain]
    return tokens


def make_unimax(settings: Mapping[str, Setting], task: MixingTask) -> StaticMixer:
    """Return the mixer of UniMax shares.

    Raises:
        ValueError: An unknown, missing or wrong setting.
    """
    wanted = parse_settings(UniMaxSettings, "unimax", settings)
    tokens = unimax_tokens(
        task.available_tokens, budget_tokens=wanted.budget_tokens, max_epochs=wanted.max_epochs
    )
    # A rounding error of the subtraction is no shortfall.
    missing = wanted.budget_tokens - float(tokens.sum())
    shortfall = missing if missing > 1e-9 * wanted.budget_tokens else 0.0
    return StaticMixer(
        task.domains, tokens / tokens.sum(), notes={"shortfall_tokens": round(shortfall)}
    )
