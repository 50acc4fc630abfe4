"""Command `propose`: the best mixture that a fitted law supports, and how sure it is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestration.command_errors import one_clear_error
from orchestration.number_files import read_numbers, read_shares, read_tokens
from orchestration.proposal_view import ProposalView, print_proposal, write_proposal

if TYPE_CHECKING:
    from training.fitted_laws import FittedLaws
    from training.law_record import LawRecord
    from training.mixture_reuse import MixtureReuse
    from training.proposal import Proposal, ProposalConfig
    from training.proposal_limits import Limits
    from training.swarm_power import RunsForWidth

NumberFile = Path | None
EPILOG = "\n\n".join(
    (
        "Files hold one JSON object with a number per name: prior.json and tokens.json per "
        "training domain, weights.json and harm.json (nats by which a loss may rise) per "
        "evaluation domain. "
        'reuse.json holds {"weights": {...}, "changed": [...], "coupled": [...]}.',
        "The prior is --prior, else the shares of the available tokens, else uniform.",
        "Examples:",
        "mixwright propose law.json --out mixture.json",
        "mixwright propose law.json --prior prior.json --available-tokens tokens.json "
        "--budget-tokens 1e12 --max-epochs 4 --kl 0.05 --out mixture.json",
        "mixwright propose law.json --do-no-harm harm.json --risk upper --width 0.1 --json",
        "mixwright propose law.json --within-runs 0.05 --out mixture.json",
        "mixwright propose joint.json --params 1e9 --tokens 1e11 --out mixture.json",
    )
)


def propose(
    *,
    law: Annotated[Path, typer.Argument(help="From fit-law.", metavar="LAW.json")],
    prior: Annotated[NumberFile, typer.Option(help="Natural share of each domain.")] = None,
    available_tokens: Annotated[
        NumberFile, typer.Option(help="Unique tokens of each domain.")
    ] = None,
    budget_tokens: Annotated[
        float | None, typer.Option(help="Tokens of the run to be trained.")
    ] = None,
    max_epochs: Annotated[
        float | None, typer.Option(help="Most epochs of a domain; 4 where tokens are given.")
    ] = None,
    min_token_worth: Annotated[
        float | None, typer.Option(help="Least worth of a repeated token, 0 to 1.")
    ] = None,
    kl: Annotated[float, typer.Option(help="Nats of loss per nat of divergence.")] = 0.05,
    objective: Annotated[
        NumberFile, typer.Option(help="Weight of each evaluation domain; default: equal.")
    ] = None,
    floors: Annotated[NumberFile, typer.Option(help="Least share of some domains.")] = None,
    forbid: Annotated[
        list[str] | None, typer.Option(help="Domain to leave out; may be repeated.")
    ] = None,
    do_no_harm: Annotated[
        NumberFile, typer.Option(help="Losses that may rise by so many nats at most.")
    ] = None,
    within_runs: Annotated[
        float | None,
        typer.Option(help="Largest distance from the hull of the runs, 0 to 1; default: any."),
    ] = None,
    reuse: Annotated[Path | None, typer.Option(help="Earlier mixture whose ratios stay.")] = None,
    coupling: Annotated[
        float | None,
        typer.Option(help="Choose again, too, what is coupled to the changed domains, 0 to 1."),
    ] = None,
    scaling: Annotated[
        Path | None, typer.Option(help="scaling.json: prices worthless repeats.")
    ] = None,
    params: Annotated[
        float | None, typer.Option(help="Of a joint law: parameters of the run to be trained.")
    ] = None,
    tokens_of_run: Annotated[
        float | None,
        typer.Option("--tokens", help="Of a joint law: its tokens; default: the budget."),
    ] = None,
    risk: Annotated[
        Literal["mean", "upper", "lower"], typer.Option(help="Figure to minimise.")
    ] = "mean",
    solver: Annotated[
        Literal["certified", "candidates"],
        typer.Option(help="candidates: a search without proof, for laws that are not convex."),
    ] = "certified",
    refits: Annotated[
        int, typer.Option(min=20, help="Refits to make where law.json holds none.")
    ] = 40,
    width: Annotated[
        float | None, typer.Option(help="Say how many runs would make every interval so narrow.")
    ] = None,
    simulate_swarms: Annotated[
        int | None, typer.Option(min=20, help="Check --width on so many simulated swarms.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="JSON file to write; the picture goes beside it.")
    ] = Path("mixture.json"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Propose the mixture that lowers the loss most, within what the data allow."""
    with one_clear_error():
        from training.joint_record import read_law_at
        from training.proposal import ProposalConfig
        from training.proposal_limits import build_limits
        from training.proposer import availability_of, region_of
        from training.proposer import propose as find
        from training.scaling_laws.scaling_record import read_scaling_record

        length = budget_tokens if tokens_of_run is None and params is not None else tokens_of_run
        record = read_law_at(law, params=params, tokens=length)
        tokens = None if available_tokens is None else read_tokens(available_tokens)
        config = ProposalConfig(
            kl=kl,
            max_epochs=_epochs(max_epochs, tokens, budget_tokens, worth=min_token_worth),
            min_token_worth=min_token_worth,
            objective=None if objective is None else read_numbers(objective),
            floors={} if floors is None else read_numbers(floors),
            do_no_harm={} if do_no_harm is None else read_numbers(do_no_harm),
            within_runs=within_runs,
            risk=risk,
            solver=solver,
        )
        natural, source = _prior(record, prior, tokens, forbid or [])
        drawn = _refits(record, refits)
        kept = _reuse(reuse, coupling, record=record, prior=natural)
        proposal = find(
            record.laws,
            natural,
            refits=drawn,
            config=config,
            available_tokens=tokens,
            budget_tokens=budget_tokens,
            reuse=kept,
            scaling=None if scaling is None else read_scaling_record(scaling).law,
            run_weights=record.table.weights,
        )
        limits = build_limits(
            record.laws.domains,
            natural,
            floors=config.floors,
            availability=availability_of(config, tokens, budget_tokens),
            region=region_of(config, record.table.weights),
        )
        found = ProposalView(
            proposal=proposal,
            prior=natural,
            prior_source=source,
            epochs=_repeats(proposal, tokens, budget_tokens),
            power=None
            if width is None
            else _power(
                record, proposal, limits, config=config, width=width, swarms=simulate_swarms
            ),
        )
        content = found.content(record, budget_tokens)
        picture = write_proposal(found, content, out)
    if as_json:
        typer.echo(json.dumps(content))
        return
    print_proposal(found, content)
    typer.echo(f"Mixture: {out}   picture: {picture}")


def _epochs(
    max_epochs: float | None,
    tokens: Mapping[str, float] | None,
    budget: float | None,
    *,
    worth: float | None,
) -> float | None:
    if (tokens is None) != (budget is None):
        raise ValueError("--available-tokens and --budget-tokens belong together: give both")
    if tokens is None:
        if max_epochs is not None or worth is not None:
            raise ValueError("a limit on epochs needs --available-tokens and --budget-tokens")
        return None
    return 4.0 if max_epochs is None and worth is None else max_epochs


def _prior(
    record: "LawRecord",
    path: Path | None,
    tokens: Mapping[str, float] | None,
    forbid: list[str],
) -> tuple[dict[str, float], str]:
    """Shares of the domains, 0 for forbidden ones, and where they come from."""
    domains = record.laws.domains
    unknown = sorted(set(forbid) - set(domains))
    if unknown:
        raise ValueError(f"--forbid {unknown}: unknown, choose among {sorted(domains)}")
    if path is not None:
        shares, source = {**dict.fromkeys(forbid, 0.0), **read_shares(path)}, str(path)
    elif tokens is not None:
        shares, source = dict(tokens), "available tokens"
    else:
        shares, source = dict.fromkeys(domains, 1.0), "uniform"
    if set(shares) != set(domains):
        raise ValueError(f"{source}: names {sorted(shares)}, the law has {sorted(domains)}")
    allowed = {name: 0.0 if name in forbid else share for name, share in shares.items()}
    total = sum(allowed.values())
    if total <= 0:
        raise ValueError(f"{source}: no domain is left")
    return {name: share / total for name, share in allowed.items()}, source


def _refits(record: "LawRecord", wanted: int) -> "tuple[FittedLaws, ...]":
    """Those of the file, or new ones where it holds none (laws too large to be kept)."""
    from training.fitted_laws import bootstrap_laws

    if record.refits:
        return record.refits
    typer.echo(f"refitting {record.laws.method} {wanted} times for the intervals", err=True)
    return bootstrap_laws(record.table, method=record.laws.method, num_refits=wanted)


def _reuse(
    path: Path | None, coupling: float | None, *, record: "LawRecord", prior: Mapping[str, float]
) -> "MixtureReuse | None":
    """What stays of an earlier mixture; domains coupled to the changed ones may not."""
    from dataclasses import replace

    from training.mixture_reuse import coupled_domains

    if path is None:
        if coupling is not None:
            raise ValueError("--coupling belongs to --reuse: give both")
        return None
    reuse = _read_reuse(path)
    if coupling is None:
        return reuse
    found = coupled_domains(record.laws, reuse.changed, mixture=prior, threshold=coupling)
    typer.echo(f"coupled to {', '.join(reuse.changed)}: {', '.join(found) or 'none'}", err=True)
    return replace(reuse, coupled=tuple(dict.fromkeys((*reuse.coupled, *found))))


def _read_reuse(path: Path) -> "MixtureReuse":
    from pydantic import TypeAdapter, ValidationError

    from training.mixture_reuse import MixtureReuse

    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        return TypeAdapter(MixtureReuse).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise ValueError(f"{path}: {where}: {first['msg']}") from error


def _repeats(
    proposal: "Proposal", tokens: Mapping[str, float] | None, budget: float | None
) -> dict[str, float] | None:
    if tokens is None or budget is None:
        return None
    return {
        name: share * budget / tokens[name] if tokens[name] > 0 else 0.0
        for name, share in proposal.mixture().items()
    }


def _power(
    record: "LawRecord",
    proposal: "Proposal",
    limits: "Limits",
    *,
    config: "ProposalConfig",
    width: float,
    swarms: int | None,
) -> "RunsForWidth":
    """Runs for a wanted width by the root rule, and what swarms of that size show."""
    from dataclasses import replace

    from training.proposer import objective_weights
    from training.swarm_power import residual_noise, runs_for_width, simulate_width

    rule = runs_for_width(proposal.weights, num_runs=len(record.table.run_ids), wanted_width=width)
    if swarms is None:
        return rule
    if (limits.prior == 0).any():
        raise ValueError("--simulate-swarms needs a prior above 0 for every domain")
    typer.echo(f"simulating {swarms} swarms of {rule.needed_runs} runs", err=True)
    simulated = simulate_width(
        record.laws,
        residual_noise(record.laws, record.table),
        limits,
        importance=objective_weights(record.laws, config),
        config=config,
        num_runs=rule.needed_runs,
        num_swarms=swarms,
    )
    return replace(rule, simulated_width=simulated)
