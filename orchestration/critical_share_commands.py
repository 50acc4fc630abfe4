"""Command `critical-share`: how much of an old domain continued training needs."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error
from orchestration.number_files import read_numbers

if TYPE_CHECKING:
    from training.arrays import Floats
    from training.critical_share import CriticalShare
    from training.law_record import LawRecord

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
EPILOG = "\n\n".join(
    (
        "For continued training: how much of an old domain a mixture needs so that its loss does "
        "not rise above --loss. The law is fitted on runs of the continued training, by fit-law "
        "or, where they are too few to hold any out, here; the other domains keep the ratios of "
        "--others (default: equal).",
        "Examples:",
        "mixwright critical-share law.json --domain old --target old --loss 2.8734",
        "mixwright critical-share runs.csv --domain old --target old --loss 2.8734 "
        "--others new.json --json",
    )
)


def critical_share(
    *,
    law: Annotated[
        Path, typer.Argument(help="From fit-law; or the runs, CSV.", metavar="LAW.json|RUNS.csv")
    ],
    domain: Annotated[str, typer.Option(help="Training domain whose share is sought.")],
    target: Annotated[str, typer.Option(help="Loss that shall not rise.")],
    loss: Annotated[float, typer.Option(help="What it may be at most, nats per token.")],
    method: Annotated[
        str, typer.Option("--law", help="Which law, where runs are given; a convex one.")
    ] = "log-linear",
    refits: Annotated[
        int, typer.Option(min=20, help="Behind the interval, where runs are given.")
    ] = 100,
    others: Annotated[
        Path | None, typer.Option(help="JSON: shares of the other domains; default: equal.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="JSON file to write; the picture goes beside it.")
    ] = Path("critical_share.json"),
    as_json: JsonOption = False,
) -> None:
    """Find the least share of a domain that keeps a loss where it was."""
    with one_clear_error():
        from assets.lake import write_json
        from training.critical_share import judge_critical_share

        if not math.isfinite(loss):
            raise ValueError(f"--loss must be finite, got {loss}")
        record, place, column = _law_of_stage(law, method, domain, target, refits=refits)
        rest = _others(record, domain, others)
        found = judge_critical_share(
            record.laws.convex_laws()[column],
            [refit.convex_laws()[column] for refit in record.refits],
            loss,
            domain=place,
            others=rest,
            level=record.level,
        )
        content = {
            **_told(found, record, rest),
            "domain": domain,
            "target": target,
            "loss": loss,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, content)
        picture = out.with_suffix(".png")
        line = (domain, target)
        picture.write_bytes(_draw_line(record, line, place, column, rest, loss=loss, found=found))
    if as_json:
        typer.echo(json.dumps(content, allow_nan=False))
        return
    _print_critical(found, domain=domain, target=target, loss=loss)
    typer.echo(f"Share: {out}   picture: {picture}")


def _told(found: "CriticalShare", record: "LawRecord", rest: "Floats") -> dict[str, object]:
    """The share with its interval, and the law behind it."""
    return {
        "share": found.share,
        "share_low": found.low,
        "share_high": found.high,
        "reached_by_refits": found.reached,
        "others": dict(zip(record.laws.domains, rest.tolist(), strict=True)),
        "law": record.laws.method,
        "law_gate_passed": record.gate.get("passed"),
    }


def _law_of_stage(
    path: Path, law: str, domain: str, target: str, *, refits: int
) -> "tuple[LawRecord, int, int]":
    """A fitted law, or one fitted to runs here; and the columns of the domain and of the loss.

    Runs that are too few to draw from give no interval.
    """
    from training.fitted_laws import bootstrap_laws, fit_laws, law_family
    from training.law_fitting import law_key
    from training.law_record import LawRecord, read_law_record
    from training.runs_csv import read_runs

    if path.suffix != ".csv":
        record = read_law_record(path)
        laws = record.laws
        return record, *_place(laws.domains, laws.eval_domains, domain, target)
    table, notes = read_runs(path)
    place, column = _place(table.domains, table.eval_domains, domain, target)
    key = law_key(law)
    if not law_family(key).convex:
        raise ValueError(f"--law {law}: a convex law is needed, for example log-linear")
    enough = len(table.run_ids) > law_family(key).min_runs(len(table.domains))
    record = LawRecord(
        laws=fit_laws(table, method=key),
        table=table,
        refits=bootstrap_laws(table, method=key, num_refits=refits) if enough else (),
        half_widths_nats=dict.fromkeys(table.eval_domains, 0.0),
        notes=notes,
    )
    return record, place, column


def _place(
    domains: tuple[str, ...], eval_domains: tuple[str, ...], domain: str, target: str
) -> tuple[int, int]:
    """Columns of the training domain and of the loss."""
    for what, name, known in (("domain", domain, domains), ("target", target, eval_domains)):
        if name not in known:
            raise ValueError(f"--{what} {name}: the law knows {', '.join(known)}")
    return domains.index(domain), eval_domains.index(target)


def _others(record: "LawRecord", domain: str, path: Path | None) -> "Floats":
    """Mixture of the other domains, zero at the domain itself."""
    import numpy as np

    rest = [name for name in record.laws.domains if name != domain]
    if not rest:
        raise ValueError(f"the law knows no domain beside {domain}")
    shares = dict.fromkeys(rest, 1 / len(rest)) if path is None else read_numbers(path)
    if set(shares) != set(rest) or min(shares.values()) < 0 or not sum(shares.values()) > 0:
        raise ValueError(f"{path}: shares >= 0 of {rest} are needed, got {shares}")
    total = sum(shares.values())
    return np.array([shares.get(name, 0.0) / total for name in record.laws.domains])


def _draw_line(
    record: "LawRecord",
    names: tuple[str, str],
    place: int,
    column: int,
    rest: "Floats",
    *,
    loss: float,
    found: "CriticalShare",
) -> bytes:
    import numpy as np

    from assets.plots import plot_critical_share

    shares = np.linspace(0, 1, 101)
    line = shares[:, None] * np.eye(len(rest))[place] + (1 - shares[:, None]) * rest
    low, high = record.intervals(line)
    return plot_critical_share(
        shares,
        record.laws.predict(line)[:, column],
        low=low[:, column],
        high=high[:, column],
        runs=(record.table.weights[:, place], record.table.losses[:, column]),
        limit=loss,
        found=found.share,
        domain=names[0],
        target=names[1],
    )


def _print_critical(found: "CriticalShare", *, domain: str, target: str, loss: float) -> None:
    if found.share is None:
        typer.echo(f"No share of {domain} keeps the loss of {target} at {loss:g} or below.")
    elif found.share == 0:
        typer.echo(f"The loss of {target} stays at {loss:g} or below without any {domain}.")
    else:
        bounds = "" if found.low is None else f", 90 % interval {found.low:.4f} to {found.high:.4f}"
        typer.echo(f"Share of {domain} that keeps {target} at {loss:g}: {found.share:.4f}{bounds}")
    if found.reached is None:
        typer.echo("No interval: there are too few runs to draw from; nothing was held out either.")
    elif found.reached < 1:
        typer.echo(f"Only {found.reached:.0%} of the refits know such a share.")
