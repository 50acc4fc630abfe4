"""The command that trains one model on token shards."""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from training.config import RunConfig

EPILOG = "\n\n".join(  # Typer joins the lines of a paragraph, so each line is one
    (
        "OUT gets metrics.jsonl (a line per step), timings.jsonl, ledger/ (every row drawn), "
        "checkpoints/, final/ (for AutoModelForCausalLM.from_pretrained), result.json, config.json "
        "(every setting) and report.html.",
        "",
        "Exit codes: 0 finished; 2 wrong configuration, shards or folder; 65 the loss is not "
        "finite; 70 a domain is used up; 71 a step does not fit into memory; 73 another process "
        "trains in the folder; 74 a file cannot be written; 75 stopped by SIGTERM or Ctrl-C: go on "
        "with --resume.",
        "",
        "Examples:",
        "mixwright train --example > run.yaml",
        "mixwright train run.yaml --out runs/first",
        "mixwright train run.yaml --out runs/second --set schedule.peak_lr=1e-3 --set seed=1",
        "mixwright train --resume --out runs/first",
    )
)


def train(
    config: Annotated[
        Path | None,
        typer.Argument(help="The run, YAML or JSON; --resume does without.", metavar="CONFIG.yaml"),
    ] = None,
    *,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT, if any.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Print a complete run file and end.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Train a model on a mixture of token shards; what is interrupted resumes exactly."""
    if example:
        from training.annotated_run import annotated_run

        typer.echo(annotated_run(), nl=False)
        return
    from orchestration.command_errors import one_clear_error

    with one_clear_error():
        if out is None:
            raise ValueError("--out is missing: name the folder of the run")
        run = _load(config, out, overrides or [], resume=resume)
    raise typer.Exit(_train(run, out, as_json=as_json))


def _load(config: Path | None, out: Path, overrides: list[str], *, resume: bool) -> "RunConfig":
    """Read the run and make sure that it is wanted in this folder.

    Raises:
        ValueError: No configuration; the folder is a file; or it holds a run and --resume was not
            given.
    """
    from training.run_file import load_run_config
    from training.run_folder import RUN_CONFIG_FILE, last_step

    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; name a folder")
    step = last_step(out)
    if step is not None and not resume and _leads():
        raise ValueError(
            f"{out} holds a run at step {step}: add --resume to go on, or choose another --out"
        )
    if config is None:
        if step is None:
            raise ValueError(
                "CONFIG.yaml is missing: name a run file (mixwright train --example prints one), "
                "or --resume with the --out of a run that was started"
            )
        config = out / RUN_CONFIG_FILE
    return load_run_config(config, overrides=overrides)


def _train(run: "RunConfig", out: Path, *, as_json: bool) -> int:
    """Train, write the page, say what came of it; return the exit code."""
    from orchestration.run_page import write_run_page
    from orchestration.training_display import training_display
    from training.run import EXIT_CONFIG, EXIT_LOCKED, StopFlag, run_training
    from training.run_result import RESULT_FILE

    with training_display(run.run_id) as show, _told():
        code = run_training(run, out, show=show, stop=StopFlag.on_signals())
    if code == EXIT_CONFIG:
        return 2
    if not _leads() or code == EXIT_LOCKED:  # the page is of the run that holds the folder
        return code
    page = write_run_page(out, exit_code=code)
    if code == 0:
        text = (out / RESULT_FILE).read_text()
        if as_json:
            typer.echo(json.dumps(json.loads(text), sort_keys=True))
        else:
            _print(out)
    if page is not None and not as_json:
        typer.echo(f"Page: {page}")
    return code


def _leads() -> bool:
    """Whether this is the only process, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


class _OnStderr(logging.Handler):
    """Writes as the other commands do; sys.stderr as it is now, so that a bar is not torn."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{record.levelname.lower()}: {record.getMessage()}\n")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Show what the training package logs."""
    handler = _OnStderr(logging.WARNING)
    logger = logging.getLogger("training")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _print(out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from training.run_result import RESULT_FILE, read_result

    result = read_result(out / RESULT_FILE)
    table = Table("domain", "asked for", "drawn", "epochs", "held-out loss (nats per token)")
    for domain, held in result.heldout.items():
        error = "" if held.standard_error is None else f" ± {held.standard_error:.4f}"
        table.add_row(
            domain,
            f"{result.requested_weights[domain]:.4f}",
            f"{result.realised_shares[domain]:.4f}",
            f"{result.epochs[domain]:.2f}",
            f"{held.loss_nats:.4f}{error}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"{result.steps:,} steps, {result.tokens:,} tokens, {result.num_parameters:,} parameters; "
        f"model: {out / 'final'}",
        soft_wrap=True,
        highlight=False,
    )
