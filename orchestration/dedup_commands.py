"""`mixwright dedup` and `mixwright decontaminate`: files in, what stays and what went out."""

from pathlib import Path
from typing import Annotated, Literal

import typer

TextColumn = Annotated[str, typer.Option(help="Column of the texts.")]
IdColumn = Annotated[
    str | None, typer.Option(help="Column of the ids. Default: id, or file and row number.")
]
Out = Annotated[Path, typer.Option(help="Folder to write; a former result there is replaced.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
DEDUP_EXAMPLES = """Examples:

mixwright dedup corpus.parquet --out deduplicated

mixwright dedup books/ web.jsonl.zst --method exact --out deduplicated   (books/ stays first)

mixwright dedup web/ --min-similarity 0.8 --paragraphs --json --out deduplicated"""


def dedup(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Parquet or JSONL files or folders, best first."),
    ],
    out: Out,
    method: Annotated[
        Literal["exact", "minhash", "both"],
        typer.Option(help="Copies up to case and white space, near-copies, or either."),
    ] = "both",
    min_similarity: Annotated[
        float, typer.Option(min=0, max=1, help="Least estimated Jaccard similarity of near-copies.")
    ] = 0.7,
    paragraphs: Annotated[
        bool, typer.Option("--paragraphs", help="Also cut paragraphs that stand elsewhere.")
    ] = False,
    min_paragraph_chars: Annotated[
        int, typer.Option(min=1, help="Shorter paragraphs may repeat.")
    ] = 100,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    as_json: AsJson = False,
) -> None:
    """Remove copies and near-copies within and across inputs.

    Of each pair of copies the document stays whose input was named first, then the longer one, then
    the one with the lesser id. Writes OUT/kept/*.parquet (all columns), OUT/removed/*.parquet (id,
    kept_id, kind, ...) and OUT/summary.json.
    """
    from orchestration.command_feedback import clear_errors, progress_bar
    from orchestration.output_folder import replacing, write_summary
    from quality.dedup.clusters import DeduplicationConfig
    from quality.dedup.deduplication import deduplicate
    from quality.documents_on_disk import open_documents

    with clear_errors():
        if len(set(inputs)) != len(inputs):
            raise ValueError(f"an input is named twice in {', '.join(inputs)}; name it once")
        config = DeduplicationConfig(method=method, min_similarity=min_similarity)
        opened = {
            path: open_documents(path, text_column=text_column, id_column=id_column)
            for path in inputs
        }
        with replacing(out, command="dedup") as draft, progress_bar("deduplicate") as progress:
            summary = deduplicate(
                opened,
                draft,
                config,
                min_paragraph_chars=min_paragraph_chars if paragraphs else None,
                progress=progress,
            ).to_json()
            settings = {"inputs": inputs, "method": method, "min_similarity": min_similarity}
            write_summary(draft, "dedup", {**settings, **summary})
    _show(summary, out, as_json=as_json)


def _show(summary: dict[str, object], out: Path, *, as_json: bool) -> None:
    """Print the counts: one JSON object, or a table."""
    if as_json:
        import json

        typer.echo(json.dumps({**summary, "out": str(out)}, sort_keys=True))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "number")
    for name, value in summary.items():
        if isinstance(value, dict):
            for key, count in value.items():
                table.add_row(f"{name.replace('_', ' ')}: {key.replace('_', ' ')}", f"{count:,}")
        elif isinstance(value, int):
            table.add_row(name.replace("_", " "), f"{value:,}")
    console = Console()
    console.print(table)
    console.print(f"Written: {out}", soft_wrap=True, highlight=False)
