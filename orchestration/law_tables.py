"""What the commands on mixing laws print."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from training.given_scores import GivenScores
    from training.law_evidence import TargetEvidence
    from training.law_fitting import LawFit
    from training.law_gate import LawVerdict


def print_fit(fit: "LawFit", scores: "Mapping[str, GivenScores] | None") -> None:
    """Notes, choice, held-out scores, gate, and scores on given rows."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    print_notes(console, fit.record.notes)
    if fit.choice is not None:
        tried = ", ".join(f"{name} {error:.3f}" for name, error in fit.choice.errors.items())
        console.print(f"Chosen: {fit.choice.method} (error over that of the mean: {tried})")
    evidence = fit.evidence
    heading = f"{fit.record.laws.method}, {len(evidence.table.run_ids)} runs, held out in "
    table = Table(
        "target", "rank", "MAE", "regret", "trivial MAE", "law minus trivial", "trivial rank",
        title=heading + f"{evidence.num_folds} folds",
        caption="rank: Spearman; errors in nats per token; law minus trivial: interval of the "
        "difference in MAE to the best trivial predictor",
    )  # fmt: skip
    for name, one in evidence.per_domain.items():
        table.add_row(name, *_held_out(one))
    table.add_section()
    table.add_row("average", *_held_out(evidence.average))
    console.print(table)
    print_gate(console, fit.verdict)
    if scores is not None:
        print_given(console, scores)


def print_predictions(summary: Mapping[str, object]) -> None:
    """What is in the table of predictions, and which mixtures lie outside the runs."""
    from rich.console import Console

    console = Console()
    notes, outside = summary["notes"], summary["outside_the_runs"]
    assert isinstance(notes, list)
    assert isinstance(outside, list)
    print_notes(console, notes)
    if not summary["gate_passed"]:
        console.print("[yellow]The law failed its gate: do not choose a mixture by it.[/]")
    if outside:
        console.print(
            f"[yellow]{len(outside)} of {summary['mixtures']} mixtures lie further than "
            f"{summary['hull_limit']} (total variation) from the hull of the runs: "
            f"{', '.join(outside[:5])}{' ...' if len(outside) > 5 else ''}[/]",
            soft_wrap=True,
        )
    console.print(
        f"Best average loss: {summary['best_by_average']}, {summary['best_average_nats']:.4f} nats"
    )
    console.print(
        f"Predictions: {summary['predictions']}   picture: {summary['picture']}", soft_wrap=True
    )


def print_gate(console: "Console", verdict: "LawVerdict") -> None:
    """The rows of a verdict."""
    from rich.table import Table

    gate = Table("gate", "observed", "limit", "verdict", "detail")
    for row in verdict.rows:
        told = "[green]passed[/]" if row.passed else "[red]failed[/]"
        observed = "none" if row.observed is None else f"{row.observed:.4g}"
        gate.add_row(row.name, observed, f"{row.rule} {row.limit:.4g}", told, row.detail)
    console.print(gate)


def print_given(console: "Console", scores: "Mapping[str, GivenScores]") -> None:
    """Scores on rows that were given for it."""
    from rich.table import Table

    given = Table(
        "target", "rank", "MAE", "MSE", "regret", "pick", "its place", "in interval",
        title="On the given rows",
    )  # fmt: skip
    for name, score in scores.items():
        given.add_row(
            name,
            _number(score.spearman, 4),
            f"{score.mae_nats:.4f}",
            f"{score.mse_nats2:.4g}",
            f"{score.regret_nats:.4f}",
            score.pick,
            str(score.pick_rank),
            f"{score.coverage:.0%}",
        )
    console.print(given)


def _held_out(one: "TargetEvidence") -> list[str]:
    return [
        _number(one.law.spearman, 3),
        f"{one.law.mae_nats:.4f}",
        _number(one.law.regret_nats, 4),
        f"{one.baselines[one.best_by_error].mae_nats:.4f} {one.best_by_error}",
        f"{one.error_difference.low:+.4f} to {one.error_difference.high:+.4f}",
        f"{_number(one.baselines[one.best_by_rank].spearman, 3)} {one.best_by_rank}",
    ]


def _number(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def print_notes(console: "Console", notes: Sequence[str]) -> None:
    """What was done to the rows of a file."""
    for note in notes:
        console.print(f"Note: {note}", soft_wrap=True, markup=False)
