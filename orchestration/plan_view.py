"""What a plan says: content of plan.json, its pictures, and its table in the terminal."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from training.compute_plan import ComputePlan
    from training.energy_factors import Cost, EnergyFactors
    from training.proposal import Proposal


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMixture:
    """Weights of a plan."""

    proposal: "Proposal"
    """With its intervals."""
    prior: Mapping[str, float]
    """Natural shares."""
    gate_passed: bool
    """Of the mixing law."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanView:
    """What the command reports."""

    budget: Mapping[str, float]
    """Kind of budget -> amount."""
    plan: "ComputePlan"
    """N, D and the curve."""
    mixture: PlannedMixture | None
    """None: no mixing law was given."""
    cost: "Cost | None"
    """None: no speed was measured."""
    factors: "EnergyFactors"
    """Behind the cost."""
    tokens: Mapping[str, float] | None
    """Unique tokens by domain; None: unknown."""

    def epochs(self) -> dict[str, float] | None:
        """Passes over each domain: under the proposed weights, else over all alike."""
        if self.tokens is None:
            return None
        length = self.plan.tokens.value
        if self.mixture is None:
            return dict.fromkeys(self.tokens, length / sum(self.tokens.values()))
        shares = self.mixture.proposal.mixture()
        return {n: shares[n] * length / t if t > 0 else 0.0 for n, t in self.tokens.items()}

    def content(self) -> dict[str, object]:
        """Content of plan.json."""
        plan, mixture = self.plan, self.mixture
        factors = asdict(self.factors)
        return {
            "budget": dict(self.budget),
            "N": plan.params.value,
            "N_low": plan.params.low,
            "N_high": plan.params.high,
            "D": plan.tokens.value,
            "D_low": plan.tokens.low,
            "D_high": plan.tokens.high,
            "tokens_per_param": plan.tokens.value / plan.params.value,
            "flops": plan.flops,
            "inference_flops": plan.inference_flops,
            "loss": plan.loss.value,
            "loss_low": plan.loss.low,
            "loss_high": plan.loss.high,
            "best_N": plan.best_params,
            "penalty_nats": plan.penalty_nats.value,
            "penalty_nats_low": plan.penalty_nats.low,
            "penalty_nats_high": plan.penalty_nats.high,
            "wasted_share": plan.wasted_share,
            "beyond_runs": plan.beyond_runs,
            "isoflop": [
                {
                    "N": one.params,
                    "D": one.tokens,
                    "loss": one.loss.value,
                    "loss_low": one.loss.low,
                    "loss_high": one.loss.high,
                }
                for one in plan.curve
            ],
            "weights": None if mixture is None else mixture.proposal.mixture(),
            "epochs": self.epochs(),
            "proposal": None if mixture is None else mixture.proposal.to_json(),
            "law_gate_passed": None if mixture is None else mixture.gate_passed,
            **({} if self.cost is None else asdict(self.cost)),
            "factors": {name: factor for name, factor in factors.items() if factor is not None},
        }


def write_plan(result: PlanView, content: Mapping[str, object], out: Path) -> None:
    """Write plan.json and, beside it, the IsoFLOP curve and the weights."""
    import numpy as np

    from assets.plots import Estimate, plot_isoflop_curve, plot_plan

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    plan = result.plan
    losses = [one.loss for one in plan.curve]
    out.with_suffix(".png").write_bytes(
        plot_isoflop_curve(
            np.array([one.params for one in plan.curve]),
            np.array([one.value for one in losses]),
            low=np.array([one.low for one in losses]),
            high=np.array([one.high for one in losses]),
            chosen=(plan.params.value, plan.loss.value),
            best=(plan.best_params, plan.loss.value - plan.penalty_nats.value),
            title=f"IsoFLOP curve at {plan.flops + plan.inference_flops:.3g} FLOPs",
        )
    )
    if result.mixture is not None:
        shares = result.mixture.proposal.weights.items()
        estimates = [Estimate(name=n, value=s.value, low=s.low, high=s.high) for n, s in shares]
        weights = plot_plan(result.mixture.prior, estimates, result.epochs())
        out.with_name(f"{out.stem}_weights.png").write_bytes(weights)


def print_plan(result: PlanView) -> None:
    """Show the plan, where its figures come from and how far they may be trusted."""
    from rich.console import Console
    from rich.table import Table

    console, plan = Console(), result.plan
    table = Table("", "planned", "interval (N, D: of the best)")
    size, length, loss = plan.params, plan.tokens, plan.loss
    table.add_row("parameters N", f"{size.value:.4g}", f"{size.low:.3g} to {size.high:.3g}")
    table.add_row("tokens D", f"{length.value:.4g}", f"{length.low:.3g} to {length.high:.3g}")
    table.add_row("training FLOPs", f"{plan.flops:.4g}", "")
    if plan.inference_flops:
        table.add_row("inference FLOPs", f"{plan.inference_flops:.4g}", "")
    table.add_row("expected loss (nats)", f"{loss.value:.4f}", f"{loss.low:.4f} to {loss.high:.4f}")
    off = plan.penalty_nats
    table.add_row("above the best size", f"{off.value:.4f}", f"{off.low:.4f} to {off.high:.4f}")
    if result.cost is not None:
        table.add_row("GPU-hours", f"{result.cost.gpu_hours:.4g}", "")
        table.add_row("kWh", f"{result.cost.kwh:.4g}", "")
        table.add_row("kg CO2e", f"{result.cost.kg_co2e:.4g}", "")
        if result.cost.money is not None:
            table.add_row("money", f"{result.cost.money:.4g}", "")
    console.print(table)
    _print_mixture(console, result)
    for line in _remarks(result):
        console.print(line, soft_wrap=True, markup=False)


def _print_mixture(console: "Console", result: PlanView) -> None:
    from rich.table import Table

    epochs = result.epochs()
    if result.mixture is not None:
        table = Table("domain", "prior", "weight", "interval", "epochs")
        for name, one in result.mixture.proposal.weights.items():
            table.add_row(
                name,
                f"{result.mixture.prior[name]:.4f}",
                f"{one.value:.4f}",
                f"{one.low:.4f} to {one.high:.4f}",
                "-" if epochs is None else f"{epochs[name]:.2f}",
            )
        console.print(table)
    elif epochs is not None:
        console.print(f"Epochs over all data alike: {next(iter(epochs.values())):.2f}")


def _remarks(result: PlanView) -> list[str]:
    """Where the figures come from, and how far they may be trusted."""
    plan = result.plan
    lines = ["The loss is that of the mixture behind the scaling runs."]
    if plan.wasted_share > 1e-3:
        lines.append(
            f"An optimal plan with the same loss takes {plan.wasted_share:.1%} less: its size at "
            f"this budget is {plan.best_params:.4g}."
        )
    if plan.beyond_runs is not None and plan.beyond_runs > 1:
        lines.append(
            f"{plan.beyond_runs:.3g} times the largest run behind the law: an extrapolation, which "
            "the intervals do not cover."
        )
    mixture = result.mixture
    if mixture is not None:
        gain = mixture.proposal.gain_nats
        verdict = "significant gain" if mixture.proposal.significant else "no significant gain"
        lines.append(
            f"Weights: {verdict} over the prior at the scale of the proxies; promised "
            f"{gain.value:.4f} nats, corrected for choosing the best {gain.low:.4f} to "
            f"{gain.high:.4f}."
        )
        if not mixture.gate_passed:
            lines.append("The mixing law did not pass its gate: the weights lack evidence.")
    if result.cost is not None:
        factors = result.factors
        for factor in (factors.power, factors.overhead, factors.emissions, factors.price):
            if factor is not None:
                lines.append(f"{factor.value:g} {factor.unit}: {factor.source}")
    return lines
