"""Commands on mixing laws: fit them to finished runs, and ask them about mixtures."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error
from orchestration.law_tables import print_fit, print_predictions

if TYPE_CHECKING:
    from training.given_scores import GivenScores
    from training.law_fitting import LawFit
    from training.law_record import LawRecord
    from training.runs_csv import MixtureRows

FIT_EPILOG = "\n\n".join(
    (
        "One row per finished run: shares of the training domains, held-out losses, run_id.",
        "Every run is predicted once by a law that did not see it; the gate judges those "
        "predictions beside trivial ones. A law that fails it should choose no mixture.",
        "Examples:",
        "mixwright fit-law runs.csv --weights-prefix p_ --losses-prefix loss_ --out law.json",
        "mixwright fit-law runs.csv --law auto --test later_runs.csv --out law.json",
        "mixwright fit-law runs.csv --law auto:log-linear,additive   (choose between these two)",
        "mixwright fit-law runs.csv --law lightgbm --target code --json > summary.json",
    )
)
PREDICT_EPILOG = "\n\n".join(
    (
        "One row per mixture, with the share columns of the runs and run_id.",
        "Intervals come from refits on drawn runs and hold the expected loss if the form of the "
        "law is right. With --of-run, and always for lightgbm, gaussian-process and "
        "boosted-residual, they come from errors on left-out runs and hold the loss of one run.",
        "Examples:",
        "mixwright predict law.json mixtures.csv --out predictions.csv",
        "mixwright predict law.json mixtures.csv --json > predictions.json",
    )
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def fit_law(  # noqa: PLR0917  # each is an option of the command
    runs: Annotated[Path, typer.Argument(help="Finished runs, CSV.", metavar="RUNS.csv")],
    weights_prefix: Annotated[str, typer.Option(help="Begins the columns of shares.")] = "p_",
    losses_prefix: Annotated[str, typer.Option(help="Begins the columns of losses.")] = "loss_",
    law: Annotated[
        str, typer.Option(help="Which law; `auto` chooses by nested cross-validation.")
    ] = "log-linear",
    target: Annotated[
        list[str] | None, typer.Option(help="Fit this loss only; may be repeated. Default: all.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="More runs, CSV: scores on rows that no fit sees.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Folds over mixtures. Default: one each up to 64, 10 beyond."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Refits behind the intervals.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Decides folds and draws.")] = 0,
    out: Annotated[
        Path, typer.Option(help="JSON file to write; the pictures go beside it.")
    ] = Path("law.json"),
    as_json: JsonOption = False,
) -> None:
    """Fit one law per loss column, with held-out scores, gate and intervals."""
    with one_clear_error():
        from training.given_scores import score_given
        from training.law_evidence import EvidenceConfig
        from training.law_fitting import fit_with_evidence, law_key
        from training.runs_csv import CsvColumns, read_runs

        method = law_key(law)
        columns = CsvColumns(weights_prefix=weights_prefix, losses_prefix=losses_prefix)
        table, notes = read_runs(runs, columns, targets=target or None)
        given = None
        if test is not None:
            given, more = read_runs(
                test, columns, domains=table.domains, targets=table.eval_domains, for_fit=False
            )
            notes = (*notes, *more)
        with _progress() as report:
            fit = fit_with_evidence(
                table,
                method=method,
                config=EvidenceConfig(num_folds=folds, seed=seed),
                num_refits=resamples,
                columns=columns,
                notes=notes,
                report=report,
            )
        scores = None if given is None else score_given(fit.record, given)
        written = _write_law(fit, out)
    if as_json:
        typer.echo(json.dumps(_summary(fit, out, written, scores), allow_nan=False))
        return
    print_fit(fit, scores)
    typer.echo(f"Law: {out}   pictures: {', '.join(map(str, written))}")


def predict(  # noqa: PLR0917  # each is an option of the command
    law: Annotated[Path, typer.Argument(help="Written by fit-law.", metavar="LAW.json")],
    weights: Annotated[Path, typer.Argument(help="Mixtures, CSV.", metavar="WEIGHTS.csv")],
    out: Annotated[
        Path, typer.Option(help="CSV file to write; the picture goes beside it.")
    ] = Path("predictions.csv"),
    weights_prefix: Annotated[
        str | None, typer.Option(help="Begins the columns of shares. Default: as in the runs.")
    ] = None,
    of_run: Annotated[
        bool,
        typer.Option("--of-run", help="Intervals of one run, noise and misfit included."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict the losses of mixtures, with 90 % intervals and their distance from the runs."""
    with one_clear_error():
        from training.law_record import read_law_record
        from training.runs_csv import read_mixtures

        record = read_law_record(law)
        prefix = record.columns.weights_prefix if weights_prefix is None else weights_prefix
        rows = read_mixtures(weights, prefix, domains=record.laws.domains)
        summary = _write_predictions(record, rows, out, of_run=of_run)
    if as_json:
        typer.echo(json.dumps(summary, allow_nan=False))
    else:
        print_predictions(summary)


def _write_law(fit: "LawFit", out: Path) -> list[Path]:
    """Write law.json, and the pictures beside it; their paths."""
    from assets.plots import plot_law_fit, plot_residuals

    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(fit.record.to_json(), allow_nan=False)
    out.write_text(text + "\n", encoding="utf-8")
    table, predicted = fit.evidence.table, fit.evidence.predicted
    pictures = {
        "fit": plot_law_fit(table.eval_domains, table.losses, predicted),
        "residuals": plot_residuals(table.eval_domains, table.losses, predicted),
    }
    written = []
    for name, png in pictures.items():
        written.append(out.with_name(f"{out.stem}_{name}.png"))
        written[-1].write_bytes(png)
    return written


def _write_predictions(
    record: "LawRecord", rows: "MixtureRows", out: Path, *, of_run: bool
) -> dict[str, object]:
    """Write table and picture; say what is in them."""
    import polars as pl

    from assets.plots import plot_predictions
    from training.law_gate import LawGateConfig

    predicted = record.laws.predict(rows.weights)
    low, high = record.intervals(rows.weights, of_run=of_run)
    table: dict[str, list[object]] = {"run_id": list(rows.run_ids)}
    for column, name in enumerate(record.laws.eval_domains):
        table[f"loss_{name}"] = predicted[:, column].tolist()
        table[f"loss_{name}_low"] = low[:, column].tolist()
        table[f"loss_{name}_high"] = high[:, column].tolist()
    frame = pl.DataFrame(table)
    out.parent.mkdir(parents=True, exist_ok=True)
    frame.write_csv(out)
    picture = out.with_suffix(".png")
    picture.write_bytes(plot_predictions(record.laws.eval_domains, predicted, low, high))
    distances = record.hull_distances(rows.weights)
    limit = LawGateConfig().max_hull_distance
    average = predicted.mean(axis=1)
    return {
        "predictions": str(out),
        "picture": str(picture),
        "mixtures": len(rows.run_ids),
        "method": record.laws.method,
        "gate_passed": record.gate.get("passed"),
        "best_by_average": rows.run_ids[int(average.argmin())],
        "best_average_nats": float(average.min()),
        "hull_limit": limit,
        "largest_hull_distance": float(distances.max()),
        "outside_the_runs": [
            name for name, far in zip(rows.run_ids, distances, strict=True) if far > limit
        ],
        "notes": list(rows.notes),
        "rows": frame.to_dicts(),
    }


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on the error stream, one per kind of work."""
    from rich import progress as bars
    from rich.console import Console

    parts = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*parts, console=Console(stderr=True), transient=True) as progress:
        tasks = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total or None)
            progress.update(tasks[what], completed=done)

        yield report


def _summary(
    fit: "LawFit",
    out: Path,
    pictures: list[Path],
    scores: "Mapping[str, GivenScores] | None",
) -> dict[str, object]:
    record = fit.record
    summary: dict[str, object] = {
        "law": str(out),
        "pictures": [str(path) for path in pictures],
        "method": record.laws.method,
        "runs": len(record.table.run_ids),
        "domains": list(record.laws.domains),
        "targets": list(record.laws.eval_domains),
        "formulas": {
            name: law.describe(record.laws.domains)
            for name, law in zip(record.laws.eval_domains, record.laws.laws, strict=True)
        },
        "evidence": record.evidence,
        "gate": record.gate,
        "notes": list(record.notes),
    }
    if fit.choice is not None:
        summary["choice"] = {
            "errors": dict(fit.choice.errors),
            "left_aside": dict(fit.choice.left_aside),
            "fold_methods": list(fit.choice.fold_methods),
        }
    if scores is not None:
        summary["test"] = {name: one.to_json() for name, one in scores.items()}
    return summary
