"""Simulated epoching: proxies repeat their data as often as the target run will.

A proxy of T_p tokens stands for a target of T_t tokens. If it may draw from all n_j tokens of a
domain, it sees p_j T_p / n_j epochs where the target sees p_j T_t / n_j. Offering it only the
share s = T_p / T_t of each domain makes both equal, up to whole rows:

    p_j T_p / (s n_j) = p_j T_t / n_j

The same numbers bound a share when a domain may be repeated at most E times:
p_j <= E n_j / T_t.

Source: the repetition-aware swarms of Olmix, arXiv:2602.12237, and the finding that repeated
tokens are worth less (Muennighoff et al. 2023, arXiv:2305.16264).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainEpochs:
    """Epochs of one domain, at the same share, in the proxy and in the target run."""

    domain: str
    """Its name."""
    proxy_epochs: float
    """Drawn tokens over offered tokens in the proxy."""
    target_epochs: float
    """The same in the target run."""
    agrees: bool
    """Whether the two differ by no more than the tolerance, relatively."""


def epoch_share(*, proxy_tokens: float, target_tokens: float) -> float:
    """Share of each domain that a proxy may draw from, in (0, 1].

    Args:
        proxy_tokens: Tokens that a proxy run consumes, > 0.
        target_tokens: Tokens that the target run consumes, at least as many.

    Raises:
        ValueError: A number is not positive and finite, or the proxy is longer than the target.
    """
    _require_positive("proxy_tokens", proxy_tokens)
    _require_positive("target_tokens", target_tokens)
    if proxy_tokens > target_tokens:
        raise ValueError(
            f"proxy_tokens = {proxy_tokens:g} exceeds target_tokens = {target_tokens:g}: "
            "a proxy cannot repeat less than its target; shorten the proxy"
        )
    return proxy_tokens / target_tokens


def compare_epochs(
    weights: Mapping[str, float],
    *,
    offered_tokens: Mapping[str, float],
    available_tokens: Mapping[str, float],
    proxy_tokens: float,
    target_tokens: float,
    tolerance: float = 0.05,
) -> tuple[DomainEpochs, ...]:
    """One row per domain: does the proxy repeat it as often as the target would?

    Args:
        weights: Share of each domain in the mixture.
        offered_tokens: What the proxy's sampler really offers, whole rows, > 0.
        available_tokens: What the target run can draw from, > 0.
        proxy_tokens: Tokens that the proxy consumes, > 0.
        target_tokens: Tokens that the target run consumes, > 0.
        tolerance: Largest accepted relative difference of the two epoch counts.

    Raises:
        ValueError: The mappings name different domains, or a number of tokens is not positive.
    """
    if not weights.keys() == offered_tokens.keys() == available_tokens.keys():
        raise ValueError(
            f"weights, offered_tokens and available_tokens must name the same domains, got "
            f"{sorted(weights)}, {sorted(offered_tokens)}, {sorted(available_tokens)}"
        )
    _require_positive("proxy_tokens", proxy_tokens)
    _require_positive("target_tokens", target_tokens)
    rows = []
    for domain, weight in weights.items():
        _require_positive(f"offered_tokens[{domain!r}]", offered_tokens[domain])
        _require_positive(f"available_tokens[{domain!r}]", available_tokens[domain])
        proxy = weight * proxy_tokens / offered_tokens[domain]
        target = weight * target_tokens / available_tokens[domain]
        agrees = abs(proxy - target) <= tolerance * target
        rows.append(
            DomainEpochs(domain=domain, proxy_epochs=proxy, target_epochs=target, agrees=agrees)
        )
    return tuple(rows)


def availability_caps(
    available_tokens: Mapping[str, float], *, budget_tokens: float, max_epochs: float
) -> dict[str, float]:
    """Largest share of each domain that repeats it at most `max_epochs` times, in [0, 1].

    Args:
        available_tokens: Tokens of each domain that may be used, >= 0.
        budget_tokens: Tokens that the run consumes, > 0.
        max_epochs: Most epochs of any domain, > 0.

    Raises:
        ValueError: A number is out of range, or the caps sum to less than 1: then no mixture
            reaches the budget; the message names each cap and the largest feasible budget.
    """
    _require_positive("budget_tokens", budget_tokens)
    _require_positive("max_epochs", max_epochs)
    for domain, tokens in available_tokens.items():
        if not (math.isfinite(tokens) and tokens >= 0):
            raise ValueError(f"available_tokens[{domain!r}] must be >= 0, got {tokens}")
    caps = {
        domain: max_epochs * tokens / budget_tokens for domain, tokens in available_tokens.items()
    }
    if sum(caps.values()) < 1 - 1e-9:
        listed = ", ".join(f"{domain} {cap:.4f}" for domain, cap in caps.items())
        feasible = max_epochs * sum(available_tokens.values())
        raise ValueError(
            f"no mixture reaches {budget_tokens:g} tokens within {max_epochs:g} epochs: the caps "
            f"on the shares sum to {sum(caps.values()):.4f} < 1 ({listed}); the largest feasible "
            f"budget is {feasible:g} tokens: lower budget_tokens, raise max_epochs or add data"
        )
    return {domain: min(1.0, cap) for domain, cap in caps.items()}


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")
