"""A proposed mixture, what it was asked for, and what is known of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.law_evidence import Interval
from training.proposal_objective import Risk

Solver = Literal["certified", "candidates"]


@config_dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class ProposalConfig:
    """What to minimise and within which limits."""

    kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """Price of leaving the prior, nats of loss per nat of divergence. 0: none."""
    max_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 4.0
    """Most epochs of any domain. None: no caps."""
    min_token_worth: Annotated[float, Field(gt=0, le=1)] | None = None
    """Least worth of the last token drawn from a domain, in fresh tokens, by data-constrained
    scaling; a cap on its epochs beside `max_epochs` (0.82: 4 epochs). None: none."""
    objective: dict[str, float] | None = None
    """Weight of each evaluation domain, >= 0, any sum > 0. None: all equal."""
    floors: dict[str, float] = Field(default_factory=dict)
    """Least share of a domain, in [0, 1]. A domain not named: 0."""
    do_no_harm: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    """Evaluation domain -> nats by which its loss may exceed that of the prior. Not named: any."""
    within_runs: Annotated[float, Field(ge=0, le=1)] | None = None
    """Largest total variation distance of the mixture from the convex hull of the runs, as the
    gate of a plan measures it; 0: a blend of the runs. None: anywhere."""
    risk: Risk = "mean"
    """What is minimised: the law's figure, or the mean of its worst or best refits."""
    risk_tail: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the refits behind an upper or lower bound."""
    solver: Solver = "certified"
    """How; `candidates` is for what is not convex and proves nothing."""
    num_candidates: Annotated[int, Field(ge=100)] = 20_000
    """First draws of the candidate search; the refits get a tenth."""
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
    """Weighted mean of the losses at the proposal, with the cost of repetition."""
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
    gap_nats: float | None
    """Certificate: the objective exceeds its minimum by no more than this. None: not proven."""
    num_refits: int
    """Refits behind the intervals."""
    solver: Solver = "certified"
    """What found it."""
    risk: Risk = "mean"
    """Which figure was minimised."""
    change_nats: Mapping[str, Interval] = field(default_factory=dict)
    """Loss of each evaluation domain at the proposal minus at the prior; negative: better."""
    repetition_nats: float = 0.0
    """Cost of repetition at the proposal; 0 where it is not priced."""
    num_infeasible_refits: int = 0
    """Refits whose own losses leave no mixture that does no harm; not in `num_refits`."""
    held_by_runs: bool = False
    """Whether it lies at the edge of the region of the runs that it was limited to."""

    def mixture(self) -> dict[str, float]:
        """Share of each domain."""
        return {domain: share.value for domain, share in self.weights.items()}

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        return asdict(self)
