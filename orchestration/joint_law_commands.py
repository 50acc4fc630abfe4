"""The part of `fit-law` and `predict` that is about laws in mixture, parameters and tokens."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orchestration.law_tables import print_gate, print_given, print_notes

if TYPE_CHECKING:
    from training.arrays import Floats
    from training.given_scores import GivenScores
    from training.joint_fitting import JointFit
    from training.joint_laws import JointScores, Tick
    from training.joint_record import JointRecord, ScaleColumns
    from training.runs_csv import CsvColumns, MixtureRows


def fit_joint_law(
    runs: Path,
    *,
    method: str,
    columns: "CsvColumns",
    scale: "ScaleColumns",
    targets: Sequence[str] | None,
    test: Path | None,
    folds: int | None,
    resamples: int,
    seed: int,
    out: Path,
    as_json: bool,
    tick: "Tick",
) -> None:
    """Fit, write law and pictures, and print or say it as JSON.

    Raises:
        ValueError: The runs cannot be used.
    """
    from training.joint_fitting import fit_joint_with_evidence, read_joint_runs, score_joint

    table, notes = read_joint_runs(runs, columns, scale, targets=targets)
    given = None
    if test is not None:
        given, more = read_joint_runs(
            test,
            columns,
            scale,
            domains=table.runs.domains,
            targets=table.runs.eval_domains,
            for_fit=False,
        )
        notes = (*notes, *more)
    fit = fit_joint_with_evidence(
        table,
        method=method,
        num_folds=folds,
        num_refits=resamples,
        seed=seed,
        columns=columns,
        scale=scale,
        notes=notes,
        tick=tick,
    )
    scores = None if given is None else score_joint(fit.record, given)
    written = _write(fit, out)
    if as_json:
        typer.echo(json.dumps(_summary(fit, out, written, scores), allow_nan=False))
        return
    _print(fit, scores)
    typer.echo(f"Law: {out}   pictures: {', '.join(map(str, written))}")


def scales_of(
    record: "JointRecord", weights: Path, *, params: float | None, tokens: float | None
) -> "Floats":
    """Size and length of every row of a file: from the options, else from its columns.

    Raises:
        ValueError: Only one option is given, or the columns are missing or hold no numbers.
    """
    import numpy as np

    from training.csv_cells import read_cells
    from training.joint_fitting import read_scales

    if (params is None) != (tokens is None):
        raise ValueError("--params and --tokens belong together: give both, or columns of the file")
    if params is None or tokens is None:
        return read_scales(weights, record.scale_columns)
    if not (params > 0 and tokens > 0 and np.isfinite([params, tokens]).all()):
        raise ValueError(f"--params and --tokens must be positive, got {params} and {tokens}")
    return np.tile([params, tokens], (read_cells(weights).height, 1))


def predict_rows(
    record: "JointRecord", rows: "MixtureRows", sizes: "Floats", *, of_run: bool
) -> "tuple[Floats, Floats, Floats]":
    """Losses of mixtures at their scales, with intervals."""
    from training.joint_fitting import predict_at_scales

    return predict_at_scales(record, rows.weights, sizes, of_run=of_run)


def _write(fit: "JointFit", out: Path) -> list[Path]:
    from assets.plots import plot_law_fit, plot_residuals

    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(fit.record.to_json(), allow_nan=False)
    out.write_text(text + "\n", encoding="utf-8")
    runs = fit.record.table.runs
    pictures = {
        "fit": plot_law_fit(runs.eval_domains, runs.losses, fit.predicted),
        "residuals": plot_residuals(runs.eval_domains, runs.losses, fit.predicted),
    }
    written = []
    for name, png in pictures.items():
        written.append(out.with_name(f"{out.stem}_{name}.png"))
        written[-1].write_bytes(png)
    return written


def _summary(
    fit: "JointFit",
    out: Path,
    pictures: list[Path],
    scores: "Mapping[str, GivenScores] | None",
) -> dict[str, object]:
    record = fit.record
    summary: dict[str, object] = {
        "law": str(out),
        "pictures": [str(path) for path in pictures],
        "method": record.laws.method,
        "runs": len(record.table.runs.run_ids),
        "domains": list(record.laws.domains),
        "targets": list(record.laws.eval_domains),
        "laws": record.to_json()["laws"],
        "evidence": record.evidence,
        "gate": record.gate,
        "notes": list(record.notes),
    }
    if scores is not None:
        summary["test"] = {name: one.to_json() for name, one in scores.items()}
    return summary


def _print(fit: "JointFit", scores: "Mapping[str, GivenScores] | None") -> None:
    from rich.console import Console

    console = Console()
    print_notes(console, fit.record.notes)
    evidence = fit.evidence
    runs = len(fit.record.table.runs.run_ids)
    _print_scores(
        console,
        evidence.mixtures,
        f"{fit.record.laws.method}, {runs} runs, mixtures left out in {evidence.num_folds} folds",
    )
    if evidence.scale:
        _print_scores(console, evidence.scale, f"Left out: {evidence.scale_held_out}")
    else:
        console.print(
            f"The largest scale was not left out: {evidence.scale_held_out}",
            soft_wrap=True,
            markup=False,
        )
    print_gate(console, fit.verdict)
    if scores is not None:
        print_given(console, scores)


def _print_scores(console: object, scores: "Mapping[str, JointScores]", title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table(
        "target", "rank", "MAE", "MAE of scale alone", "law minus scale alone", title=title
    )
    for name, one in scores.items():
        rank = "none" if one.spearman is None else f"{one.spearman:.3f}"
        gain = one.difference_nats
        table.add_row(
            name,
            rank,
            f"{one.mae_nats:.4f}",
            f"{one.scale_only_mae_nats:.4f}",
            f"{gain.low:+.4f} to {gain.high:+.4f}",
        )
    console.print(table)
