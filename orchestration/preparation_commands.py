"""Commands that prepare a file or folder of documents, without Dagster."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from quality.documents_on_disk import DocumentsOnDisk
    from quality.input_profile import InputProfile

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="Parquet or JSONL (.gz, .zst) file, a folder of them, or a URL that fsspec knows.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder to fill; replaced as a whole.")]
TextColumn = Annotated[str, typer.Option("--text-column", help="Column that holds the text.")]
IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id-column",
        help="Column that holds a unique id. Default: id if there is one, else file and row.",
    ),
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option("--leave-out", help="Column to ignore; may be given more than once."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(
        epilog="Examples: mixwright profile pages.jsonl.gz --out report   |   mixwright profile "
        "s3://bucket/pages --out report --text-column body --json"
    )(profile)


def profile(
    source: Input,
    out: Out,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    leave_out: LeaveOut = None,
    as_json: AsJson = False,
) -> None:
    """Measure documents before anything is changed: lengths, languages, defects with examples.

    Writes OUT/index.html, a page that needs no server, and OUT/summary.json.
    """
    from orchestration.command_feedback import clear_errors, progress_bar
    from orchestration.output_folder import replacing, write_summary
    from orchestration.preparation_page import profile_content, write_profile_page
    from quality.documents_on_disk import open_documents
    from quality.input_profile import profile_documents

    with clear_errors(), replacing(out, command="profile") as draft:
        documents = open_documents(
            source, text_column=text_column, id_column=id_column, leave_out=leave_out or ()
        )
        with progress_bar("measuring") as progress:
            found = profile_documents(documents, progress=progress)
        content = profile_content(documents, found)
        write_profile_page(draft / "index.html", documents, found)
        write_summary(draft, "profile", content)
    if as_json:
        typer.echo(json.dumps(content, sort_keys=True))
    else:
        _print_profile(_console(), documents, found)
        typer.echo(f"Page: {out.absolute() / 'index.html'}")


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _print_profile(
    console: "Console", documents: "DocumentsOnDisk", profile: "InputProfile"
) -> None:
    from rich.table import Table

    from orchestration.preparation_page import defect_title
    from orchestration.wording import count, megabytes, percent

    corpus = profile.corpus
    main = next(iter(corpus.languages))
    share = corpus.languages[main].num_chars / max(corpus.num_chars, 1)
    quantiles = corpus.length_quantiles_chars
    table = Table("measure", "value", title=f"Profile of {documents.path}", title_justify="left")
    table.add_row("rows", count(profile.num_rows))
    table.add_row("documents", count(corpus.num_documents))
    table.add_row("text", f"{megabytes(corpus.num_bytes)} MB, {count(corpus.num_words)} words")
    table.add_row("tokens, estimated", count(corpus.estimated_tokens))
    table.add_row("median length", f"{count(quantiles['0.5'])} characters")
    table.add_row("languages", f"{len(corpus.languages)}; {percent(share)} of the text is {main}")
    for defect in profile.defects:
        name = defect_title(defect.name).lower()
        table.add_row(
            name, f"{count(defect.num_documents)} ({percent(defect.num_documents / profile.num_rows)})"
        )
    console.print(table)
