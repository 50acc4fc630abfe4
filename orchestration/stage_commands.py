"""Commands on laws across steps, sizes and stages of training: each asks for a table of its own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error
from orchestration.number_files import read_shares

if TYPE_CHECKING:
    from training.curve_extension import ExtendedCurves
    from training.forked_runs import ForkEvidence

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


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("extrapolate", epilog=EXTRAPOLATE_EPILOG)(extrapolate)
    app.command("fit-dynamic", epilog=DYNAMIC_EPILOG)(fit_dynamic)


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
