"""`mixwright dedup` and `mixwright decontaminate`: files in, what stays and what went out."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestration.preparation_commands import AsJson, IdColumn, Out, TextColumn

DEDUP_EXAMPLES = """Examples:

mixwright dedup corpus.parquet --out deduplicated

mixwright dedup books/ web.jsonl.zst --method exact --out deduplicated   (books/ stays first)

mixwright dedup web/ --min-similarity 0.8 --paragraphs --json --out deduplicated"""


DECONTAMINATE_EXAMPLES = """Examples:

mixwright decontaminate corpus.parquet --against gsm8k.jsonl --out clean

mixwright decontaminate web/ --against gsm8k.jsonl --against humaneval.parquet --json --out clean"""


def dedup(  # noqa: PLR0917  # each is an option of the command
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
    from orchestration.command_errors import one_clear_error
    from orchestration.command_feedback import progress_bar
    from orchestration.output_folder import replacing, write_summary
    from quality.dedup.clusters import DeduplicationConfig
    from quality.dedup.deduplication import deduplicate
    from quality.documents_on_disk import open_documents

    with one_clear_error():
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


def decontaminate(  # noqa: PLR0917  # each is an option of the command
    path: Annotated[str, typer.Argument(metavar="INPUT", help="Parquet or JSONL file or folder.")],
    against: Annotated[
        list[str], typer.Option(help="Evaluation items, file or folder; may be given repeatedly.")
    ],
    out: Out,
    ngram: Annotated[int, typer.Option(min=1, max=64, help="Words in a row that are shared.")] = 13,
    min_item_words: Annotated[
        int, typer.Option(min=1, help="Shorter items are not looked for.")
    ] = 8,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    eval_text_column: Annotated[str, typer.Option(help="Column of the items' texts.")] = "text",
    as_json: AsJson = False,
) -> None:
    """Remove documents that share thirteen words in a row with an evaluation item.

    Case, punctuation, accents and the values of numbers make no difference. Writes
    OUT/kept/*.parquet (all columns), OUT/removed/*.parquet (id, evaluation, item_id, overlap,
    passage) and OUT/summary.json.
    """
    from orchestration.command_errors import one_clear_error
    from orchestration.command_feedback import progress_bar
    from orchestration.output_folder import replacing, write_summary
    from quality.decontaminated_tables import decontaminate as write_decontaminated
    from quality.decontamination import DecontaminationConfig
    from quality.documents_on_disk import open_documents

    with one_clear_error():
        if len(set(against)) != len(against):
            raise ValueError(f"an evaluation is named twice in {', '.join(against)}; name it once")
        config = DecontaminationConfig(ngram=ngram, min_item_words=min_item_words)
        documents = open_documents(path, text_column=text_column, id_column=id_column)
        items = {name: open_documents(name, text_column=eval_text_column) for name in against}
        with (
            replacing(out, command="decontaminate") as draft,
            progress_bar("decontaminate") as progress,
        ):
            summary = write_decontaminated(
                documents, items, draft, config, progress=progress
            ).to_json()
            settings = {"input": path, "ngram": ngram, "min_item_words": min_item_words}
            write_summary(draft, "decontaminate", {**settings, **summary})
    _show(summary, out, as_json=as_json)


def _counts(summary: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every count of a summary with its name in words."""
    for key, value in summary.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _counts(value, f"{name}: ")
        elif isinstance(value, int):
            yield name, value


def _show(summary: Mapping[str, object], out: Path, *, as_json: bool) -> None:
    """Print the counts: one JSON object, or a table."""
    if as_json:
        import json

        typer.echo(json.dumps({**summary, "out": str(out)}, sort_keys=True))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("what", "number")
    for name, count in _counts(summary):
        table.add_row(escape(name), f"{count:,}")
    console = Console()
    console.print(table)
    console.print(f"Written: {out}", soft_wrap=True, highlight=False, markup=False)
