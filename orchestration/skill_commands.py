"""Commands about skills: the graph from anybody's finished runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from training.skill_graph import SkillGraph

EPILOG = "\n\n".join(  # Typer joins the lines of a paragraph, so each line is one
    (
        "One row per finished run, with the columns run_id, seed, steps (trained), p_<skill> "
        "(share of the skill in the training data), loss_<skill> (held-out, after training), "
        "initial_loss_<skill> (before training; or instead one row per seed with steps 0) and, "
        "where wanted, kind (random: trained on randomly drawn data).",
        "",
        "run_id,seed,steps,p_a,p_b,loss_a,loss_b,initial_loss_a,initial_loss_b",
        "a-0,0,500,1,0,1.20,2.71,3.00,3.01",
        "b-0,0,500,0,1,2.40,1.95,3.00,3.01",
        "ab-0,0,500,0.5,0.5,1.31,1.42,3.00,3.01",
        "a-1,1,500,1,0,1.22,2.69,3.02,2.99 ...",
        "",
        "Runs on one skill alone (p = 1) give the linear graph; with runs on every two skills "
        "(p = 0.5, 0.5) it is learnt by brute force. Repeat every run with at least three seeds: "
        "without them no edge is significant. Runs of one seed start from the same model. A skill "
        "with loss_ but without p_ is only evaluated.",
        "",
        "Examples:",
        "mixwright skill-graph runs.csv --out graph.json",
        "mixwright skill-graph runs.csv --method linear --min-weight 0.01 --json --out graph.json",
    )
)


def skill_graph(
    *,
    runs: Annotated[
        Path, typer.Argument(help="Finished runs, CSV or Parquet.", metavar="RUNS.csv")
    ],
    out: Annotated[Path, typer.Option(help="JSON file to write; the drawing goes beside it.")],
    method: Annotated[
        Literal["linear", "brute_force"] | None,
        typer.Option(help="Default: brute_force if there are runs on two skills, else linear."),
    ] = None,
    level: Annotated[
        float, typer.Option(help="Of the intervals; 1 - level: share of false edges.")
    ] = 0.95,
    min_weight: Annotated[
        float, typer.Option(help="Smallest edge, as a share of the loss before training.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the graph as JSON only.")] = False,
) -> None:
    """Learn which skill's data lowers which skill's loss, and say whether an order can help."""
    from assets.lake import write_json
    from assets.plots import plot_skill_graph
    from training.skill_graph import learn_skill_graph
    from training.skill_runs import read_skill_runs

    try:
        graph = learn_skill_graph(
            read_skill_runs(runs), method=method, level=level, min_weight=min_weight
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, graph.to_json())
        picture = out.with_suffix(".png")
        picture.write_bytes(
            plot_skill_graph(graph.trained, graph.evaluated, graph.matrix(), graph.signs())
        )
    except (ValueError, OSError) as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(json.dumps(graph.to_json()))
        return
    _print(graph)
    typer.echo(f"Graph: {out}   drawing: {picture}")


def _print(graph: "SkillGraph") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("trained on", "evaluated", "weight", f"{graph.level:.0%} interval", "sign")
    for edge in graph.edges:
        interval = "-" if edge.low is None else f"{edge.low:.4f} to {edge.high:.4f}"
        table.add_row(edge.train, edge.evaluated, f"{edge.weight:.4f}", interval, edge.sign)
    console.print(table)
    if graph.skills:
        tests = Table("slice", "gain over random data (nats)", "interval", "a skill")
        answers = {True: "yes", False: "no", None: "insufficient"}
        for test in graph.skills:
            interval = "-" if test.low is None else f"{test.low:.4f} to {test.high:.4f}"
            tests.add_row(test.skill, f"{test.gain_nats:.4f}", interval, answers[test.is_skill])
        console.print(tests)
    for run in graph.unused:
        console.print(f"not used: {run.run_id} ({run.reason})", markup=False, soft_wrap=True)
    found = graph.diagnosis
    console.print(
        f"{graph.method}, {len(graph.seeds)} seeds, {graph.steps} steps, {len(graph.used)} runs; "
        f"{found.num_positive} positive and {found.num_negative} negative of {found.num_possible} "
        f"edges, density {found.density:.2f}"
    )
    console.print(f"{found.verdict}: {found.advice}", soft_wrap=True)
