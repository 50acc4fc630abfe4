"""Scaling when data repeat: what the second look at a token, and a spare parameter, are worth.

    R_D = D / U_D - 1,   D' = U_D + U_D R_D* (1 - exp(-R_D / R_D*)),   U_D = min(U, D)
    R_N = N / U_N - 1,   N' = U_N + U_N R_N* (1 - exp(-R_N / R_N*)),   U_N = min(N, N_opt(U_D))
    L   = E + A / N'^alpha + B / D'^beta

U are unique tokens, N_opt(U) the size for which U tokens are the optimal length.
Source: Muennighoff et al. 2023, "Scaling Data-Constrained Language Models", arXiv:2305.16264, with
their R_D* and R_N* as defaults. These two were fitted on English web text in one setting: the law
around them may be the user's own, they rarely are. Deviation: tokens of several domains repeat
each by itself, D' = sum_j D'_j, since one domain may be seen once and another ten times.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats
from training.scaling_laws.chinchilla import ChinchillaLaw


@dataclass(frozen=True, kw_only=True, slots=True)
class RepetitionDecay:
    """How fast repetition loses its worth."""

    tokens: float = 15.387756
    """R_D*: epochs after the first when repeats have lost 1 - 1/e of their worth, > 0."""
    params: float = 5.309743
    """R_N*: the same for parameters beyond what the unique tokens can use, > 0."""

    def __post_init__(self) -> None:
        """Refuse numbers that are not positive.

        Raises:
            ValueError: One is not.
        """
        for name, value in (("tokens", self.tokens), ("params", self.params)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"repetition decay of {name} must be > 0, got {value}")


PUBLISHED_DECAY = RepetitionDecay()
PUBLISHED_LAW = ChinchillaLaw(
    A=math.exp(6.255414), B=math.exp(7.3049974), E=math.exp(0.6254804), alpha=0.3526596,
    beta=0.3526596,
)  # fmt: skip
"""The law that belongs to the published decay (C4, models up to 9 billion parameters)."""


def effective_amount(used: Floats | float, unique: Floats | float, *, decay: float) -> Floats:
    """Worth of `used` when only `unique` of it is fresh, in fresh units, elementwise.

    Args:
        used: Tokens drawn, or parameters, >= 0.
        unique: Those that are fresh at most, >= 0; none of them is worth nothing.
        decay: R*, > 0.

    Raises:
        ValueError: A number is negative or not finite, or the decay is not positive.
    """
    used, unique = np.asarray(used, dtype=np.float64), np.asarray(unique, dtype=np.float64)
    if not ((used >= 0).all() and (unique >= 0).all()) or not np.isfinite(used + unique).all():
        raise ValueError(f"amounts must be >= 0 and finite, got {used} of {unique}")
    if not (math.isfinite(decay) and decay > 0):
        raise ValueError(f"decay must be positive, got {decay}")
    fresh = np.minimum(used, unique)
    repeats = used / np.where(fresh > 0, fresh, 1.0) - 1
    worth: Floats = np.where(fresh > 0, fresh * (1 - decay * np.expm1(-repeats / decay)), 0.0)
    return worth


def epochs_until_worth(marginal: float, *, decay: float = PUBLISHED_DECAY.tokens) -> float:
    """Epochs after which one more token is worth `marginal` fresh ones: 1 - R* log(marginal).

    Args:
        marginal: In (0, 1].
        decay: R*, > 0.

    Raises:
        ValueError: A number is out of range.
    """
    if not 0 < marginal <= 1 or not decay > 0:
        raise ValueError(f"marginal worth must lie in (0, 1], decay above 0: {marginal}, {decay}")
    return 1 - decay * math.log(marginal)


def data_constrained_loss(
    law: ChinchillaLaw,
    *,
    params: float,
    tokens: float,
    unique_tokens: float,
    decay: RepetitionDecay = PUBLISHED_DECAY,
) -> float:
    """Loss of N parameters after D tokens of which `unique_tokens` are different, nats per token.

    Args:
        law: Scaling law of fresh tokens.
        params: N, > 0.
        tokens: D, > 0.
        unique_tokens: U, > 0; more than D changes nothing.
        decay: Of repeats and of spare parameters.

    Raises:
        ValueError: A number is not positive and finite.
    """
    _require_positive({"params": params, "tokens": tokens, "unique_tokens": unique_tokens})
    unique = min(unique_tokens, tokens)
    worth = float(effective_amount(tokens, unique, decay=decay.tokens))
    return _loss(law, params=params, unique=unique, worth=worth, decay=decay)


def mixture_loss(
    law: ChinchillaLaw,
    *,
    params: float,
    tokens: float,
    weights: Mapping[str, float],
    available_tokens: Mapping[str, float],
    decay: RepetitionDecay = PUBLISHED_DECAY,
) -> float:
    """The same for a mixture whose domains repeat each by itself.

    Args:
        law: Scaling law of fresh tokens.
        params: N, > 0.
        tokens: D, > 0.
        weights: Share of each domain, on the simplex.
        available_tokens: Unique tokens of each domain, >= 0.
        decay: Of repeats and of spare parameters.

    Raises:
        ValueError: Names differ, a number is out of range, or a domain without tokens has a share.
    """
    _require_positive({"params": params, "tokens": tokens})
    if set(weights) != set(available_tokens):
        raise ValueError(f"weights of {sorted(weights)}, tokens of {sorted(available_tokens)}")
    used = np.array([weights[name] * tokens for name in weights])
    there = np.array([available_tokens[name] for name in weights], dtype=np.float64)
    missing = [name for name in weights if weights[name] > 0 and available_tokens[name] == 0]
    if missing:
        raise ValueError(f"domains {missing} have a share but no tokens")
    worth = float(effective_amount(used, there, decay=decay.tokens).sum())
    unique = float(np.minimum(used, there).sum())
    return _loss(law, params=params, unique=unique, worth=worth, decay=decay)


def _loss(
    law: ChinchillaLaw, *, params: float, unique: float, worth: float, decay: RepetitionDecay
) -> float:
    enough = min(params, law.params_optimal_for(unique))
    useful = float(effective_amount(params, enough, decay=decay.params))
    return float(law.predict(useful, worth))


def _require_positive(numbers: Mapping[str, float]) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, got {value}")
