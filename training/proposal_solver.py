"""Solve a proposal: to a certified minimum where all is convex, else by candidates.

Losses that must not rise (do no harm) are constraints L_n(p) - L_n(q) - tolerance_n <= 0 with a
slack of 1e-5 nats, or the prior alone would satisfy a tolerance of 0 and a barrier method would
have no room. Where they cannot hold, the largest budget for which they could is found by bisection:
caps only tighten as the budget grows.

A region of the runs is met by halfspaces learnt on the way: the certified minimum is repeated with
one more until it lies inside; candidates are moved inside before they are judged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Floats
from training.candidate_search import search_candidates
from training.mixture_reuse import pull_back
from training.proposal import ProposalConfig
from training.proposal_limits import Availability, Limits, largest_budget_where
from training.proposal_objective import Objective, weighted_loss
from training.simplex_minimiser import (
    ConvexFunction,
    InfeasibleError,
    MinimiserError,
    Minimum,
    minimise_on_simplex,
)

HARM_SLACK_NATS = 1e-5
GAP_NATS = 1e-6
"""Largest gap of a proposal, nats: a thousandth of what a run repeats to. Thin regions (a hull of
runs widened to its margin) leave the certificate a few digits fewer than the simplex does."""
MAX_CUTS = 500
LEARNING_SEARCHES = 50
LEARNING_DRAWS = 100
"""Of the candidate search: rounds before the real one that only learn halfspaces."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """Where the objective of one law is lowest."""

    point: Floats
    """Shares, shape (D,)."""
    gap: float | None
    """Certificate; None: not proven."""


def solve_proposal(
    objective: Objective, limits: Limits, config: ProposalConfig, *, num_candidates: int
) -> Solution:
    """Minimise the objective of one law.

    Args:
        objective: What to minimise.
        limits: Box and fixed ratios.
        config: Solver and protected losses.
        num_candidates: First draws of the solver `candidates`.

    Raises:
        InfeasibleError: No mixture within the limits (or no candidate) does no harm.
        ValueError: The objective is not convex for the certified solver.
        MinimiserError: The minimum could not be certified.
    """
    if config.solver == "candidates":
        return _search(objective, limits, config, num_candidates=num_candidates)
    found = _within(objective.convex(), limits, constraints=_harms(objective, config))
    return Solution(point=limits.matrix @ found.point, gap=found.gap)


def _within(
    function: ConvexFunction,
    limits: Limits,
    *,
    constraints: Sequence[ConvexFunction],
    tolerance: float = GAP_NATS,
) -> Minimum:
    """Minimum in coordinates of a function of the shares, within the limits and constraints."""
    matrix, region = limits.matrix, limits.region
    for _ in range(MAX_CUTS):
        found = minimise_on_simplex(
            pull_back(function, matrix),
            limits.low,
            limits.high,
            constraints=[pull_back(one, matrix) for one in constraints],
            halfspaces=None if region is None else region.halfspaces(matrix),
            tolerance=tolerance,
        )
        if region is None or region.admits(matrix @ found.point):
            return found
    raise MinimiserError(f"no minimum in the region of the runs after {MAX_CUTS} halfspaces")


def _search(
    objective: Objective, limits: Limits, config: ProposalConfig, *, num_candidates: int
) -> Solution:
    before = objective.laws.predict(limits.prior[None])[0]
    allowed = np.array([config.do_no_harm.get(n, np.inf) for n in objective.laws.eval_domains])

    def values(points: Floats) -> Floats:
        weights = points @ limits.matrix.T
        harm = objective.laws.predict(weights) - before - allowed - HARM_SLACK_NATS
        return np.where((harm > 0).any(axis=1), np.inf, objective.values(weights))

    centre = np.array([limits.prior[column > 0].sum() for column in limits.matrix.T])
    inward = _inward(limits)

    def search(draws: int) -> Floats:
        return search_candidates(
            lambda points: values(inward(points)),
            limits.low,
            limits.high,
            centre=centre / centre.sum(),
            num_candidates=draws,
        ).point[None]

    def settled(draw: Floats) -> bool:
        return limits.region is None or limits.region.admits(limits.matrix @ inward(draw)[0])

    for _ in range(LEARNING_SEARCHES):
        if settled(search(LEARNING_DRAWS)):
            break
    best = search(num_candidates)
    while not settled(best):  # Newton's method on a convex function with finitely many pieces
        pass
    found = inward(best)
    point = limits.matrix @ found[0]
    if not np.isfinite(values(found)[0]):
        change = objective.laws.predict(point[None])[0] - before - allowed
        raise InfeasibleError(point, change[np.isfinite(allowed)])
    return Solution(point=point, gap=None)


def _inward(limits: Limits) -> Callable[[Floats], Floats]:
    """What moves points (N, V) of the box into the region of the runs.

    A point outside goes straight towards a point deep inside (the analytic centre) until it meets
    the halfspaces known by then.
    """
    region, matrix = limits.region, limits.matrix
    if region is None:
        return lambda points: points
    flat = ConvexFunction(
        value=lambda p: 0.0,
        gradient=np.zeros_like,
        hessian=lambda p: np.zeros((len(p), len(p))),
    )
    middle = _within(flat, limits, constraints=()).point

    def inward(points: Floats) -> Floats:
        normals, bounds = region.halfspaces(matrix)
        before = np.minimum(middle @ normals.T - bounds, -1e-12)
        excess = np.maximum(points @ normals.T - bounds, 0.0)
        length = (before / (before - excess)).min(axis=1, initial=1.0)
        moved: Floats = middle + length[:, None] * (points - middle)
        return moved

    return inward


def _harms(objective: Objective, config: ProposalConfig) -> list[ConvexFunction]:
    """L_n(p) - L_n(q) - tolerance_n, for each protected evaluation domain."""
    laws = objective.laws
    found = []
    for name in laws.eval_domains:
        if name in config.do_no_harm:
            chosen = np.array([float(name == other) for other in laws.eval_domains])
            loss = weighted_loss(laws, chosen)
            limit = loss.value(objective.prior) + config.do_no_harm[name] + HARM_SLACK_NATS
            found.append(_below(loss, limit))
    return found


def _below(function: ConvexFunction, limit: float) -> ConvexFunction:
    return replace(function, value=lambda p: function.value(p) - limit)


def harm_message(
    error: InfeasibleError,
    objective: Objective,
    limits: Limits,
    config: ProposalConfig,
    availability: Availability | None,
) -> str:
    """What cannot hold, by how much, and which budget would do."""
    protected = [name for name in objective.laws.eval_domains if name in config.do_no_harm]
    broken = ", ".join(
        f"{name} by {excess + HARM_SLACK_NATS:.4g} nats"
        for name, excess in zip(protected, error.violations, strict=True)
        if excess > 0
    )
    proof = "no mixture" if config.solver == "certified" else "none of the candidates"
    where = "floors and caps" if limits.region is None else "floors, caps and reach of the runs"
    message = (
        f"do_no_harm: within {where} {proof} keeps every protected loss within its "
        f"tolerance; the least bad one exceeds it for {broken}"
    )
    if availability is None or availability.max_epochs is None or config.solver == "candidates":
        return f"{message}; raise the tolerance or lower a floor"
    largest = _largest_harmless_budget(objective, limits, config, availability)
    if largest is None:
        return f"{message}; no budget helps: raise the tolerance or lower a floor"
    return (
        f"{message}; with {availability.max_epochs:g} epochs the largest feasible budget is "
        f"{largest:.6g} tokens, got {availability.budget_tokens:g}: lower it, raise the tolerance "
        "or add data"
    )


def _largest_harmless_budget(
    objective: Objective, limits: Limits, config: ProposalConfig, availability: Availability
) -> float | None:
    flat = weighted_loss(objective.laws, objective.importance)
    harms = _harms(objective, config)

    def harmless(high: Floats) -> bool:
        try:
            _within(flat, replace(limits, high=high), constraints=harms, tolerance=np.inf)
        except ValueError:  # of which InfeasibleError is one
            return False
        return True

    return largest_budget_where(harmless, limits, availability)
