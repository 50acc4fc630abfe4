"""Solve a proposal: to a certified minimum where all is convex, else by candidates.

Losses that must not rise (do no harm) are constraints L_n(p) - L_n(q) - tolerance_n <= 0 with a
slack of 1e-5 nats, or the prior alone would satisfy a tolerance of 0 and a barrier method would
have no room. Where they cannot hold, the largest budget for which they could is found by bisection:
caps only tighten as the budget grows.
"""

from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Floats
from training.candidate_search import search_candidates
from training.mixture_reuse import pull_back
from training.proposal import ProposalConfig
from training.proposal_limits import Availability, Limits
from training.proposal_objective import Objective, weighted_loss
from training.simplex_minimiser import ConvexFunction, InfeasibleError, minimise_on_simplex

HARM_SLACK_NATS = 1e-5


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
    matrix = limits.matrix
    found = minimise_on_simplex(
        pull_back(objective.convex(), matrix),
        limits.low,
        limits.high,
        constraints=[pull_back(one, matrix) for one in _harms(objective, config)],
    )
    return Solution(point=matrix @ found.point, gap=found.gap)


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
    found = search_candidates(
        values,
        limits.low,
        limits.high,
        centre=centre / centre.sum(),
        num_candidates=num_candidates,
    )
    point = limits.matrix @ found.point
    if not np.isfinite(found.value):
        change = objective.laws.predict(point[None])[0] - before - allowed
        raise InfeasibleError(point, change[np.isfinite(allowed)])
    return Solution(point=point, gap=None)


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
    message = (
        f"do_no_harm: within floors and caps {proof} keeps every protected loss within its "
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
    """By bisection: caps only tighten as the budget grows. None: none down to a millionth."""
    tokens = np.array([availability.tokens[domain] for domain in limits.domains])
    epochs = availability.max_epochs
    assert epochs is not None

    def feasible(budget: float) -> bool:
        caps = np.minimum(1.0, epochs * tokens / budget)
        caps[limits.prior == 0] = 0.0
        high = [(caps[c > 0] / c[c > 0]).min() for c in limits.matrix.T]
        constraints = [pull_back(one, limits.matrix) for one in _harms(objective, config)]
        flat = pull_back(weighted_loss(objective.laws, objective.importance), limits.matrix)
        try:
            minimise_on_simplex(
                flat,
                limits.low,
                np.minimum(1.0, high),
                constraints=constraints,
                tolerance=np.inf,
            )
        except ValueError:  # of which InfeasibleError is one
            return False
        return True

    high = availability.budget_tokens
    low = high * 1e-6
    if not feasible(low):
        return None
    while high / low > 1 + 1e-4:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if feasible(middle) else (low, middle)
    return low
