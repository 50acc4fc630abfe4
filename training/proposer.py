"""Propose a mixture: minimise the laws within what the data allow.

    minimise  F(p) = sum_n w_n L_n(p) + repetition(p) + kl * KL(p || q)
    subject to  floor_j <= p_j <= min(1, epochs * n_j / budget),  sum(p) = 1,
                fixed ratios of reused domains,  L_n(p) <= L_n(q) + tolerance_n  (do no harm),
                TV(p, hull of the runs) <= distance  (within the evidence)

q is the prior (natural shares), n_j available tokens; w sums to 1 and is uniform over evaluation
domains unless given. KL(p || q) = sum p log(p / q) in nats. The first term is the law's own figure
or a bound over its refits (`risk`).

Solver `certified`: where the laws and the bound are convex the minimum is global, with a
certificate. Laws that are not convex are refused; for them there is the solver `candidates`, a
seeded search that proves nothing, and the proposal says which of the two it comes from.

Source: the exact proposer of Olmix, arXiv:2602.12237 (kl = 0.05, max_epochs = 4). Deviations:
weights of the objective are always normalised, or a raw list would silently weaken kl; a domain
with prior 0 is *forbidden* (share 0), where flooring q only taxes it; caps that sum to less than 1
are an error that says which budget is feasible; do no harm, bounds, repetition and the hull of the
runs are additions.

Uncertainty comes from laws refitted on resampled runs. Each refit b proposes its own p_b by its own
figure: the spread of p_b is the interval of the weights. A chosen minimum flatters itself, so the
gain over the prior is not taken from the law that chose: what a refit promises for its own p_b
minus what the full law grants p_b is a draw of the optimism, and

    interval of the gain = gain - quantiles of the optimism        (basic bootstrap)

Where that contains 0 the proposal is not significant. The interval covers the parameters of the
law, not the step from proxies to the target. Shapes: D domains, E evaluation domains, R refits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import rel_entr

from training.arrays import Floats
from training.fitted_laws import FittedLaws
from training.law_evidence import Interval
from training.mixture_reuse import MixtureReuse
from training.proposal import Proposal, ProposalConfig
from training.proposal_limits import Availability, Limits, build_limits, require_names
from training.proposal_objective import Objective
from training.proposal_solver import Solution, harm_message, solve_proposal
from training.repetition_cost import RepetitionCost
from training.run_region import RunRegion
from training.scaling_laws.chinchilla import ChinchillaLaw
from training.scaling_laws.data_constrained import epochs_until_worth
from training.simplex_minimiser import InfeasibleError

ACTIVE = 1e-5
MIN_REFITS = 20


def propose(
    laws: FittedLaws,
    prior: Mapping[str, float],
    *,
    refits: Sequence[FittedLaws],
    config: ProposalConfig | None = None,
    available_tokens: Mapping[str, float] | None = None,
    budget_tokens: float | None = None,
    reuse: MixtureReuse | None = None,
    scaling: ChinchillaLaw | None = None,
    run_weights: Floats | None = None,
) -> Proposal:
    """Find the best mixture and how sure it is.

    Args:
        laws: Fitted on all runs.
        prior: Natural share of every training domain, on the simplex; 0 forbids the domain.
        refits: From `bootstrap_laws` on the same table, at least 20.
        config: None: the defaults.
        available_tokens: Of every training domain; needed where epochs are limited or priced.
        budget_tokens: Tokens of the run that will train on the mixture; likewise.
        reuse: Ratios of an earlier mixture to keep. None: every domain is free.
        scaling: Prices worthless repeats by its tokens term. None: they cost nothing.
        run_weights: Mixtures of the runs, shape (N, D), in the order of the laws' domains; needed
            where `within_runs` is set.

    Raises:
        ValueError: Names differ, a number is out of range, the laws are not convex for the
            certified solver, or the limits leave no mixture: the message names the constraint and
            the largest feasible budget.
        MinimiserError: The minimum could not be certified.
    """
    config = config or ProposalConfig()
    _require_laws(laws, refits, config)
    availability = availability_of(config, available_tokens, budget_tokens, priced=bool(scaling))
    limits = build_limits(
        laws.domains,
        prior,
        floors=config.floors,
        availability=availability,
        reuse=reuse,
        region=region_of(config, run_weights),
    )
    objective = Objective(
        laws=laws,
        importance=objective_weights(laws, config),
        prior=limits.prior,
        kl=config.kl,
        repetition=_repetition(laws, availability, scaling),
        risk=config.risk,
        tail=config.risk_tail,
        refits=refits,
    )
    try:
        best = solve_proposal(objective, limits, config, num_candidates=config.num_candidates)
    except InfeasibleError as error:
        raise ValueError(harm_message(error, objective, limits, config, availability)) from error
    return _proposal(objective, limits, config, best=best)


def _require_laws(laws: FittedLaws, refits: Sequence[FittedLaws], config: ProposalConfig) -> None:
    if len(refits) < MIN_REFITS:
        raise ValueError(f"intervals need at least {MIN_REFITS} refits, got {len(refits)}")
    if any((r.domains, r.eval_domains) != (laws.domains, laws.eval_domains) for r in refits):
        raise ValueError("laws and refits must share domains and eval_domains, in one order")
    if config.solver == "certified" and not laws.is_convex:
        raise ValueError(
            f"the law {laws.method} is not convex, so no optimum can be proven: choose the solver "
            "'candidates', a search that proves nothing, or a convex law"
        )
    unknown = sorted(set(config.do_no_harm) - set(laws.eval_domains))
    if unknown:
        raise ValueError(
            f"do_no_harm names unknown evaluation domains {unknown}: choose among "
            f"{sorted(laws.eval_domains)}"
        )


def region_of(config: ProposalConfig, run_weights: Floats | None) -> RunRegion | None:
    """The region that a configuration limits mixtures to. None: they may lie anywhere.

    Raises:
        ValueError: The region is limited and the runs are not given, or are no mixtures.
    """
    if config.within_runs is None:
        return None
    if run_weights is None:
        raise ValueError(f"within_runs = {config.within_runs:g} needs the mixtures of the runs")
    return RunRegion(weights=run_weights, limit=config.within_runs)


def availability_of(
    config: ProposalConfig,
    available_tokens: Mapping[str, float] | None,
    budget_tokens: float | None,
    *,
    priced: bool = False,
) -> Availability | None:
    """Tokens and most epochs that a configuration asks for. None: neither caps nor prices.

    Args:
        config: With the limits on epochs.
        available_tokens: Unique tokens of each domain.
        budget_tokens: Tokens of the run.
        priced: Whether worthless repeats have a price.

    Raises:
        ValueError: Epochs are limited or priced and the tokens are not given.
    """
    epochs = config.max_epochs
    if config.min_token_worth is not None:
        worth = epochs_until_worth(config.min_token_worth)
        epochs = worth if epochs is None else min(epochs, worth)
    if epochs is None and not priced:
        return None
    if available_tokens is None or budget_tokens is None:
        raise ValueError(
            f"max_epochs = {config.max_epochs}, min_token_worth and the price of repetition need "
            "available_tokens and budget_tokens; set max_epochs to None to propose without caps"
        )
    return Availability(tokens=available_tokens, budget_tokens=budget_tokens, max_epochs=epochs)


def _repetition(
    laws: FittedLaws, availability: Availability | None, scaling: ChinchillaLaw | None
) -> RepetitionCost | None:
    if scaling is None or availability is None:
        return None
    return RepetitionCost(
        available_tokens=np.array([availability.tokens[domain] for domain in laws.domains]),
        budget_tokens=availability.budget_tokens,
        coefficient=scaling.B,
        exponent=scaling.beta,
    )


def objective_weights(laws: FittedLaws, config: ProposalConfig) -> Floats:
    """Weight of each evaluation domain, shape (E,), sum 1.

    Raises:
        ValueError: The configuration names others, or its weights are negative or all 0.
    """
    if config.objective is None:
        return np.full(len(laws.eval_domains), 1 / len(laws.eval_domains))
    require_names("objective", config.objective, laws.eval_domains)
    raw = np.array([config.objective[name] for name in laws.eval_domains], dtype=np.float64)
    if (raw < 0).any() or raw.sum() <= 0:
        raise ValueError(f"objective needs weights >= 0 with a sum > 0, got {config.objective}")
    normalised: Floats = raw / raw.sum()
    return normalised


def _rivals(
    objective: Objective, limits: Limits, config: ProposalConfig
) -> tuple[list[FittedLaws], Floats]:
    """What each refit proposes by its own figure; refits without any mixture are left out."""
    kept, points = [], []
    for refit in objective.refits:
        own = replace(objective, laws=refit, risk="mean", refits=())
        try:
            found = solve_proposal(
                own, limits, config, num_candidates=max(100, config.num_candidates // 10)
            )
        except InfeasibleError:
            continue
        kept.append(refit)
        points.append(found.point)
    if len(kept) < MIN_REFITS:
        raise ValueError(
            f"do_no_harm leaves a mixture in only {len(kept)} of {len(objective.refits)} refits: "
            "the runs do not support so strict a limit; raise the tolerance"
        )
    return kept, np.array(points)


def _proposal(
    objective: Objective, limits: Limits, config: ProposalConfig, *, best: Solution
) -> Proposal:
    laws, point, prior = objective.laws, best.point, limits.prior
    refits, rivals = _rivals(objective, limits, config)
    pair = np.vstack([point, prior])

    def gains(law: FittedLaws, mixtures: Floats) -> Floats:
        losses = replace(objective, laws=law).losses(np.vstack([mixtures, prior]))
        won: Floats = losses[-1] - losses[:-1]
        return won

    own = np.array([
        gains(refit, rival[None])[0] for refit, rival in zip(refits, rivals, strict=True)
    ])  # fmt: skip
    promised = float(gains(laws, point[None])[0])
    tails = [(1 - config.level) / 2, (1 + config.level) / 2]
    low, high = (promised - float(q) for q in np.quantile(own - gains(laws, rivals), tails[::-1]))
    losses = laws.predict(pair)
    samples = np.array([refit.predict(pair) for refit in refits])
    totals = np.array([[replace(objective, laws=law).losses(pair)[0]] for law in (laws, *refits)])

    def intervals(values: Floats, drawn: Floats) -> list[Interval]:
        lows, highs = np.quantile(drawn, tails, axis=0)
        triples = zip(values.tolist(), lows.tolist(), highs.tolist(), strict=True)
        return [Interval(value=value, low=low, high=high) for value, low, high in triples]

    change = intervals(losses[0] - losses[1], samples[:, 0] - samples[:, 1])
    at = dict(zip(laws.domains, zip(point, limits.floors, limits.caps, strict=True), strict=True))
    cost, region = objective.repetition, limits.region
    return Proposal(
        weights=dict(zip(laws.domains, intervals(point, rivals), strict=True)),
        predicted_nats=dict(
            zip(laws.eval_domains, intervals(losses[0], samples[:, 0]), strict=True)
        ),
        objective_nats=intervals(totals[0], totals[1:])[0],
        prior_objective_nats=float(objective.losses(prior[None])[0]),
        gain_nats=Interval(value=promised, low=low, high=high),
        significant=low > 0,
        divergence_nats=float(rel_entr(point[prior > 0], prior[prior > 0]).sum()),
        active_caps=tuple(d for d, (p, _, cap) in at.items() if 0 < cap < 1 and cap - p < ACTIVE),
        active_floors=tuple(
            d for d, (p, floor, _) in at.items() if floor > 0 and p - floor < ACTIVE
        ),
        gap_nats=best.gap,
        num_refits=len(refits),
        solver=config.solver,
        risk=config.risk,
        change_nats=dict(zip(laws.eval_domains, change, strict=True)),
        repetition_nats=0.0 if cost is None else float(cost.values(point[None])[0]),
        num_infeasible_refits=len(objective.refits) - len(refits),
        held_by_runs=region is not None and region.touches(point),
    )
