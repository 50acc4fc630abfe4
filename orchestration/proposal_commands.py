"""Command `propose`: the best mixture that a fitted law supports, and how sure it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestration.command_errors import one_clear_error
from orchestration.number_files import read_numbers, read_shares

if TYPE_CHECKING:
    from training.fitted_laws import FittedLaws
    from training.law_record import LawRecord
    from training.mixture_reuse import MixtureReuse
    from training.proposal import Proposal, ProposalConfig
    from training.swarm_power import RunsForWidth

NumberFile = Path | None
EPILOG = "\n\n".join(
    (
        "Files hold one JSON object with a number per name: prior.json and tokens.json per training "
        "domain, weights.json and harm.json (nats by which a loss may rise) per evaluation domain. "
        'reuse.json holds {"weights": {...}, "changed": [...], "coupled": [...]}.',
        "The prior is --prior, else the shares of the available tokens, else uniform.",
        "Examples:",
        "mixwright propose law.json --out mixture.json",
        "mixwright propose law.json --prior prior.json --available-tokens tokens.json "
        "--budget-tokens 1e12 --max-epochs 4 --kl 0.05 --out mixture.json",
        "mixwright propose law.json --do-no-harm harm.json --risk upper --width 0.1 --json",
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
    reuse: Annotated[Path | None, typer.Option(help="Earlier mixture whose ratios stay.")] = None,
    scaling: Annotated[
        Path | None, typer.Option(help="scaling.json: prices worthless repeats.")
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
    out: Annotated[
        Path, typer.Option(help="JSON file to write; the picture goes beside it.")
    ] = Path("mixture.json"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Propose the mixture that lowers the loss most, within what the data allow."""
    with one_clear_error():
        from training.law_record import read_law_record
        from training.proposal import ProposalConfig
        from training.proposer import propose as find
        from training.scaling_laws.scaling_record import read_scaling_record

        record = read_law_record(law)
        tokens = None if available_tokens is None else read_numbers(available_tokens)
        config = ProposalConfig(
            kl=kl,
            max_epochs=_epochs(max_epochs, tokens, budget_tokens, worth=min_token_worth),
            min_token_worth=min_token_worth,
            objective=None if objective is None else read_numbers(objective),
            floors={} if floors is None else read_numbers(floors),
            do_no_harm={} if do_no_harm is None else read_numbers(do_no_harm),
            risk=risk,
            solver=solver,
        )
        natural, source = _prior(record, prior, tokens, forbid or [])
        drawn = _refits(record, refits)
        proposal = find(
            record.laws,
            natural,
            refits=drawn,
            config=config,
            available_tokens=tokens,
            budget_tokens=budget_tokens,
            reuse=None if reuse is None else _reuse(reuse),
            scaling=None if scaling is None else read_scaling_record(scaling).law,
        )
        found = _Found(
            proposal=proposal,
            prior=natural,
            prior_source=source,
            epochs=_repeats(proposal, tokens, budget_tokens),
            power=None if width is None else _power(record, proposal, natural, config, width),
        )
        content = found.content(record, budget_tokens)
        picture = _write(found, content, out)
    if as_json:
        typer.echo(json.dumps(content))
        return
    _print(found, content)
    typer.echo(f"Mixture: {out}   picture: {picture}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What the command reports."""

    proposal: "Proposal"
    prior: Mapping[str, float]
    prior_source: str
    epochs: Mapping[str, float] | None
    power: "RunsForWidth | None"

    def content(self, record: "LawRecord", budget_tokens: float | None) -> dict[str, object]:
        """Content of mixture.json."""
        from dataclasses import asdict

        import numpy as np

        fields = self.proposal.to_json()
        del fields["weights"]
        shares = self.proposal.weights
        point = np.array([[shares[name].value for name in record.laws.domains]])
        significant = self.proposal.significant
        return {
            "weights": self.proposal.mixture(),
            "weights_low": {name: one.low for name, one in shares.items()},
            "weights_high": {name: one.high for name, one in shares.items()},
            "verdict": "significant gain" if significant else "no significant gain",
            **fields,
            "prior": dict(self.prior),
            "prior_source": self.prior_source,
            "budget_tokens": budget_tokens,
            "epochs": None if self.epochs is None else dict(self.epochs),
            "hull_distance": float(record.hull_distances(point)[0]),
            "law": record.laws.method,
            "law_gate_passed": record.gate.get("passed"),
            "runs_for_width": None if self.power is None else asdict(self.power),
        }


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


def _reuse(path: Path) -> "MixtureReuse":
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
    natural: Mapping[str, float],
    config: "ProposalConfig",
    width: float,
) -> "RunsForWidth":
    from training.swarm_power import runs_for_width

    return runs_for_width(proposal.weights, num_runs=len(record.table.run_ids), wanted_width=width)


def _write(found: _Found, content: Mapping[str, object], out: Path) -> Path:
    from assets.plots import Estimate, plot_plan

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    picture = out.with_suffix(".png")
    estimates = [
        Estimate(name=name, value=one.value, low=one.low, high=one.high)
        for name, one in found.proposal.weights.items()
    ]
    picture.write_bytes(plot_plan(found.prior, estimates, found.epochs))
    return picture


def _print(found: _Found, content: Mapping[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    proposal = found.proposal
    shares = Table("domain", f"prior ({found.prior_source})", "proposed", "interval", "epochs")
    for name, one in proposal.weights.items():
        shares.add_row(
            name,
            f"{found.prior[name]:.4f}",
            f"{one.value:.4f}",
            f"{one.low:.4f} to {one.high:.4f}",
            "-" if found.epochs is None else f"{found.epochs[name]:.2f}",
        )
    console.print(shares)
    losses = Table("evaluation domain", "loss (nats)", "interval", "change from the prior")
    for name, one in proposal.predicted_nats.items():
        change = proposal.change_nats[name]
        losses.add_row(
            name,
            f"{one.value:.4f}",
            f"{one.low:.4f} to {one.high:.4f}",
            f"{change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f})",
        )
    console.print(losses)
    gain = proposal.gain_nats
    console.print(
        f"{content['verdict']}: {gain.value:.4f} nats over the prior, interval {gain.low:.4f} to "
        f"{gain.high:.4f} ({proposal.num_refits} refits)",
        soft_wrap=True,
    )
    for line in _remarks(proposal, content):
        console.print(line, soft_wrap=True, markup=False)
    if found.power is not None:
        console.print(
            f"Widest interval: {found.power.domain}, {found.power.width:.3f} with "
            f"{found.power.num_runs} runs; below {found.power.wanted_width:g} with about "
            f"{found.power.needed_runs} runs (it shrinks with the root of the runs)",
            soft_wrap=True,
        )


def _remarks(proposal: "Proposal", content: Mapping[str, object]) -> list[str]:
    """What a reader must know before using the mixture."""
    lines = []
    if proposal.gap_nats is None:
        lines.append("Found by a search over candidates: nothing proves it the best.")
    else:
        lines.append(f"Global minimum, certified to {proposal.gap_nats:.1g} nats.")
    if proposal.active_caps:
        lines.append(f"Held down by their tokens: {', '.join(proposal.active_caps)}")
    if proposal.active_floors:
        lines.append(f"Held up by their floor: {', '.join(proposal.active_floors)}")
    if proposal.num_infeasible_refits:
        lines.append(f"{proposal.num_infeasible_refits} refits leave no mixture that does no harm.")
    if content["law_gate_passed"] is not True:
        lines.append("The law did not pass its gate: this mixture is not supported by evidence.")
    distance = content["hull_distance"]
    if isinstance(distance, float) and distance > 1e-6:
        lines.append(f"The mixture lies {distance:.3f} outside the hull of the runs.")
    return lines
