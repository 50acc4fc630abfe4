"""Limits of a proposal: floors, caps and fixed ratios, and which of them leave no mixture.

    floor_j <= p_j <= min(1, epochs * n_j / budget),      p = M x

n_j are the available tokens, M turns the coordinates of a reused mixture into shares. The most
epochs are given, or follow from what the last repeated token must be worth, whichever is fewer.
Where there is a region of the runs, p lies in it too.
Shapes: D domains, V coordinates (V = D without reuse).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, require_simplex
from training.mixture_reuse import MixtureReuse, coordinates
from training.run_region import MARGIN, RunRegion


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """Tokens there are, and how far they may be stretched."""

    tokens: Mapping[str, float]
    """Unique tokens of every training domain, >= 0."""
    budget_tokens: float
    """Tokens of the run, > 0."""
    max_epochs: float | None
    """Most epochs of any domain, > 0. None: no caps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """A box in the coordinates, and the way from there to shares."""

    domains: tuple[str, ...]
    """D names."""
    prior: Floats
    """Natural shares, shape (D,); 0 forbids a domain."""
    floors: Floats
    """Least shares, shape (D,)."""
    caps: Floats
    """Largest shares, shape (D,)."""
    names: tuple[str, ...]
    """V coordinates."""
    matrix: Floats
    """M, shape (D, V)."""
    low: Floats
    """Lower bounds of the coordinates, shape (V,)."""
    high: Floats
    """Upper bounds, shape (V,)."""
    region: RunRegion | None = None
    """Where the runs give evidence. None: a mixture may lie anywhere."""


def build_limits(
    domains: Sequence[str],
    prior: Mapping[str, float],
    *,
    floors: Mapping[str, float],
    availability: Availability | None = None,
    reuse: MixtureReuse | None = None,
    region: RunRegion | None = None,
) -> Limits:
    """Gather the limits.

    Args:
        domains: D names: order of the shares.
        prior: Natural share of every domain, on the simplex; 0 forbids the domain.
        floors: Least share of some domains, in [0, 1].
        availability: Caps by tokens. None: none.
        reuse: Ratios to keep. None: every domain is free.
        region: Where the mixture must lie. None: anywhere.

    Raises:
        ValueError: Names or numbers are wrong, or no mixture is left; the message names the
            constraint and, where tokens are the reason, the largest feasible budget.
    """
    domains = tuple(domains)
    require_names("prior", prior, domains)
    shares = np.array([prior[domain] for domain in domains], dtype=np.float64)
    require_simplex(shares, name="prior")
    low = _floors(domains, floors)
    high = np.where(shares > 0, _caps(domains, availability), 0.0)
    names, matrix = coordinates(domains, reuse)
    limits = Limits(
        domains=domains,
        prior=shares,
        floors=low,
        caps=high,
        names=names,
        matrix=matrix,
        low=np.array([ends.max() for ends in _per_coordinate(low, matrix)]),
        high=np.array([min(1.0, ends.min()) for ends in _per_coordinate(high, matrix)]),
        region=region,
    )
    _require_room(limits, availability)
    if region is not None:
        _require_region(limits, region, availability)
    return limits


def require_names(what: str, given: Mapping[str, float], wanted: Sequence[str]) -> None:
    """Refuse a mapping that names others than wanted, or holds what is no number.

    Raises:
        ValueError: It does.
    """
    if set(given) != set(wanted):
        raise ValueError(f"{what} names {sorted(given)}, wanted {sorted(wanted)}")
    if not all(math.isfinite(value) for value in given.values()):
        raise ValueError(f"{what} must be finite, got {dict(given)}")


def largest_budget(limits: Limits, availability: Availability) -> float:
    """Most tokens for which floors, caps and fixed ratios leave a mixture."""
    assert availability.max_epochs is not None
    tokens = np.array([availability.tokens[domain] for domain in limits.domains])
    usable = availability.max_epochs * np.where(limits.prior > 0, tokens, 0.0)
    room = np.array([ends.min() for ends in _per_coordinate(usable, limits.matrix)])
    held = limits.low > 0
    return float(min([room.sum(), *(room[held] / limits.low[held])]))


def largest_budget_where(
    feasible: Callable[[Floats], bool], limits: Limits, availability: Availability
) -> float | None:
    """Most tokens below the budget for which something holds, by bisection.

    Args:
        feasible: Whether it holds under upper bounds of the coordinates, shape (V,); as the budget
            grows these only tighten.
        limits: With the coordinates.
        availability: With limited epochs.

    Returns:
        None: Not even for a millionth of the budget.
    """
    epochs = availability.max_epochs
    assert epochs is not None
    tokens = np.array([availability.tokens[domain] for domain in limits.domains])

    def holds(budget: float) -> bool:
        caps = np.where(limits.prior > 0, np.minimum(1.0, epochs * tokens / budget), 0.0)
        return feasible(
            np.array([min(1.0, ends.min()) for ends in _per_coordinate(caps, limits.matrix)])
        )

    high = availability.budget_tokens
    low = high * 1e-6
    if not holds(low):
        return None
    while high / low > 1 + 1e-4:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _require_region(limits: Limits, region: RunRegion, availability: Availability | None) -> None:
    """Refuse floors, caps and ratios that keep every mixture away from the runs."""
    if region.weights.shape[1] != len(limits.domains):
        raise ValueError(
            f"runs with {region.weights.shape[1]} domains for {len(limits.domains)} domains"
        )
    distance, point = region.nearest(limits.matrix, limits.low, limits.high)
    reach = region.aim - MARGIN / 2  # strictly inside, or the solvers have no room
    if distance <= reach:
        return
    listed = ", ".join(f"{d} {p:.4f}" for d, p in zip(limits.domains, point, strict=True))
    message = (
        f"within_runs = {region.limit:g}: within floors and caps every mixture lies at least "
        f"{distance:.4g} from the hull of the runs (total variation), the nearest is {listed}"
    )
    advice = "raise within_runs, lower a floor or add runs there"
    if availability is not None and availability.max_epochs is not None:

        def near(high: Floats) -> bool:
            if (high < limits.low).any() or high.sum() < 1:
                return False
            return region.nearest(limits.matrix, limits.low, high)[0] <= reach

        largest = largest_budget_where(near, limits, availability)
        if largest is not None:
            advice = (
                f"with {availability.max_epochs:g} epochs the largest feasible budget is "
                f"{largest:.6g} tokens, got {availability.budget_tokens:g}: lower it, or {advice}"
            )
    raise ValueError(f"{message}; {advice}")


def _per_coordinate(values: Floats, matrix: Floats) -> list[Floats]:
    """For each coordinate what each of its domains allows it."""
    return [values[column > 0] / column[column > 0] for column in matrix.T]


def _floors(domains: Sequence[str], floors: Mapping[str, float]) -> Floats:
    unknown = sorted(set(floors) - set(domains))
    if unknown:
        raise ValueError(f"floors name unknown domains {unknown}: choose among {sorted(domains)}")
    low = np.array([floors.get(domain, 0.0) for domain in domains], dtype=np.float64)
    if not ((low >= 0) & (low <= 1)).all():
        raise ValueError(f"floors must lie in [0, 1], got {dict(floors)}")
    return low


def _caps(domains: Sequence[str], availability: Availability | None) -> Floats:
    if availability is None:
        return np.ones(len(domains))
    require_names("available_tokens", availability.tokens, domains)
    tokens = np.array([availability.tokens[domain] for domain in domains], dtype=np.float64)
    if (tokens < 0).any():
        raise ValueError(f"available_tokens must be >= 0, got {dict(availability.tokens)}")
    budget = availability.budget_tokens
    if not (math.isfinite(budget) and budget > 0):
        raise ValueError(f"budget_tokens must be positive and finite, got {budget}")
    if availability.max_epochs is None:
        return np.ones(len(domains))
    caps: Floats = np.minimum(1.0, availability.max_epochs * tokens / budget)
    return caps


def _require_room(limits: Limits, availability: Availability | None) -> None:
    at = list(zip(limits.domains, limits.floors, limits.caps, strict=True))
    advice = ""
    if availability is not None and availability.max_epochs is not None:
        advice = (
            f"; with {availability.max_epochs:g} epochs the largest feasible budget is "
            f"{largest_budget(limits, availability):g} tokens, got {availability.budget_tokens:g}"
        )
    lost = [
        d
        for d, floor, row in zip(limits.domains, limits.floors, limits.matrix, strict=True)
        if floor > 0 and not row.any()
    ]
    if lost:
        raise ValueError(f"floors of {lost}, which the reused mixture leaves out: name as changed")
    for domain, floor, cap in at:
        if floor > cap + 1e-12:
            raise ValueError(
                f"floor {floor:g} of {domain} is above its cap {cap:g}: lower it{advice}"
            )
    if limits.floors.sum() > 1 + 1e-9:
        named = [domain for domain, floor, _ in at if floor > 0]
        raise ValueError(f"floors sum to {limits.floors.sum():.4f} > 1: lower {named}")
    for name, low, high in zip(limits.names, limits.low, limits.high, strict=True):
        if low > high + 1e-12:
            raise ValueError(
                f"fixed ratios of {name}: a floor asks for a share of {low:.4g}, a cap allows "
                f"{high:.4g}{advice}"
            )
    if limits.high.sum() < 1 - 1e-9:
        listed = ", ".join(
            f"{name} {high:.4f}" for name, high in zip(limits.names, limits.high, strict=True)
        )
        raise ValueError(
            f"caps on the shares sum to {limits.high.sum():.4f} < 1 ({listed}): no mixture is "
            f"left{advice}; lower the budget, allow more epochs or add data"
        )
    if limits.low.sum() > 1 + 1e-9:
        raise ValueError(
            f"floors and fixed ratios together ask for {limits.low.sum():.4f} > 1: lower a floor"
        )
