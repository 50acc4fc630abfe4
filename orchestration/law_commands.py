"""Commands on mixing laws: fit them to finished runs, and ask them about mixtures."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error
from orchestration.joint_law_commands import fit_joint_law, predict_rows, scales_of
from orchestration.law_requests import FitAnswer, FitRequest, Report, write_law
from orchestration.law_tables import print_fit, print_predictions

if TYPE_CHECKING:
    from training.arrays import Floats
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
        "mixwright fit-law runs.csv --law joint-log-linear --params-col params --tokens-col tokens "
        "--out joint.json",
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
        "mixwright predict joint.json mixtures.csv --params 1e9 --tokens 1e11",
    )
)
KNOWS_MIXTURES = (
    "knows the mixture alone: leave --params-col and --tokens-col out, or choose joint-additive or "
    "joint-log-linear"
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def fit_law(  # noqa: PLR0917  # each is an option of the command
    runs: Annotated[Path, typer.Argument(help="Finished runs, CSV.", metavar="RUNS.csv")],
    weights_prefix: Annotated[str, typer.Option(help="Begins the columns of shares.")] = "p_",
    losses_prefix: Annotated[str, typer.Option(help="Begins the columns of losses.")] = "loss_",
    law: Annotated[
        str, typer.Option(help="Which law; `auto` chooses by nested cross-validation.")
    ] = "log-linear",
    params_col: Annotated[
        str | None, typer.Option(help="Column of parameters, for joint laws. Default: params.")
    ] = None,
    tokens_col: Annotated[
        str | None, typer.Option(help="Column of training tokens, likewise. Default: tokens.")
    ] = None,
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
        from training.joint_laws import FORMS
        from training.joint_record import ScaleColumns
        from training.law_fitting import law_key
        from training.runs_csv import CsvColumns

        request = FitRequest(
            runs=runs,
            method=law_key(law),
            columns=CsvColumns(weights_prefix=weights_prefix, losses_prefix=losses_prefix),
            scale=ScaleColumns(params=params_col or "params", tokens=tokens_col or "tokens"),
            targets=target or None,
            test=test,
            folds=folds,
            resamples=resamples,
            seed=seed,
            out=out,
        )
        fit = fit_joint_law if request.method in FORMS else _fit_mixture_law
        if fit is _fit_mixture_law and (params_col or tokens_col):
            raise ValueError(f"{law} {KNOWS_MIXTURES}")
        with _progress() as report:
            answer = fit(request, report)
    if as_json:
        typer.echo(json.dumps(answer.summary, allow_nan=False))
        return
    answer.show()
    typer.echo(f"Law: {out}   pictures: {', '.join(map(str, answer.pictures))}")


def _fit_mixture_law(request: FitRequest, report: Report) -> FitAnswer:
    """Fit a law of the mixture alone, and write it.

    Raises:
        ValueError: The runs cannot be used.
    """
    from training.given_scores import score_given
    from training.law_evidence import EvidenceConfig
    from training.law_fitting import fit_with_evidence
    from training.runs_csv import read_runs

    table, notes = read_runs(request.runs, request.columns, targets=request.targets)
    given = None
    if request.test is not None:
        given, more = read_runs(
            request.test,
            request.columns,
            domains=table.domains,
            targets=table.eval_domains,
            for_fit=False,
        )
        notes = (*notes, *more)
    fit = fit_with_evidence(
        table,
        method=request.method,
        config=EvidenceConfig(num_folds=request.folds, seed=request.seed),
        num_refits=request.resamples,
        columns=request.columns,
        notes=notes,
        report=report,
    )
    scores = None if given is None else score_given(fit.record, given)
    evidence = fit.evidence
    written = write_law(fit.record.to_json(), evidence.table, evidence.predicted, request.out)
    return FitAnswer(
        summary=_summary(fit, request.out, written, scores),
        show=lambda: print_fit(fit, scores),
        pictures=written,
    )


def predict(  # noqa: PLR0917  # each is an option of the command
    law: Annotated[Path, typer.Argument(help="Written by fit-law.", metavar="LAW.json")],
    weights: Annotated[Path, typer.Argument(help="Mixtures, CSV.", metavar="WEIGHTS.csv")],
    out: Annotated[
        Path, typer.Option(help="CSV file to write; the picture goes beside it.")
    ] = Path("predictions.csv"),
    weights_prefix: Annotated[
        str | None, typer.Option(help="Begins the columns of shares. Default: as in the runs.")
    ] = None,
    params: Annotated[
        float | None, typer.Option(help="Of a joint law: parameters. Default: the file's column.")
    ] = None,
    tokens: Annotated[
        float | None, typer.Option(help="Of a joint law: tokens. Default: the file's column.")
    ] = None,
    of_run: Annotated[
        bool,
        typer.Option("--of-run", help="Intervals of one run, noise and misfit included."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict the losses of mixtures, with 90 % intervals and their distance from the runs."""
    with one_clear_error():
        from training.joint_record import JointRecord, read_any_law, read_law_at
        from training.runs_csv import read_mixtures

        record = read_any_law(law)
        prefix = record.columns.weights_prefix if weights_prefix is None else weights_prefix
        rows = read_mixtures(weights, prefix, domains=record.laws.domains)
        if isinstance(record, JointRecord):
            sizes = scales_of(record, weights, params=params, tokens=tokens)
            losses = predict_rows(record, rows, sizes, of_run=of_run)
            record = record.at(params=sizes[0, 0], tokens=sizes[0, 1])
        else:
            record = read_law_at(law, params=params, tokens=tokens)
            middle = record.laws.predict(rows.weights)
            losses = (middle, *record.intervals(rows.weights, of_run=of_run))
        summary = _write_predictions(record, rows, out, losses)
    if as_json:
        typer.echo(json.dumps(summary, allow_nan=False))
    else:
        print_predictions(summary)


def _write_predictions(
    record: "LawRecord", rows: "MixtureRows", out: Path, losses: "tuple[Floats, Floats, Floats]"
) -> dict[str, object]:
    """Write table and picture; say what is in them."""
    import polars as pl

    from assets.plots import plot_predictions
    from training.law_gate import LawGateConfig

    predicted, low, high = losses
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
