"""How many runs until the interval of the best mixture is narrow enough.

First an estimate from the law at hand: the spread of an optimum falls with the root of the runs, so

    K' = K (width now / width wanted)^2,     at least 3 (D + 1)   (size rule)

Then, where wanted, a simulation of a swarm of that size: the fitted law is taken for the truth,
its residuals for the noise (normal, of each evaluation domain by itself), and the optimum is found
for many draws of the noise. The root rule fails where a weight sits at a bound or the form of the
law is wrong; the simulation shows the first, nothing here shows the second.
Shapes: K runs, D domains, E evaluation domains, S simulated swarms.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Floats
from training.fitted_laws import FittedLaws, fit_laws
from training.law_evidence import Interval
from training.proposal import ProposalConfig
from training.proposal_limits import Limits
from training.proposal_objective import Objective
from training.proposal_solver import solve_proposal
from training.run_table import RunTable
from training.swarm import SwarmConfig, design_swarm


@dataclass(frozen=True, kw_only=True, slots=True)
class RunsForWidth:
    """An estimate of the size of a swarm."""

    wanted_width: float
    """Share points between the ends of the widest interval."""
    num_runs: int
    """Runs behind the law."""
    width: float
    """Widest interval of a weight with them."""
    domain: str
    """Whose it is."""
    needed_runs: int
    """By the root rule and the size rule."""
    simulated_width: float | None = None
    """Widest interval over simulated swarms of `needed_runs`. None: not simulated."""


def runs_for_width(
    weights: Mapping[str, Interval], *, num_runs: int, wanted_width: float
) -> RunsForWidth:
    """Estimate by the root rule.

    Args:
        weights: Proposed share of each domain with its interval.
        num_runs: K, runs behind the law, >= 1.
        wanted_width: Of the widest interval, in (0, 1).

    Raises:
        ValueError: A number is out of range.
    """
    if not 0 < wanted_width < 1 or num_runs < 1:
        raise ValueError(f"a width must lie in (0, 1), runs be >= 1: {wanted_width}, {num_runs}")
    domain = max(weights, key=lambda name: weights[name].high - weights[name].low)
    width = weights[domain].high - weights[domain].low
    by_root = math.ceil(num_runs * (width / wanted_width) ** 2)
    return RunsForWidth(
        wanted_width=wanted_width,
        num_runs=num_runs,
        width=width,
        domain=domain,
        needed_runs=max(by_root, 3 * (len(weights) + 1)),
    )


def residual_noise(laws: FittedLaws, table: RunTable) -> Floats:
    """Standard deviation of the residuals of each evaluation domain, nats, shape (E,).

    Raises:
        ValueError: The runs are not more than D + 1.
    """
    num_runs, num_domains = table.weights.shape
    spare = num_runs - num_domains - 1
    if spare < 1:
        raise ValueError(f"noise of {num_domains} domains needs more runs than {num_runs}")
    residuals = laws.predict(table.weights) - table.losses
    noise: Floats = np.sqrt((residuals**2).sum(axis=0) / spare)
    return noise


def simulate_width(
    truth: FittedLaws,
    noise: Floats,
    limits: Limits,
    *,
    importance: Floats,
    config: ProposalConfig,
    num_runs: int,
    num_swarms: int = 40,
    swarm: SwarmConfig | None = None,
    seed: int = 0,
) -> float:
    """Width of the widest interval of the optimum over simulated swarms, in share points.

    Args:
        truth: Laws that make the losses.
        noise: Standard deviation for each evaluation domain, nats, shape (E,).
        limits: Of the proposal; its prior, all > 0, is the natural mixture of the swarm.
        importance: Weight of each evaluation domain, shape (E,), sum 1.
        config: Of the proposal; the mean is minimised whatever its risk.
        num_runs: K.
        num_swarms: S, at least 20.
        swarm: How the mixtures are drawn. None: the defaults.
        seed: Decides the noise.

    Raises:
        ValueError: Too few swarms, or the design or the fit refuses the runs.
    """
    if num_swarms < 20:
        raise ValueError(f"an interval needs at least 20 simulated swarms, got {num_swarms}")
    chosen = replace(swarm or SwarmConfig(), num_runs=num_runs)
    design = design_swarm(truth.domains, limits.prior, chosen)
    exact = truth.predict(design.weights)
    rng = np.random.default_rng(seed)
    points = []
    for _ in range(num_swarms):
        table = RunTable(
            run_ids=design.run_ids,
            domains=truth.domains,
            eval_domains=truth.eval_domains,
            weights=design.weights,
            losses=exact + rng.normal(size=exact.shape) * noise,
        )
        objective = Objective(
            laws=fit_laws(table, method=truth.method),
            importance=importance,
            prior=limits.prior,
            kl=config.kl,
        )
        found = solve_proposal(
            objective, limits, config, num_candidates=max(100, config.num_candidates // 10)
        )
        points.append(found.point)
    tails = [(1 - config.level) / 2, (1 + config.level) / 2]
    low, high = np.quantile(points, tails, axis=0)
    return float((high - low).max())
