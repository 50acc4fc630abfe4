"""Propose a mixture: minimise the laws within what the data allow.

    minimise  sum_n w_n L_n(p) + kl * KL(p || q)
    subject to  sum(p) = 1,  floor_j <= p_j <= min(1, max_epochs * n_j / budget)

q is the prior (natural shares), n_j available tokens; w sums to 1 and is uniform over evaluation
domains unless given. Every L_n is convex, so the minimum is global, and it is certified.
KL(p || q) = sum p log(p / q) in nats.

Source: the exact proposer of Olmix, arXiv:2602.12237 (kl = 0.05, max_epochs = 4). Deviations:
weights of the objective are always normalised, or a raw list would silently weaken kl; a domain
with prior 0 is *forbidden* (share 0), where flooring q only taxes it; caps that sum to less than 1
are an error that says which budget is feasible.

Uncertainty comes from laws refitted on resampled runs. Each refit b proposes its own p_b: the
spread of p_b is the interval of the weights. A chosen minimum flatters itself, so the gain over the
prior is not taken from the law that chose: what a refit promises for its own p_b minus what the
full law grants p_b is a draw of the optimism, and

    interval of the gain = gain - quantiles of the optimism        (basic bootstrap)

Where that contains 0 the proposal is not significant. The interval covers the parameters of the
law, not the step from proxies to the target. Shapes: D domains, E evaluation domains, R refits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as config_dataclass
from scipy.special import rel_entr

from training.arrays import Floats, require_simplex
from training.epoching import availability_caps
from training.fitted_laws import FittedLaws
from training.law_evidence import Interval
from training.simplex_minimiser import ConvexFunction, Minimum, minimise_on_simplex

ACTIVE = 1e-5


@config_dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class ProposalConfig:
    """What to minimise and within which limits."""

    kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """Price of leaving the prior, nats of loss per nat of divergence. 0: none."""
    max_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 4.0
    """Most epochs of any domain. None: no caps."""
    objective: dict[str, float] | None = None
    """Weight of each evaluation domain, >= 0, any sum > 0. None: all equal."""
    floors: dict[str, float] = Field(default_factory=dict)
    """Least share of a domain, in [0, 1]. A domain not named: 0."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the refits inside an interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A mixture and what is known of it."""

    weights: Mapping[str, Interval]
    """Share of each domain; the values sum to 1."""
    predicted_nats: Mapping[str, Interval]
    """Loss of each evaluation domain at the proposal."""
    objective_nats: Interval
    """Weighted mean of the losses at the proposal."""
    prior_objective_nats: float
    """The same at the prior."""
    gain_nats: Interval
    """Prior minus proposal; positive: the proposal is better. `value` is the law's own figure."""
    significant: bool
    """Whether the interval of the gain lies above 0."""
    divergence_nats: float
    """KL(proposal || prior)."""
    active_caps: tuple[str, ...]
    """Domains held down by their availability."""
    active_floors: tuple[str, ...]
    """Domains held up by their floor."""
    gap_nats: float
    """Certificate: the penalised objective exceeds its minimum by no more than this."""
    num_refits: int
    """Refits behind the intervals."""

    def mixture(self) -> dict[str, float]:
        """Share of each domain."""
        return {domain: share.value for domain, share in self.weights.items()}

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Problem:
    """The limits and the penalty, in the order of the laws' domains."""

    prior: Floats
    low: Floats
    high: Floats
    importance: Floats
    kl: float


def propose(
    laws: FittedLaws,
    prior: Mapping[str, float],
    *,
    refits: Sequence[FittedLaws],
    config: ProposalConfig | None = None,
    available_tokens: Mapping[str, float] | None = None,
    budget_tokens: float | None = None,
) -> Proposal:
    """Find the best mixture and how sure it is.

    Args:
        laws: Fitted on all runs.
        prior: Natural share of every training domain, on the simplex; 0 forbids the domain.
        refits: From `bootstrap_laws` on the same table, at least 20.
        config: None: the defaults.
        available_tokens: Of every training domain; needed where `max_epochs` is set.
        budget_tokens: Tokens of the run that will train on the mixture; likewise.

    Raises:
        ValueError: The laws are not convex, names differ, a number is out of range, or floors and
            caps leave no mixture; for caps that sum to less than 1 it names them and the largest
            feasible budget.
        MinimiserError: The minimum could not be certified.
    """
    config = config or ProposalConfig()
    if len(refits) < 20:
        raise ValueError(f"intervals need at least 20 refits, got {len(refits)}")
    if any((r.domains, r.eval_domains) != (laws.domains, laws.eval_domains) for r in refits):
        raise ValueError("laws and refits must share domains and eval_domains, in one order")
    problem = _problem(laws, prior, config, available_tokens, budget_tokens)
    best = _minimise(laws, problem)
    rivals = np.array([_minimise(refit, problem).point for refit in refits])
    return _proposal(laws, refits, problem, best=best, rivals=rivals, config=config)


def _problem(
    laws: FittedLaws,
    prior: Mapping[str, float],
    config: ProposalConfig,
    available_tokens: Mapping[str, float] | None,
    budget_tokens: float | None,
) -> _Problem:
    _require_names("prior", prior, laws.domains)
    shares = np.array([prior[domain] for domain in laws.domains], dtype=np.float64)
    require_simplex(shares, name="prior")
    low = _floors(laws.domains, config)
    high = _caps(laws.domains, shares, config, available_tokens, budget_tokens)
    for domain, floor, cap in zip(laws.domains, low, high, strict=True):
        if floor > cap:
            raise ValueError(f"floor {floor:g} of {domain} is above its cap {cap:g}: lower it")
    if low.sum() > 1 + 1e-9:
        raise ValueError(f"floors sum to {low.sum():.4f} > 1: lower {sorted(config.floors)}")
    return _Problem(
        prior=shares, low=low, high=high, importance=_importance(laws, config), kl=config.kl
    )


def _floors(domains: Sequence[str], config: ProposalConfig) -> Floats:
    unknown = sorted(set(config.floors) - set(domains))
    if unknown:
        raise ValueError(f"floors name unknown domains {unknown}: choose among {sorted(domains)}")
    low = np.array([config.floors.get(domain, 0.0) for domain in domains], dtype=np.float64)
    if not ((low >= 0) & (low <= 1)).all():
        raise ValueError(f"floors must lie in [0, 1], got {config.floors}")
    return low


def _caps(
    domains: Sequence[str],
    prior: Floats,
    config: ProposalConfig,
    available_tokens: Mapping[str, float] | None,
    budget_tokens: float | None,
) -> Floats:
    """Upper bounds; a forbidden domain has 0 and its tokens count for nothing."""
    allowed = [domain for domain, share in zip(domains, prior, strict=True) if share > 0]
    caps = dict.fromkeys(allowed, 1.0)
    if config.max_epochs is not None:
        if available_tokens is None or budget_tokens is None:
            raise ValueError(
                f"max_epochs = {config.max_epochs} needs available_tokens and budget_tokens; "
                "set max_epochs to None to propose without caps"
            )
        _require_names("available_tokens", available_tokens, domains)
        caps = availability_caps(
            {domain: available_tokens[domain] for domain in allowed},
            budget_tokens=budget_tokens,
            max_epochs=config.max_epochs,
        )
    return np.array([caps.get(domain, 0.0) for domain in domains])


def _importance(laws: FittedLaws, config: ProposalConfig) -> Floats:
    if config.objective is None:
        return np.full(len(laws.eval_domains), 1 / len(laws.eval_domains))
    _require_names("objective", config.objective, laws.eval_domains)
    raw = np.array([config.objective[name] for name in laws.eval_domains], dtype=np.float64)
    if not np.isfinite(raw).all() or (raw < 0).any() or raw.sum() <= 0:
        raise ValueError(f"objective needs weights >= 0 with a sum > 0, got {config.objective}")
    normalised: Floats = raw / raw.sum()
    return normalised


def _require_names(what: str, given: Mapping[str, float], wanted: Sequence[str]) -> None:
    if set(given) != set(wanted):
        raise ValueError(f"{what} names {sorted(given)}, wanted {sorted(wanted)}")
    if not all(math.isfinite(value) for value in given.values()):
        raise ValueError(f"{what} must be finite, got {dict(given)}")


def _minimise(laws: FittedLaws, problem: _Problem) -> Minimum:
    parts = list(zip(problem.importance, laws.convex_laws(), strict=True))
    allowed = problem.prior > 0
    safe_prior = np.where(allowed, problem.prior, 1.0)

    def value(p: Floats) -> float:
        loss = _objective(laws, problem.importance, p)
        return loss + problem.kl * float(rel_entr(p[allowed], problem.prior[allowed]).sum())

    def gradient(p: Floats) -> Floats:
        slope = sum((w * law.gradient(p) for w, law in parts), np.zeros_like(p))
        log_ratio = np.log(np.maximum(p, 1e-300) / safe_prior) + 1
        return slope + problem.kl * np.where(allowed, log_ratio, 0.0)

    def hessian(p: Floats) -> Floats:
        bend = sum((w * law.hessian(p) for w, law in parts), np.zeros((len(p), len(p))))
        return bend + problem.kl * np.diag(np.where(allowed, 1 / np.maximum(p, 1e-300), 0.0))

    function = ConvexFunction(value=value, gradient=gradient, hessian=hessian)
    return minimise_on_simplex(function, problem.low, problem.high)


def _objective(laws: FittedLaws, importance: Floats, mixture: Floats) -> float:
    return float(laws.predict(mixture[None])[0] @ importance)


def _proposal(
    laws: FittedLaws,
    refits: Sequence[FittedLaws],
    problem: _Problem,
    *,
    best: Minimum,
    rivals: Floats,
    config: ProposalConfig,
) -> Proposal:
    point, prior = best.point, problem.prior
    tails = [(1 - config.level) / 2, (1 + config.level) / 2]

    def gain(law: FittedLaws, mixture: Floats) -> float:
        at_prior = _objective(law, problem.importance, prior)
        return at_prior - _objective(law, problem.importance, mixture)

    def intervals(values: Floats, samples: Floats) -> list[Interval]:
        lows, highs = np.quantile(samples, tails, axis=0)
        triples = zip(values.tolist(), lows.tolist(), highs.tolist(), strict=True)
        return [Interval(value=value, low=low, high=high) for value, low, high in triples]

    losses = laws.predict(point[None])[0]
    samples = np.array([refit.predict(point[None])[0] for refit in refits])
    objective = np.array([losses @ problem.importance])
    optimism = [
        gain(refit, rival) - gain(laws, rival) for refit, rival in zip(refits, rivals, strict=True)
    ]
    promised = gain(laws, point)
    low, high = (promised - float(q) for q in np.quantile(optimism, tails[::-1]))
    at = dict(zip(laws.domains, zip(point, problem.low, problem.high, strict=True), strict=True))
    return Proposal(
        weights=dict(zip(laws.domains, intervals(point, rivals), strict=True)),
        predicted_nats=dict(zip(laws.eval_domains, intervals(losses, samples), strict=True)),
        objective_nats=intervals(objective, (samples @ problem.importance)[:, None])[0],
        prior_objective_nats=_objective(laws, problem.importance, prior),
        gain_nats=Interval(value=promised, low=low, high=high),
        significant=low > 0,
        divergence_nats=float(rel_entr(point[prior > 0], prior[prior > 0]).sum()),
        active_caps=tuple(d for d, (p, _, cap) in at.items() if 0 < cap < 1 and cap - p < ACTIVE),
        active_floors=tuple(
            d for d, (p, floor, _) in at.items() if floor > 0 and p - floor < ACTIVE
        ),
        gap_nats=best.gap,
        num_refits=len(refits),
    )
