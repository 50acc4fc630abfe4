"""The command that goes from a training step to its documents, and back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from training.run_trace import DocumentTrace, StepTrace, TracedRun

EPILOG = "\n\n".join(
    (
        "RUN is a folder that mixwright train filled, or the name of a run of the lake "
        "(a partition of training_runs). Steps count from 1, slots, rows and tokens from 0.",
        "",
        "Examples:",
        "mixwright explain runs/first --step 100",
        "mixwright explain runs/first --document technical-docs/guide.rst --json",
        "mixwright explain aioli-s0-1a2b3c4d --step 7 --preset demo",
    )
)
MOST_LINES = 200
"""Lines of a table on the terminal; --json has them all."""


def explain(
    run: Annotated[str, typer.Argument(help="Folder of a run, or its name in the lake.")],
    *,
    step: Annotated[int | None, typer.Option(help="Which documents did this step see?")] = None,
    document: Annotated[
        str | None, typer.Option(metavar="ID", help="Which steps saw this document?")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", "-p", help="Name or path.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Show the documents that a training step saw, or the steps that saw a document."""
    from rich.console import Console

    from orchestration.command_errors import one_clear_error

    with one_clear_error():
        if (step is None) == (document is None):
            raise ValueError("give either --step N or --document ID")
        traced = _open(run, preset)
        console = Console(highlight=False)
        if step is not None:
            found = traced.step(step)
            if as_json:
                typer.echo(json.dumps(_step_json(found)))
            else:
                _print_step(found, console)
        elif document is not None:
            trace = traced.document(document)
            if as_json:
                typer.echo(json.dumps(asdict(trace)))
            else:
                _print_document(trace, console)


def _open(run: str, preset: str | None) -> "TracedRun":
    from training.run_trace import TracedRun

    if Path(run).is_dir():
        return TracedRun.open(Path(run))
    if len(Path(run).parts) > 1:
        raise ValueError(f"{run}: no such folder; name the folder of a run, or a run of the lake")
    from orchestration.cli import choose_preset

    choose_preset(preset)
    from assets.lake_runs import open_lake_run
    from orchestration import deployments

    return open_lake_run(deployments.lake(), run)


def _step_json(found: "StepTrace") -> dict[str, object]:
    return {
        "step": found.step,
        "domains": [asdict(domain) for domain in found.domains],
        "rows": [
            {**asdict(seen), "documents": [asdict(span) for span in spans]}
            for seen, spans in found.rows
        ],
    }


def _print_step(found: "StepTrace", console: "Console") -> None:
    from rich.table import Table
    from rich.text import Text

    domains = Table("domain", "asked for", "applied", "rows", title=f"step {found.step}")
    for one in found.domains:
        domains.add_row(one.domain, f"{one.requested:.4f}", f"{one.applied:.4f}", str(one.rows))
    console.print(domains)
    table = Table("slot", "domain", "row", "epoch")
    table.add_column("documents (from which token of the row + how many)", overflow="fold")
    for seen, spans in found.rows[:MOST_LINES]:
        told = "\n".join(
            f"{span.document_id}  {span.row_start} + {span.num_tokens}"
            + (f", from its token {span.document_start}" if span.document_start else "")
            for span in spans
        )
        table.add_row(str(seen.slot), seen.domain, str(seen.row), str(seen.epoch), Text(told))
    console.print(table)
    _say_rest(len(found.rows), console)


def _print_document(trace: "DocumentTrace", console: "Console") -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(trace.document_id, style="bold"))
    for domain in trace.heldout_domains:
        console.print(f"held out in {domain}: no step sees it there")
    for domain, rows in trace.rows.items():
        drawn = {seen.row for seen in trace.seen if seen.domain == domain}
        console.print(f"{domain}: in {rows} rows, of which {len(drawn)} were drawn")
    if not trace.seen:
        console.print("No step saw it.")
        return
    steps = len({seen.step for seen in trace.seen})
    console.print(f"Seen {len(trace.seen)} times in {steps} steps:")
    table = Table("step", "slot", "domain", "row", "epoch")
    for seen in trace.seen[:MOST_LINES]:
        table.add_row(*map(str, (seen.step, seen.slot, seen.domain, seen.row, seen.epoch)))
    console.print(table)
    _say_rest(len(trace.seen), console)


def _say_rest(lines: int, console: "Console") -> None:
    if lines > MOST_LINES:
        console.print(f"and {lines - MOST_LINES} more; --json has all")
