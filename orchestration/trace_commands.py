"""The command that follows one document from its source to the end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.preparation_commands import AsJson

if TYPE_CHECKING:
    from assets.lake import Lake
    from quality.provenance import StageTable, Step

STAGES = (
    "raw_corpora",
    "cleaned_shards",
    "cluster_members",
    "heldout_sets",
    "contaminated_documents",
    "skill_tags",
    "quality_scores",
    "token_shards",
)
"""Assets that hold documents, in their order; those that do not exist are passed over."""
FATES = {
    "unreadable.parquet": "removed",
    "rejected.parquet": "removed",
    "members.parquet": "by kind",
    "matches.parquet": "by kind",
    "tags.parquet": "tagged",
    "scores.parquet": "scored",
    "documents.parquet": "went on",
    "train/documents.parquet": "went on",
    "heldout/documents.parquet": "held out",
}
FOLDER_FATES = {"rejected": "removed", "removed": "removed", "kept": "went on"}
TOLD = ("source", "source_row", "operator", "reason", "metric", "value", "limit")
ALSO_TOLD = (
    *("kept_id", "kind", "licence", "detail", "num_tokens"),
    *("evaluation", "item_id", "overlap", "passage"),
    *("skill", "confidence", "tagger", "quality_score"),
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog="Examples: mixwright trace technical-docs/guide.rst   |   mixwright trace "
        "part.jsonl:17 --in cleaned   |   mixwright trace k3 --in deduplicated --json"
    )(trace)


def trace(
    key: Annotated[
        str,
        typer.Argument(metavar="ID", help="Id of a document, or file:row of its source."),
    ],
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--in", help="Folder that clean, dedup or decontaminate wrote. Default: the lake."
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", "-p", help="Name or path.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a document's way from its raw row: where it went on, or what removed it and why."""
    from orchestration.command_errors import one_clear_error
    from quality.provenance import trace_document

    with one_clear_error():
        if folder is not None:
            steps = [*_raw_rows(folder, key), *trace_document(key, folder_tables(folder))]
        else:
            from orchestration.cli import choose_preset

            choose_preset(preset)
            from orchestration import deployments

            steps = trace_document(key, lake_tables(deployments.lake()))
        if not steps:
            where = folder or "the lake"
            raise ValueError(f"no document or source row {key!r} in {where}; check its spelling")
    if as_json:
        rows = [{"stage": one.stage, "fate": one.fate, "row": dict(one.row)} for one in steps]
        typer.echo(json.dumps({"key": key, "steps": rows}, sort_keys=True, default=str))
    else:
        _print(key, steps)


def lake_tables(lake: "Lake") -> "Iterator[StageTable]":
    """Yield the tables of documents in the current versions of a lake, from raw to tokens."""
    from assets.lake import WHOLE
    from quality.provenance import StageTable

    for asset in STAGES:
        for key in lake.partitions(asset):
            artifact = lake.artifact(asset, None if key == WHOLE else key)
            for name, fate in FATES.items():
                file = artifact.folder / name
                if file.is_file():
                    stage = (
                        artifact.name if "/" not in name else f"{artifact.name}/{file.parts[-2]}"
                    )
                    fate_here = "held out" if asset == "heldout_sets" else fate
                    yield StageTable(stage=stage, fate=fate_here, files=(file,))


def folder_tables(folder: Path) -> "Iterator[StageTable]":
    """Yield the tables of a command's output, after those of the commands before it.

    Raises:
        ValueError: The folder was not written by a command.
    """
    from quality.provenance import StageTable

    for one in _chain(folder):
        command = _summary(one)["command"]
        for name, fate in FOLDER_FATES.items():
            files = tuple(sorted((one / name).glob("*.parquet")))
            if files:
                yield StageTable(stage=f"{command} {one}", fate=fate, files=files)


def _chain(folder: Path) -> list[Path]:
    """Follow inputs back: the folders of all commands that came before, and this one last."""
    chain: list[Path] = []
    for path in _inputs(folder):
        before = Path(path).parent
        if (before / "summary.json").is_file():
            chain += [one for one in _chain(before) if one not in chain]
    return [*chain, folder]


def _inputs(folder: Path) -> list[str]:
    """Paths that the command of a folder has read."""
    summary = _summary(folder)
    named = summary.get("inputs", [summary.get("input")])
    assert isinstance(named, list)
    return [str(path) for path in named if path is not None]


def _summary(folder: Path) -> dict[str, object]:
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if isinstance(summary, dict) and "command" in summary:
            return summary
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: no summary.json of a command ({error})") from error
    raise ValueError(f"{folder}: its summary.json was not written by a command")


def _raw_rows(folder: Path, key: str) -> "list[Step]":
    """Read the row of each input that no command wrote, if it is still there."""
    from quality.documents_on_disk import open_documents
    from quality.provenance import Step, find_input_row

    steps = []
    for one in _chain(folder):
        summary = _summary(one)
        text_column = str(summary.get("text_column", "text"))
        for path in _inputs(one):
            if not (Path(path).parent / "summary.json").is_file():
                documents = open_documents(path, text_column=text_column)
                id_column = summary.get("id_column")
                if id_column in documents.schema.names and id_column != documents.id_column:
                    documents = open_documents(
                        path, text_column=text_column, id_column=str(id_column)
                    )
                row = find_input_row(documents, key)
                if row is not None:
                    steps.append(Step(stage=f"input {path}", fate="read", row=row))
    return steps


def _print(key: str, steps: "list[Step]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from quality.defect_examples import clip

    console = Console()
    table = Table("stage", "fate", "what is on record", title=escape(key), title_justify="left")
    for step in steps:
        told = [f"{name}: {step.row[name]}" for name in TOLD if step.row.get(name) is not None]
        told += [
            f"{name}: {value}"
            for name, value in step.row.items()
            if name in ALSO_TOLD and value is not None
        ]
        if isinstance(step.row.get("text"), str):
            told.append(f"text: {clip(str(step.row['text']))}")
        colour = {"removed": "red", "went on": "green"}.get(step.fate, "cyan")
        table.add_row(step.stage, f"[{colour}]{step.fate}[/]", escape("\n".join(told)))
    console.print(table)
