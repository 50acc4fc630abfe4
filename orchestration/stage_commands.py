"""Commands on laws across steps, sizes and stages of training: each asks for a table of its own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error
from orchestration.number_files import read_numbers, read_shares

if TYPE_CHECKING:
    from training.arrays import Floats
    from training.critical_share import CriticalShare
    from training.curve_extension import ExtendedCurves
    from training.forked_runs import ForkEvidence
    from training.law_record import LawRecord

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
WeightsPrefix = Annotated[str, typer.Option(help="Begins the columns of shares.")]
LossesPrefix = Annotated[str, typer.Option(help="Begins the columns of losses.")]

EXTRAPOLATE_EPILOG = "\n\n".join(
    (
        "One row per run and checkpoint (or per mixture and size): shares, losses, the column of "
        "--by, and run_id, which is the same in all rows of a curve. Fits L = E + (k / x)^a to "
        "every curve and writes one row per curve with the losses expected at --to: a table for "
        "fit-law.",
        "Other columns that do not change along a curve are kept, so that sizes can be extended "
        "after steps.",
        "Every curve without its last point predicts that point; read this error first.",
        "Examples:",
        "mixwright extrapolate checkpoints.csv --by step --to 30000 --out runs.csv",
        "mixwright extrapolate sizes.csv --by params --curve-of mixture --shared --to 1e9 "
        "--out runs.csv",
    )
)
DYNAMIC_EPILOG = "\n\n".join(
    (
        "Forks: several short runs from one checkpoint, each on another mixture. One row per fork: "
        "p_<domain>, loss_<name> after the stretch, initial_loss_<name> at the checkpoint.",
        "Fits after = before - A p. It holds for this checkpoint and this length of the stretch.",
        "Examples:",
        "mixwright fit-dynamic forks.csv --out dynamic.json",
        "mixwright fit-dynamic forks.csv --objective weights.json --json",
    )
)
CRITICAL_EPILOG = "\n\n".join(
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


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("extrapolate", epilog=EXTRAPOLATE_EPILOG)(extrapolate)
    app.command("fit-dynamic", epilog=DYNAMIC_EPILOG)(fit_dynamic)
    app.command("critical-share", epilog=CRITICAL_EPILOG)(critical_share)


def extrapolate(
    *,
    runs: Annotated[Path, typer.Argument(help="Rows along curves, CSV.", metavar="RUNS.csv")],
    by: Annotated[str, typer.Option(help="Column of steps, tokens or parameters.")],
    to: Annotated[float, typer.Option(help="Where the losses are wanted.")],
    curve_of: Annotated[
        str, typer.Option(help="Column that names a curve, or `mixture`: rows of equal shares.")
    ] = "run_id",
    shared: Annotated[
        bool, typer.Option("--shared", help="One exponent for all curves of a loss.")
    ] = False,
    weights_prefix: WeightsPrefix = "p_",
    losses_prefix: LossesPrefix = "loss_",
    target: Annotated[
        list[str] | None, typer.Option(help="Extend this loss only; may be repeated.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="CSV file to write; the picture goes beside it.")
    ] = Path("extended.csv"),
    as_json: JsonOption = False,
) -> None:
    """Extend losses of short or small runs to a wanted length or size."""
    with one_clear_error():
        from training.curve_extension import extend_curves, read_curves
        from training.runs_csv import CsvColumns

        columns = CsvColumns(weights_prefix=weights_prefix, losses_prefix=losses_prefix)
        curves = read_curves(runs, columns, by=by, curve_of=curve_of, targets=target or None)
        found = extend_curves(curves, to=to, shared=shared)
        summary = _write_curves(found, out, by=by, columns=(weights_prefix, losses_prefix))
    if as_json:
        typer.echo(json.dumps(summary, allow_nan=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "loss", "error on last points (nats)", "exponents", title=f"{len(curves.names)} curves"
    )
    for name, row in zip(curves.eval_domains, found.decays, strict=True):
        error = found.last_point_error_nats[name]
        exponents = [one.exponent for one in row]
        table.add_row(
            name,
            "too few points" if error is None else f"{error:.4f}",
            f"{min(exponents):.3f} to {max(exponents):.3f}",
        )
    Console().print(table)
    typer.echo(f"Losses at {to:g}: {out}   picture: {summary['picture']}")


def _write_curves(
    found: "ExtendedCurves", out: Path, *, by: str, columns: tuple[str, str]
) -> dict[str, object]:
    """Write table and picture; say what is in them."""
    import polars as pl

    from assets.plots import plot_extended_curves

    curves = found.curves
    table: dict[str, object] = {"run_id": list(curves.names), by: [found.to] * len(curves.names)}
    table |= {name: list(cells) for name, cells in curves.kept.items()}
    for column, name in enumerate(curves.domains):
        table[columns[0] + name] = curves.weights[:, column].tolist()
    for column, name in enumerate(curves.eval_domains):
        table[columns[1] + name] = found.losses[:, column].tolist()
    out.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(table).write_csv(out)
    picture = out.with_suffix(".png")
    picture.write_bytes(
        plot_extended_curves(
            curves.eval_domains,
            curves.x,
            curves.losses,
            predict=lambda target, curve, x: found.decays[target][curve].predict(x),
            to=found.to,
            by=by,
        )
    )
    return {
        "runs": str(out),
        "picture": str(picture),
        "curves": len(curves.names),
        "to": found.to,
        "last_point_error_nats": found.last_point_error_nats,
        "parameters": {
            name: {
                curve: {
                    "limit": one.limit,
                    "amplitude": one.amplitude,
                    "exponent": one.exponent,
                    "reference": one.reference,
                }
                for curve, one in zip(curves.names, row, strict=True)
            }
            for name, row in zip(curves.eval_domains, found.decays, strict=True)
        },
    }


def fit_dynamic(
    *,
    forks: Annotated[Path, typer.Argument(help="Forked runs, CSV.", metavar="FORKS.csv")],
    objective: Annotated[
        Path | None, typer.Option(help="JSON: weight of each evaluation domain; default: equal.")
    ] = None,
    weights_prefix: WeightsPrefix = "p_",
    losses_prefix: LossesPrefix = "loss_",
    refits: Annotated[int, typer.Option(min=20, help="Draws behind the intervals.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Decides the draws.")] = 0,
    out: Annotated[
        Path, typer.Option(help="JSON file to write; the drawing goes beside it.")
    ] = Path("dynamic.json"),
    as_json: JsonOption = False,
) -> None:
    """Fit what a stretch on each domain does to each loss, from runs forked at a checkpoint."""
    with one_clear_error():
        from assets.lake import write_json
        from assets.plots import plot_skill_graph
        from training.forked_runs import judge_forks, read_forks
        from training.runs_csv import CsvColumns

        columns = CsvColumns(weights_prefix=weights_prefix, losses_prefix=losses_prefix)
        table, notes = read_forks(forks, columns)
        found = judge_forks(table, num_refits=refits, seed=seed)
        law = found.law
        importance = dict.fromkeys(law.eval_domains, 1 / len(law.eval_domains))
        if objective is not None:
            importance = read_shares(objective)
        content = {**found.to_json(), "usefulness": law.usefulness(importance)}
        content |= {"objective": importance, "forks": len(table.runs.run_ids), "notes": list(notes)}
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, content)
        picture = out.with_suffix(".png")
        picture.write_bytes(
            plot_skill_graph(
                law.domains,
                law.eval_domains,
                law.drops.T,
                found.signs().T,
                title="What a stretch on a domain does",
            )
        )
    if as_json:
        typer.echo(json.dumps(content, allow_nan=False))
        return
    _print_dynamic(found, law.usefulness(importance))
    typer.echo(f"Law: {out}   drawing: {picture}")


def _print_dynamic(found: "ForkEvidence", usefulness: dict[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, law = Console(), found.law
    table = Table("loss", *law.domains, "R2", title="Drop by a stretch on one domain alone (nats)")
    for row, name in enumerate(law.eval_domains):
        cells = [
            f"{law.drops[row, at]:+.4f} ({found.low[row, at]:+.4f} to {found.high[row, at]:+.4f})"
            for at in range(len(law.domains))
        ]
        table.add_row(name, *cells, f"{law.explained[row]:.2f}")
    console.print(table)
    order = sorted(usefulness, key=lambda name: -usefulness[name])
    console.print(
        "Most useful next: " + ", ".join(f"{name} {usefulness[name]:+.4f}" for name in order),
        soft_wrap=True,
        markup=False,
    )
    better = found.left_out_error_nats < found.mean_error_nats
    console.print(
        f"Error on left-out forks {found.left_out_error_nats:.4f} nats, of the mean drop "
        f"{found.mean_error_nats:.4f}"
        + ("" if better else ": the forks do not tell mixtures apart; make the stretch longer"),
        soft_wrap=True,
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

        record = _law_of_stage(law, method)
        place, column = _place(record, domain, target)
        rest = _others(record, domain, others)
        found = judge_critical_share(
            record.laws.convex_laws()[column],
            [refit.convex_laws()[column] for refit in record.refits],
            loss,
            domain=place,
            others=rest,
            level=record.level,
        )
        content: dict[str, object] = {
            "share": found.share,
            "share_low": found.low,
            "share_high": found.high,
            "reached_by_refits": found.reached,
            "domain": domain,
            "target": target,
            "loss": loss,
            "others": dict(zip(record.laws.domains, rest.tolist(), strict=True)),
            "law": record.laws.method,
            "law_gate_passed": record.gate.get("passed"),
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


def _law_of_stage(path: Path, law: str) -> "LawRecord":
    """A fitted law; or one fitted to runs here, without an interval if they are too few for it."""
    from training.fitted_laws import bootstrap_laws, fit_laws, law_family
    from training.law_fitting import law_key
    from training.law_record import LawRecord, read_law_record
    from training.runs_csv import read_runs

    if path.suffix != ".csv":
        return read_law_record(path)
    table, notes = read_runs(path)
    key = law_key(law)
    if not law_family(key).convex:
        raise ValueError(f"--law {law}: a convex law is needed, for example log-linear")
    enough = len(table.run_ids) > law_family(key).min_runs(len(table.domains))
    return LawRecord(
        laws=fit_laws(table, method=key),
        table=table,
        refits=bootstrap_laws(table, method=key, num_refits=100) if enough else (),
        half_widths_nats=dict.fromkeys(table.eval_domains, 0.0),
        notes=notes,
    )


def _place(record: "LawRecord", domain: str, target: str) -> tuple[int, int]:
    """Columns of the training domain and of the loss."""
    laws = record.laws
    for what, name, known in (
        ("domain", domain, laws.domains),
        ("target", target, laws.eval_domains),
    ):
        if name not in known:
            raise ValueError(f"--{what} {name}: the law knows {', '.join(known)}")
    return laws.domains.index(domain), laws.eval_domains.index(target)


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
