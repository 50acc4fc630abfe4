"""Command `plan`: what a budget buys, by a scaling law and, where there is one, a mixing law."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error
from orchestration.number_files import read_tokens
from orchestration.plan_view import PlannedMixture, PlanView, print_plan, write_plan

if TYPE_CHECKING:
    from training.compute_budget import Spending, Throughput
    from training.energy_factors import EnergyFactors

Number = float | None
EPILOG = "\n\n".join(
    (
        "The budget is one of --flops, --gpu-hours, --kwh and --money. Hours, energy and money "
        "need --tokens-per-second of one GPU, measured; without --measured-params it is taken "
        "for the speed of the planned model itself.",
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
        tokens = None if available_tokens is None else read_tokens(available_tokens)
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
        mixture = _mixture(law, tokens, size=size, length=length, max_epochs=max_epochs, kl=kl)
        cost = None
        if speed is not None:
            cost = cost_of(speed.gpu_hours(params=size, tokens=length), factors)
        result = PlanView(
            budget=given, plan=found, mixture=mixture, cost=cost, factors=factors, tokens=tokens
        )
        content = result.content()
        write_plan(result, content, out)
    if as_json:
        typer.echo(json.dumps(content))
        return
    print_plan(result)
    typer.echo(f"Plan: {out}   IsoFLOP curve: {out.with_suffix('.png')}")


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
    *,
    size: float,
    length: float,
    max_epochs: float,
    kl: float,
) -> PlannedMixture | None:
    """Proposed weights within the caps at the planned size and length."""
    if law is None:
        return None
    from training.fitted_laws import bootstrap_laws
    from training.joint_record import read_law_for_plan
    from training.proposal import ProposalConfig
    from training.proposer import propose

    record = read_law_for_plan(law, params=size, tokens=length)
    amounts = dict.fromkeys(record.laws.domains, 1.0) if tokens is None else dict(tokens)
    prior = {name: amount / sum(amounts.values()) for name, amount in amounts.items()}
    if not record.laws.is_convex:
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
    return PlannedMixture(
        proposal=proposal, prior=prior, gate_passed=record.gate.get("passed") is True
    )
