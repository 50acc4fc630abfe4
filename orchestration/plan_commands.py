"""Command `plan`: what a budget buys, by a scaling law and, where there is one, a mixing law."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error
from orchestration.number_files import read_numbers

if TYPE_CHECKING:
    from rich.console import Console

    from training.compute_budget import Spending, Throughput
    from training.compute_plan import ComputePlan
    from training.energy_factors import Cost, EnergyFactors
    from training.proposal import Proposal

Number = float | None
EPILOG = "\n\n".join(
    (
        "The budget is one of --flops, --gpu-hours, --kwh and --money. Hours, energy and money need "
        "--tokens-per-second of one GPU, measured; without --measured-params it is taken for the "
        "speed of the planned model itself.",
        "With --available-tokens a plan that repeats the data too often is refused, and repeated "
        "tokens count for less. With --law the plan carries the proposed weights.",
        "Examples:",
        "mixwright plan --scaling scaling.json --flops 1e21 --out plan.json",
        "mixwright plan --scaling scaling.json --law law.json --gpu-hours 5000 "
        "--tokens-per-second 12000 --measured-params 1.1e9 --available-tokens tokens.json "
        "--out plan.json",
        "mixwright plan --scaling scaling.json --money 20000 --price-per-gpu-hour 2.5 "
        "--tokens-per-second 12000 --measured-params 1.1e9 --json",
    )
)


def plan(
    *,
    scaling: Annotated[Path, typer.Option(help="From fit-scaling.")],
    law: Annotated[Path | None, typer.Option(help="From fit-law: proposes the weights.")] = None,
    flops: Annotated[Number, typer.Option(help="Budget in FLOPs.")] = None,
    gpu_hours: Annotated[Number, typer.Option(help="Budget in hours of one GPU.")] = None,
    kwh: Annotated[Number, typer.Option(help="Budget in kWh, site overhead included.")] = None,
    money: Annotated[Number, typer.Option(help="Budget in the currency of the price.")] = None,
    tokens_per_second: Annotated[Number, typer.Option(help="Measured, of one GPU.")] = None,
    measured_params: Annotated[
        Number, typer.Option(help="Size of the model that was measured.")
    ] = None,
    params: Annotated[Number, typer.Option(help="Size to plan for; default: the best.")] = None,
    inference_tokens: Annotated[
        float, typer.Option(help="Tokens that the model will answer; they share the FLOPs.")
    ] = 0.0,
    available_tokens: Annotated[
        Path | None, typer.Option(help="JSON: unique tokens of each domain.")
    ] = None,
    max_epochs: Annotated[float, typer.Option(help="Most epochs of a domain.")] = 4.0,
    kl: Annotated[float, typer.Option(help="Of the proposal, nats per nat.")] = 0.05,
    watts_per_gpu: Annotated[
        Number, typer.Option(help="Default: 700, the most of an H100.")
    ] = None,
    pue: Annotated[Number, typer.Option(help="Default: 1.58, industry average.")] = None,
    grams_co2e_per_kwh: Annotated[Number, typer.Option(help="Default: 436, the world's.")] = None,
    price_per_gpu_hour: Annotated[Number, typer.Option(help="No default.")] = None,
    out: Annotated[
        Path, typer.Option(help="JSON file to write; the pictures go beside it.")
    ] = Path("plan.json"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Plan a training: N, D, weights, epochs, expected loss, hours, energy and emissions."""
    with one_clear_error():
        from training.compute_plan import DataLimits, plan_compute
        from training.energy_factors import cost_of
        from training.scaling_laws.scaling_record import read_scaling_record

        budgets = {"flops": flops, "gpu-hours": gpu_hours, "kwh": kwh, "money": money}
        given = {name: amount for name, amount in budgets.items() if amount is not None}
        factors = _factors(watts_per_gpu, pue, grams_co2e_per_kwh, price_per_gpu_hour)
        speed = _throughput(tokens_per_second, measured_params)
        record = read_scaling_record(scaling)
        tokens = None if available_tokens is None else read_numbers(available_tokens)
        found = plan_compute(
            record,
            _spending(given, speed, factors),
            params=params,
            inference_tokens=inference_tokens,
            data=None
            if tokens is None
            else DataLimits(available_tokens=tokens, max_epochs=max_epochs),
        )
        size, length = found.params.value, found.tokens.value
        mixture = _mixture(law, tokens, length, max_epochs=max_epochs, kl=kl)
        cost = None
        if speed is not None:
            cost = cost_of(speed.gpu_hours(params=size, tokens=length), factors)
        result = _Result(
            budget=given, plan=found, mixture=mixture, cost=cost, factors=factors, tokens=tokens
        )
        content = result.content()
        _write(result, content, out)
    if as_json:
        typer.echo(json.dumps(content))
        return
    _print(result)
    typer.echo(f"Plan: {out}   IsoFLOP curve: {out.with_suffix('.png')}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mixture:
    proposal: "Proposal"
    prior: Mapping[str, float]
    gate_passed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Result:
    """What the command reports."""

    budget: Mapping[str, float]
    plan: "ComputePlan"
    mixture: _Mixture | None
    cost: "Cost | None"
    factors: "EnergyFactors"
    tokens: Mapping[str, float] | None

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


def _factors(
    watts: float | None, pue: float | None, grams: float | None, price: float | None
) -> "EnergyFactors":
    from training.energy_factors import GIVEN, EnergyFactors, Factor

    default = EnergyFactors()

    def pick(value: float | None, standard: Factor) -> Factor:
        if value is None:
            return standard
        return Factor(value=value, unit=standard.unit, source=GIVEN)

    return EnergyFactors(
        power=pick(watts, default.power),
        overhead=pick(pue, default.overhead),
        emissions=pick(grams, default.emissions),
        price=None
        if price is None
        else Factor(value=price, unit="money per GPU-hour", source=GIVEN),
    )


def _throughput(tokens_per_second: float | None, params: float | None) -> "Throughput | None":
    from training.compute_budget import Throughput

    if tokens_per_second is None:
        if params is not None:
            raise ValueError("--measured-params belongs to --tokens-per-second: give both")
        return None
    return Throughput(tokens_per_second=tokens_per_second, params=params)


def _spending(
    given: Mapping[str, float], speed: "Throughput | None", factors: "EnergyFactors"
) -> "Spending":
    from training.compute_budget import spend_flops, spend_gpu_hours, spend_kwh, spend_money

    if len(given) != 1:
        raise ValueError(
            f"a plan needs one budget of --flops, --gpu-hours, --kwh and --money, got "
            f"{[f'--{name}' for name in given] or 'none'}"
        )
    ((kind, amount),) = given.items()
    if kind == "flops":
        return spend_flops(amount)
    if speed is None:
        raise ValueError(f"--{kind} needs --tokens-per-second, as measured on one GPU")
    if kind == "gpu-hours":
        return spend_gpu_hours(amount, speed)
    if kind == "kwh":
        return spend_kwh(amount, speed, factors)
    return spend_money(amount, speed, factors)


def _mixture(
    law: Path | None,
    tokens: Mapping[str, float] | None,
    length: float,
    *,
    max_epochs: float,
    kl: float,
) -> _Mixture | None:
    """Proposed weights within the caps at the planned length."""
    if law is None:
        return None
    from training.fitted_laws import bootstrap_laws, law_family
    from training.law_record import read_law_record
    from training.proposal import ProposalConfig
    from training.proposer import propose

    record = read_law_record(law)
    amounts = dict.fromkeys(record.laws.domains, 1.0) if tokens is None else dict(tokens)
    prior = {name: amount / sum(amounts.values()) for name, amount in amounts.items()}
    convex = law_family(record.laws.method).convex
    if not convex:
        raise ValueError(
            f"{law}: {record.laws.method} is not convex: use `mixwright propose --solver "
            "candidates` for the weights, and plan without --law"
        )
    proposal = propose(
        record.laws,
        prior,
        refits=record.refits or bootstrap_laws(record.table, method=record.laws.method),
        config=ProposalConfig(kl=kl, max_epochs=None if tokens is None else max_epochs),
        available_tokens=tokens,
        budget_tokens=None if tokens is None else length,
    )
    return _Mixture(proposal=proposal, prior=prior, gate_passed=record.gate.get("passed") is True)


def _write(result: _Result, content: Mapping[str, object], out: Path) -> None:
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


def _print(result: _Result) -> None:
    from rich.console import Console
    from rich.table import Table

    console, plan = Console(), result.plan
    table = Table("", "planned", "interval")
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


def _print_mixture(console: "Console", result: _Result) -> None:
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


def _remarks(result: _Result) -> list[str]:
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
            f"{plan.beyond_runs:.1f} times the largest run behind the law: an extrapolation, which "
            "the intervals do not cover."
        )
    mixture = result.mixture
    if mixture is not None:
        gain = mixture.proposal.gain_nats
        verdict = "significant gain" if mixture.proposal.significant else "no significant gain"
        lines.append(
            f"Weights: {verdict} over the prior at the scale of the proxies, {gain.value:.4f} nats "
            f"({gain.low:.4f} to {gain.high:.4f})."
        )
        if not mixture.gate_passed:
            lines.append("The mixing law did not pass its gate: the weights lack evidence.")
    if result.cost is not None:
        factors = result.factors
        for factor in (factors.power, factors.overhead, factors.emissions, factors.price):
            if factor is not None:
                lines.append(f"{factor.value:g} {factor.unit}: {factor.source}")
    return lines
