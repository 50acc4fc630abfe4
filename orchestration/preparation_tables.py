"""What the commands of preparation print when they are done."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration.preparation_page import defect_title
from orchestration.token_writing import WrittenTokens
from orchestration.wording import count, megabytes, percent
from quality.cleaned_documents import READ, CleanedDocuments
from quality.documents_on_disk import DocumentsOnDisk
from quality.input_profile import InputProfile


def print_profile(documents: DocumentsOnDisk, profile: InputProfile) -> None:
    """Print what came in."""
    corpus = profile.corpus
    main = next(iter(corpus.languages))
    share = corpus.languages[main].num_chars / max(corpus.num_chars, 1)
    quantiles = corpus.length_quantiles_chars
    table = _table("Profile", documents, "measure", "value")
    table.add_row("rows", count(profile.num_rows))
    table.add_row("documents", count(corpus.num_documents))
    table.add_row("text", f"{megabytes(corpus.num_bytes)} MB, {count(corpus.num_words)} words")
    table.add_row("tokens, estimated", count(corpus.estimated_tokens))
    table.add_row("median length", f"{count(quantiles['0.5'])} characters")
    table.add_row("languages", f"{len(corpus.languages)}; {percent(share)} of the text is {main}")
    for defect in profile.defects:
        number = defect.num_documents
        told = f"{count(number)} ({percent(number / profile.num_rows, 2)})"
        table.add_row(escape(defect_title(defect.name)), told)
    Console().print(table)


def print_cleaning(documents: DocumentsOnDisk, cleaned: CleanedDocuments) -> None:
    """Print rows, kept, and every reason for which rows were rejected."""
    table = _table(
        f"Cleaning with profile {cleaned.documents.profile}",
        documents,
        "operator",
        "reason",
        "rows",
        "share",
    )
    total = cleaned.num_rows
    for reason, number in cleaned.unreadable.items():
        table.add_row(READ, escape(reason), count(number), percent(number / total))
    for row in cleaned.documents.rejected:
        share = percent(row.num_documents / total)
        table.add_row(row.operator, escape(row.reason), count(row.num_documents), share)
    table.add_section()
    kept = cleaned.documents.kept
    table.add_row("", "rejected in all", count(total - kept), percent((total - kept) / total))
    table.add_row("", "kept", count(kept), percent(kept / total))
    table.add_row("", "rows of the input", count(total), "")
    Console().print(table)
    steps = {step: number for step, number in cleaned.documents.changed.items() if number}
    told = ", ".join(f"{step.replace('_', ' ')} {count(steps[step])}" for step in steps)
    Console().print(f"Normalised documents: {told or 'none'}", highlight=False)


def print_tokens(documents: DocumentsOnDisk, written: WrittenTokens) -> None:
    """Print documents and tokens."""
    table = _table("Tokens", documents, "measure", "value")
    manifest = written.manifest
    table.add_row("rows", count(documents.num_rows))
    table.add_row("documents", count(manifest.num_documents))
    table.add_row("rows put aside", count(sum(written.unreadable.values())))
    table.add_row("tokens", count(manifest.num_tokens))
    table.add_row("bytes per token", f"{manifest.num_bytes / manifest.num_tokens:.3f}")
    table.add_row("shards", f"{len(manifest.shards)} of {manifest.dtype}")
    Console().print(table)


def _table(title: str, documents: DocumentsOnDisk, *columns: str) -> Table:
    table = Table(title=f"{title}: {escape(documents.path)}", title_justify="left")
    for place, column in enumerate(columns):
        is_number = place > 0 and column != "reason"
        table.add_column(column, justify="right" if is_number else "left")
    return table
