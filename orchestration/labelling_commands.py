"""`mixwright tag` and `mixwright score`: every document gets labels, or a score of its own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.preparation_commands import AsJson, IdColumn, Input, Out, TextColumn

if TYPE_CHECKING:
    from quality.documents_on_disk import DocumentsOnDisk
    from quality.quality_score import QualityModel
    from quality.scored_documents import ScoredDocuments
    from quality.tagged_documents import TaggedDocuments
    from quality.taggers import TaggerSettings

MODEL = "model"
"""Folder in the output of `score` with the model that was used."""
SHOWN_TAGS = 20


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(
        epilog="Examples: mixwright tag cleaned/kept --tagger rules --out tagged   |   mixwright "
        "tag cleaned/kept --tagger linear --tagger clusters --settings taggers.yaml --json --out "
        "tagged   |   taggers.yaml: {linear: {label_column: source}, clusters: {num_clusters: 12}}"
    )(tag)
    app.command(
        epilog="Examples: mixwright score web/ --reference textbooks.parquet --out scored   |   "
        "mixwright score web/ --reference good.jsonl --background rest.jsonl --min-score 0.5 --out "
        "scored   |   mixwright score new/ --model scored/model --strata 4 --json --out again"
    )(score)


def tag(
    source: Input,
    *,
    tagger: Annotated[
        list[str],
        typer.Option("--tagger", help="metadata, rules, linear or clusters; several are compared."),
    ],
    out: Out,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="YAML file: name of a tagger -> its settings."),
    ] = None,
    fit_rows: Annotated[
        int, typer.Option(min=1, help="Most documents that a tagger learns from.")
    ] = 20_000,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    as_json: AsJson = False,
) -> None:
    """Label documents with domains or skills; two taggers are compared with each other.

    Writes OUT/kept/*.parquet (all columns, and NAME_tag and NAME_confidence of each tagger) and
    OUT/summary.json.
    """
    from orchestration.command_errors import one_clear_error
    from orchestration.command_feedback import progress_bar
    from orchestration.output_folder import replacing, write_summary
    from quality.documents_on_disk import open_documents
    from quality.tagged_documents import tag_documents

    with one_clear_error():
        taggers = _taggers(tagger, settings)
        documents = open_documents(source, text_column=text_column, id_column=id_column)
        with replacing(out, command="tag") as draft, progress_bar("tagging") as progress:
            tagged = tag_documents(documents, taggers, draft, fit_rows=fit_rows, progress=progress)
            content = {"input": source, "taggers": tagger, **tagged.to_json()}
            write_summary(draft, "tag", content)
    if as_json:
        typer.echo(json.dumps({**content, "out": str(out)}, sort_keys=True))
    else:
        _print_tags(tagged)
        typer.echo(f"Tagged: {out.absolute() / 'kept'}")


def score(
    source: Input,
    *,
    out: Out,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Documents as they should be.")
    ] = None,
    background: Annotated[
        str | None,
        typer.Option("--background", help="What there is otherwise. Default: INPUT."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="OUT/model of an earlier call, instead of a reference."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Reject documents below it. Default: keep all."),
    ] = None,
    strata: Annotated[
        int, typer.Option(min=1, help="Part the documents by score into so many equal strata.")
    ] = 1,
    fit_rows: Annotated[
        int, typer.Option(min=20, help="Most documents of each side to learn from.")
    ] = 20_000,
    text_column: TextColumn = "text",
    id_column: IdColumn = None,
    as_json: AsJson = False,
) -> None:
    """Score how much documents resemble your own choice of reference documents.

    The score serves as filter (--min-score), as strata (--strata: OUT/kept/stratum-K, each can be a
    domain of a catalogue) or for sampling (column sampling_weight). Writes OUT/kept,
    OUT/rejected (id, operator, reason, metric, value, limit), OUT/model and OUT/summary.json.
    """
    from orchestration.command_errors import one_clear_error
    from orchestration.command_feedback import progress_bar
    from orchestration.output_folder import replacing, write_summary
    from quality.documents_on_disk import open_documents
    from quality.scored_documents import score_documents

    with one_clear_error():
        documents = open_documents(source, text_column=text_column, id_column=id_column)
        fitted = _model(documents, reference, background, model, fit_rows)
        with replacing(out, command="score") as draft, progress_bar("scoring") as progress:
            scored = score_documents(
                documents,
                fitted,
                draft,
                min_score=min_score,
                num_strata=strata,
                progress=progress,
            )
            (draft / MODEL).mkdir()
            fitted.save(draft / MODEL)
            content = {"input": source, "min_score": min_score, **scored.to_json()}
            write_summary(draft, "score", content)
    if as_json:
        typer.echo(json.dumps({**content, "out": str(out)}, sort_keys=True))
    else:
        _print_scores(scored)
        typer.echo(f"Scored: {out.absolute() / 'kept'}")


def _taggers(names: list[str], file: Path | None) -> "Mapping[str, TaggerSettings]":
    """Settings of each named tagger: those of the file, else the defaults.

    Raises:
        ValueError: A name is unknown or stands there twice, or the file has another key or value.
    """
    import yaml
    from pydantic import TypeAdapter, ValidationError

    from quality.taggers import TAGGERS

    if wrong := [name for name in names if name not in TAGGERS or names.count(name) > 1]:
        raise ValueError(
            f"--tagger: {wrong[0]!r} is unknown or named twice; choose of {sorted(TAGGERS)}"
        )
    try:
        given = {} if file is None else yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(given, dict) or set(given) - set(names):
        raise ValueError(f"{file}: a mapping of {names} to their settings is needed, got {given!r}")
    taggers: dict[str, TaggerSettings] = {}
    for name in names:
        try:
            taggers[name] = TypeAdapter(TAGGERS[name]).validate_python(given.get(name) or {})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in (name, *first["loc"]))
            raise ValueError(f"{file}: {place}: {first['msg']}") from error
    return taggers


def _model(
    documents: "DocumentsOnDisk",
    reference: str | None,
    background: str | None,
    stored: Path | None,
    fit_rows: int,
) -> "QualityModel":
    """Read the stored model, or fit one.

    Raises:
        ValueError: Both or neither are asked for, or there are too few documents.
    """
    from quality.document_sample import sample_documents
    from quality.documents_on_disk import open_documents
    from quality.quality_score import QualityModel, fit_quality_model

    if (stored is None) == (reference is None) or (stored is not None and background is not None):
        raise ValueError("give --reference (and --background), or --model of an earlier call")
    if stored is not None:
        return QualityModel.load(stored)
    assert reference is not None
    column = documents.text_column
    good = sample_documents(open_documents(reference, text_column=column), fit_rows)["text"]
    if background is None:  # what is reference is no background, even if the input holds it
        rest = sample_documents(documents, fit_rows)["text"]
        rest = rest.filter(~rest.is_in(good.implode()))
    else:
        rest = sample_documents(open_documents(background, text_column=column), fit_rows)["text"]
    return fit_quality_model(good.to_list(), rest.to_list())


def _print_tags(tagged: "TaggedDocuments") -> None:
    """Print the tags of each tagger, and how far two of them agree."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from orchestration.wording import count, percent

    table = Table("tagger", "tag", "documents", "share")
    for name, counts in tagged.tags.items():
        for label, number in list(counts.items())[:SHOWN_TAGS]:
            share = percent(number / tagged.num_documents)
            table.add_row(name, escape(label) or "(none)", count(number), share)
        table.add_section()
    console = Console()
    console.print(table)
    for (first, second), compared in tagged.comparisons.items():
        told = f"{first} and {second}: both label {count(compared.num_both)} documents"
        if compared.agreement is not None:
            told += (
                f", agree on {percent(compared.agreement)} (kappa {compared.kappa:.2f}; after "
                f"translation {percent(compared.matched_agreement or 0.0)}, mutual information "
                f"{compared.mutual_information:.2f})"
            )
        console.print(told, soft_wrap=True, highlight=False, markup=False)


def _print_scores(scored: "ScoredDocuments") -> None:
    """Print what the score is worth, and the strata."""
    from rich.console import Console
    from rich.table import Table

    from orchestration.wording import count, megabytes, percent

    table = Table("stratum", "documents", "text, MB", "scores", "weight")
    for row in scored.strata:
        scores = f"{row.least_score:.3f} to {row.greatest_score:.3f}"
        told = (str(row.stratum), count(row.documents), megabytes(row.num_bytes), scores)
        table.add_row(*told, percent(row.weight))
    console = Console()
    console.print(table)
    worth = scored.separation
    console.print(
        f"{count(scored.kept)} kept, {count(scored.rejected)} rejected. On {worth.num_reference} "
        f"reference and {worth.num_background} background documents outside the fit, the score "
        f"tells them apart with probability {worth.auc:.4f} (0.5 is chance).",
        soft_wrap=True,
        highlight=False,
    )
