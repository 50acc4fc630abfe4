"""The pages that `profile` and `clean` write beside their tables."""

from dataclasses import asdict
from pathlib import Path

from assets import plots
from orchestration.pages import picture, write_page
from orchestration.wording import plain_name
from quality.defect_examples import EXACT_COPY, SHORT, SHORT_CHARS, UNSURE, UNSURE_LANGUAGE
from quality.documents_on_disk import DocumentsOnDisk
from quality.input_profile import InputProfile

MOST_LANGUAGES = 20
"""Languages listed one by one."""

_TITLES = {
    "replacement_character": "Lost bytes (U+FFFD)",
    "mojibake": "Mojibake",
    "control_characters": "Control characters",
    EXACT_COPY: "Exact copies",
    SHORT: f"Shorter than {SHORT_CHARS} characters",
    UNSURE_LANGUAGE: "Language uncertain",
}
_MEANINGS = {
    "replacement_character": "Bytes were lost when the text was decoded; they cannot be restored.",
    "mojibake": "A line looks like UTF-8 that was read in a one-byte encoding; cleaning repairs "
    "what can be repaired. It is a suspicion: unusual quotation marks raise it too.",
    "control_characters": "Characters other than line breaks and tabs that nobody sees; cleaning "
    "removes them. Here they are written as escapes.",
    EXACT_COPY: "The same text up to case and white space stands earlier in the input.",
    SHORT: "Often a heading, a caption or what an extraction left over.",
    UNSURE_LANGUAGE: f"The most probable language has a probability below {UNSURE:g}.",
}


def defect_title(name: str) -> str:
    """Name of a defect, or of a reason why a row is unreadable, as a person reads it."""
    return _TITLES.get(name, plain_name(name).capitalize())


def write_profile_page(out: Path, documents: DocumentsOnDisk, profile: InputProfile) -> Path:
    """Write what came in: plots of length and language, defects with examples.

    Args:
        out: HTML file.
        documents: The input, for its columns.
        profile: What was measured.
    """
    corpus = profile.corpus
    languages = list(corpus.languages.items())
    rare = languages[MOST_LANGUAGES:]
    all_chars = max(corpus.num_chars, 1)
    shape = plots.plot_histograms(
        corpus.length_histogram_edges_chars,
        corpus.length_histogram_documents,
        {code: found.num_documents for code, found in languages},
    )
    values = {
        "command": "profile",
        "input": documents.path,
        "profile": profile,
        "main_language": languages[0][0],
        "main_share": languages[0][1].num_chars / all_chars,
        "all_chars": all_chars,
        "num_unreadable": sum(corpus.unreadable.values()),
        "picture_of_shape": picture(shape),
        "languages": languages[:MOST_LANGUAGES],
        "num_rare_languages": len(rare),
        "rare_documents": sum(found.num_documents for _, found in rare),
        "title_of": defect_title,
        "meanings": _MEANINGS,
        "columns": [(field.name, str(field.type)) for field in documents.schema],
        "text_column": documents.text_column,
        "id_column": documents.id_column,
    }
    return write_page("profile.html.j2", out, values)


def profile_content(documents: DocumentsOnDisk, profile: InputProfile) -> dict[str, object]:
    """The profile as JSON values: `summary.json` of the command."""
    return {
        "input": documents.path,
        "text_column": documents.text_column,
        "id_column": documents.id_column,
        "num_rows": profile.num_rows,
        "profile": asdict(profile.corpus),
        "defects": [asdict(defect) for defect in profile.defects],
    }
