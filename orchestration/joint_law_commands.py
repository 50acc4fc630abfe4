"""The part of `fit-law` and `predict` that is about laws in mixture, parameters and tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.law_requests import FitAnswer, FitRequest, Report, write_law
from orchestration.law_tables import print_gate, print_given, print_notes

if TYPE_CHECKING:
    from training.arrays import Floats
    from training.given_scores import GivenScores
    from training.joint_evidence import JointScores
    from training.joint_fitting import JointFit
    from training.joint_record import JointRecord
    from training.runs_csv import MixtureRows


def fit_joint_law(request: FitRequest, report: Report) -> FitAnswer:
    """Fit a law of mixture, parameters and tokens, and write it.

    Raises:
        ValueError: The runs cannot be used.
    """
    from training.joint_fitting import fit_joint_with_evidence, read_joint_runs, score_joint

    columns, scale = request.columns, request.scale
    table, notes = read_joint_runs(request.runs, columns, scale, targets=request.targets)
    given = None
    if request.test is not None:
        given, more = read_joint_runs(
            request.test,
            columns,
            scale,
            domains=table.runs.domains,
            targets=table.runs.eval_domains,
            for_fit=False,
        )
        notes = (*notes, *more)
    fit = fit_joint_with_evidence(
        table,
        method=request.method,
        num_folds=request.folds,
        num_refits=request.resamples,
        seed=request.seed,
        columns=columns,
        scale=scale,
        notes=notes,
        tick=report,
    )
    scores = None if given is None else score_joint(fit.record, given)
    written = write_law(fit.record.to_json(), table.runs, fit.predicted, request.out)
    return FitAnswer(
        summary=_summary(fit, request.out, written, scores),
        show=lambda: _print(fit, scores),
        pictures=written,
    )


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
