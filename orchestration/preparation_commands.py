"""Commands that prepare a file or folder of documents, without Dagster."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quality.source_files import is_url

if TYPE_CHECKING:
    from quality.documents_on_disk import DocumentsOnDisk

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
    app.command(
        epilog="Examples: mixwright clean pages/ --out cleaned   |   mixwright clean src.jsonl.zst "
        "--out cleaned --profile code --id-column path   |   then: "
        "datasets.load_dataset('parquet', data_files='cleaned/kept/*.parquet')"
    )(clean)
    app.command(
        epilog="Examples: mixwright tokenize cleaned/kept --tokenizer my-tokenizer --out shards   |"
        "   mixwright tokenize pages.parquet --tokenizer my-tokenizer/tokenizer.json --out shards"
    )(tokenize)


def profile(
    source: Input,
    *,
    out: Out,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    leave_out: LeaveOut = None,
    as_json: AsJson = False,
) -> None:
    """Measure documents before anything is changed: lengths, languages, defects with examples.

    Writes OUT/index.html, a page that needs no server, and OUT/summary.json.
    """
    from orchestration.command_errors import one_clear_error
    from orchestration.command_feedback import progress_bar
    from orchestration.output_folder import replacing, write_summary
    from orchestration.preparation_page import profile_content, write_profile_page
    from orchestration.preparation_tables import print_profile
    from quality.input_profile import profile_documents

    with one_clear_error(), replacing(out, command="profile") as draft:
        documents = _open(source, text_column, id_column, leave_out or [])
        with progress_bar("measuring") as progress:
            found = profile_documents(documents, progress=progress)
        content = {**input_content(documents), **profile_content(found)}
        write_profile_page(draft / "index.html", documents, found)
        write_summary(draft, "profile", content)
    if as_json:
        typer.echo(json.dumps(content, sort_keys=True))
    else:
        print_profile(documents, found)
        typer.echo(f"Page: {out.absolute() / 'index.html'}")


def clean(
    source: Input,
    *,
    out: Out,
    profile: Annotated[
        str, typer.Option("--profile", help="Cleaning profile; a wrong name lists them.")
    ] = "web",
    language: Annotated[
        str,
        typer.Option(help="ISO 639 code that all documents should be in; empty: not judged."),
    ] = "",
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    leave_out: LeaveOut = None,
    as_json: AsJson = False,
) -> None:
    """Normalise documents, drop bad ones and copies, and account for every row.

    Writes OUT/kept/*.parquet (all columns of INPUT, the cleaned text, the metrics),
    OUT/rejected/*.parquet (id, operator, reason, metric, value, limit), OUT/summary.json and
    OUT/index.html, which shows what each operator removed with examples.
    """
    from orchestration.command_errors import one_clear_error
    from orchestration.command_feedback import progress_bar
    from orchestration.output_folder import replacing, write_summary
    from orchestration.preparation_page import write_cleaning_page
    from orchestration.preparation_tables import print_cleaning
    from quality.cleaned_documents import clean_documents
    from quality.cleaning_profiles import find_profile

    with one_clear_error(), replacing(out, command="clean") as draft:
        chosen = find_profile(profile)
        documents = _open(source, text_column, id_column, leave_out or [])
        with progress_bar("cleaning") as progress:
            cleaned = clean_documents(
                documents, draft, chosen, language=language, progress=progress
            )
        content = {**input_content(documents), **cleaned.to_json()}
        write_cleaning_page(draft / "index.html", documents, cleaned)
        write_summary(draft, "clean", content)
    if as_json:
        typer.echo(json.dumps(content, sort_keys=True))
    else:
        print_cleaning(documents, cleaned)
        typer.echo(f"Kept: {out.absolute() / 'kept'}   Page: {out.absolute() / 'index.html'}")


def tokenize(
    source: Input,
    *,
    tokenizer: Annotated[
        Path,
        typer.Option("--tokenizer", help="Folder with tokenizer.json, or that file."),
    ],
    out: Out,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    as_json: AsJson = False,
) -> None:
    """Encode documents into memory-mapped token shards, each followed by an end of sequence.

    Writes OUT/*.tok (uint16 or uint32), OUT/*.doc (where documents start), OUT/documents.parquet,
    OUT/unreadable.parquet (rows that could not be read, with the reason), OUT/manifest.json with
    digests, and OUT/summary.json.
    """
    from orchestration.command_errors import one_clear_error
    from orchestration.command_feedback import progress_bar
    from orchestration.output_folder import replacing, write_summary
    from orchestration.preparation_tables import print_tokens
    from orchestration.token_writing import write_tokens

    with one_clear_error(), replacing(out, command="tokenize") as draft:
        documents = _open(source, text_column, id_column, [])
        with progress_bar("encoding") as progress:
            written = write_tokens(documents, tokenizer, draft, progress=progress)
        content = {**input_content(documents), "tokenizer": str(tokenizer), **written.to_json()}
        write_summary(draft, "tokenize", content)
    if as_json:
        typer.echo(json.dumps(content, sort_keys=True))
    else:
        print_tokens(documents, written)
        typer.echo(f"Shards: {out.absolute()}")


def _open(
    source: str, text_column: str, id_column: str | None, leave_out: list[str]
) -> "DocumentsOnDisk":
    from orchestration.command_feedback import progress_bar
    from quality.documents_on_disk import open_documents

    with progress_bar("looking at the columns") as progress:
        return open_documents(
            source,
            text_column=text_column,
            id_column=id_column,
            leave_out=leave_out,
            progress=progress,
        )


def input_content(documents: "DocumentsOnDisk") -> dict[str, object]:
    """Say what a command has read, as JSON values for its `summary.json`."""
    return {
        "input": documents.path if is_url(documents.path) else str(Path(documents.path).absolute()),
        "text_column": documents.text_column,
        "id_column": documents.id_column,
        "num_rows": documents.num_rows,
    }
