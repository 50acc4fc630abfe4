"""The `mixwright` command: thin over the packages."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestration import (
    acceptance_commands,
    critical_share_commands,
    dedup_commands,
    discovery_commands,
    explain_commands,
    labelling_commands,
    law_commands,
    method_commands,
    plan_commands,
    preparation_commands,
    proposal_commands,
    scaling_commands,
    skill_commands,
    stage_commands,
    swarm_commands,
    trace_commands,
    training_commands,
)

app = typer.Typer(
    name="mixwright",
    help="Decide, with evidence, what a language model should be trained on.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="Name of a file in examples/presets, or a path. Default: $MIXWRIGHT_PRESET or demo.",
    ),
]


def choose_preset(preset: str | None) -> None:
    """Set the preset before the modules that read it are imported; look at the launcher file."""
    if preset is not None:
        path = Path(preset)
        os.environ["MIXWRIGHT_PRESET"] = str(path.resolve()) if path.suffix else preset
    try:
        import assets.partitions  # noqa: F401  # reads preset and catalogue
        from orchestration import deployments

        deployments.launcher()
    except ValueError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from error


@app.command(epilog="Example: mixwright demo --preset examples/presets/demo.yaml")
def demo(preset: PresetOption = None) -> None:
    """Make everything that is stale, from raw text to evaluated models, and report."""
    choose_preset(preset)
    from rich.console import Console
    from rich.markup import escape

    from assets.partitions import PRESET, TRAINING_RUNS
    from orchestration import deployments
    from orchestration.demo import StageFailed, materialise_all
    from orchestration.report import write_report
    from orchestration.summary import print_summary

    console = Console()
    lake = deployments.lake()
    os.environ["DAGSTER_HOME"] = str(deployments.dagster_home())
    try:
        num_runs = materialise_all(lake, console)
    except StageFailed as error:
        console.print(f"[bold red]{escape(str(error))}[/]")
        raise typer.Exit(1) from error
    runs = list(TRAINING_RUNS)
    print_summary(lake, console, run_ids=runs)
    if num_runs == 0:
        console.print("Everything is fresh: no asset was re-made.")
    out = deployments.home() / "report.html"
    report_path = write_report(lake, out, preset=PRESET.name, run_ids=runs)
    console.print(f"Report: {report_path}   UI: make dev", soft_wrap=True)


@app.command(epilog="Example: mixwright status --preset demo")
def status(preset: PresetOption = None) -> None:
    """List what is stale and why, and which gates did not pass, without making anything."""
    choose_preset(preset)
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from orchestration import deployments
    from orchestration.demo import stale_partitions
    from orchestration.verdicts import read_verdicts

    lake, console = deployments.lake(), Console()
    rows = stale_partitions(lake)
    if rows:
        table = Table("asset", "partition", "why it is stale")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        console.print("Everything is fresh.")
    gates = Table("gate", "artifact", "status", "what does not hold")
    for one in read_verdicts(lake):
        if one.failed:
            gates.add_row(one.gate, one.artifact, one.status, escape("\n".join(one.failed)))
    if gates.rows:
        console.print(gates)


@app.command(epilog="Example: mixwright report --out report.html")
def report(
    preset: PresetOption = None,
    out: Annotated[Path | None, typer.Option(help="HTML file to write.")] = None,
) -> None:
    """Print the summary of what there is and write the HTML report."""
    choose_preset(preset)
    from rich.console import Console

    from assets.partitions import PRESET, TRAINING_RUNS
    from orchestration import deployments
    from orchestration.report import write_report
    from orchestration.summary import print_summary

    lake, runs = deployments.lake(), list(TRAINING_RUNS)
    print_summary(lake, Console(), run_ids=runs)
    out = out or deployments.home() / "report.html"
    typer.echo(f"Report: {write_report(lake, out, preset=PRESET.name, run_ids=runs)}")


@app.command(epilog="Example: mixwright check   (in CI, no GPU and no network)")
def check(preset: PresetOption = "ci") -> None:
    """Run every data gate on fixture partitions; exit 1 if one fails with severity ERROR."""
    choose_preset(preset)
    from rich.console import Console

    from orchestration.gate_run import check_gates

    raise typer.Exit(0 if check_gates(Console()) else 1)


@app.command()
def validate() -> None:
    """Load the code location as Dagster would."""
    from orchestration.deployments import WORKSPACE

    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(WORKSPACE)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command(epilog="Example: mixwright dev --port 3000")
def dev(
    preset: PresetOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the UI.")] = 3000,
) -> None:
    """Start the Dagster UI and daemon on the instance that the demo filled."""
    choose_preset(preset)
    from orchestration import deployments
    from orchestration.command_errors import one_clear_error
    from orchestration.device_pool import set_slots

    os.environ["DAGSTER_HOME"] = str(deployments.dagster_home())
    with one_clear_error(), deployments.instance() as instance:
        set_slots(instance, deployments.launcher().slots)
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(deployments.WORKSPACE)]
    os.execv(sys.executable, [*command, "-h", host, "-p", str(port)])


preparation_commands.register(app)
app.command(epilog=dedup_commands.DEDUP_EXAMPLES)(dedup_commands.dedup)
app.command(epilog=dedup_commands.DECONTAMINATE_EXAMPLES)(dedup_commands.decontaminate)
labelling_commands.register(app)
trace_commands.register(app)
app.command("fit-law", epilog=law_commands.FIT_EPILOG)(law_commands.fit_law)
app.command("predict", epilog=law_commands.PREDICT_EPILOG)(law_commands.predict)
app.command("propose", epilog=proposal_commands.EPILOG)(proposal_commands.propose)
app.command("fit-scaling", epilog=scaling_commands.FIT_EPILOG)(scaling_commands.fit_scaling)
app.command("plan", epilog=plan_commands.EPILOG)(plan_commands.plan)
app.command("skill-graph", epilog=skill_commands.EPILOG)(skill_commands.skill_graph)
stage_commands.register(app)
app.command("critical-share", epilog=critical_share_commands.EPILOG)(
    critical_share_commands.critical_share
)
app.command("design-swarm", epilog=swarm_commands.EPILOG)(swarm_commands.design_swarm)
app.command("discover-skills", epilog=discovery_commands.EPILOG)(discovery_commands.discover_skills)
app.command("accept", epilog=acceptance_commands.EPILOG)(acceptance_commands.accept)
app.command("train", epilog=training_commands.EPILOG)(training_commands.train)
app.command("methods", epilog=method_commands.EPILOG)(method_commands.methods)
app.command("explain", epilog=explain_commands.EPILOG)(explain_commands.explain)

if __name__ == "__main__":
    app()
