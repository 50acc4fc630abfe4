"""The pages that `profile` and `clean` write beside their tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from assets import plots
from orchestration.pages import picture, write_page
from orchestration.wording import plain_name
from quality.cleaned_documents import CleanedDocuments
from quality.cleaning_examples import EDITED_LINES, RejectedExample
from quality.cleaning_profiles import DEDUPLICATE
from quality.defect_examples import EXACT_COPY, SHORT, SHORT_CHARS, UNSURE, UNSURE_LANGUAGE
from quality.document_cleaner import COPY
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
_STEP_MEANINGS = {
    "mojibake": "UTF-8 that was read in a one-byte encoding is put right.",
    "line_endings": "Every kind of line break becomes a line feed.",
    "control_characters": "Characters that nobody sees are removed.",
    "nfc": "Letters and their accents are composed to one character.",
    "trailing_whitespace": "Blanks at the end of a line are removed; a dot stands for one.",
    "unsettled": "The text still changed after many rounds.",
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


def profile_content(profile: InputProfile) -> dict[str, object]:
    """State the profile as JSON values."""
    return {
        "profile": asdict(profile.corpus),
        "defects": [asdict(defect) for defect in profile.defects],
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleRow:
    """What one rule did."""

    reason: str
    metric: str
    limit: str
    num_documents: int
    examples: Sequence[RejectedExample]


def write_cleaning_page(out: Path, documents: DocumentsOnDisk, cleaned: CleanedDocuments) -> Path:
    """Write what each operator removed and what normalisation changed, with examples.

    Args:
        out: HTML file.
        documents: The input.
        cleaned: What became of it.
    """
    summary = cleaned.documents
    dropped = [(row.reason, row.num_documents) for row in summary.rejected]
    dropped += [(f"unreadable: {reason}", number) for reason, number in cleaned.unreadable.items()]
    changes = {**summary.changed}
    edited = cleaned.examples.changed.get(EDITED_LINES)
    values = {
        "command": "clean",
        "input": documents.path,
        "cleaned": cleaned,
        "summary": summary,
        "num_unreadable": sum(cleaned.unreadable.values()),
        "picture_of_dropped": picture(plots.plot_dropped(cleaned.num_rows, summary.kept, dropped)),
        "operators": _operators(cleaned),
        "changes": [
            (name, number, cleaned.examples.changed.get(name, []))
            for name, number in changes.items()
            if number
        ],
        "edited": edited,
        "step_meanings": _STEP_MEANINGS,
    }
    return write_page("clean.html.j2", out, values)


def _operators(cleaned: CleanedDocuments) -> dict[str, list[RuleRow]]:
    """Operator -> its rules in the order in which they are tried."""
    counts = {(r.operator, r.reason): r.num_documents for r in cleaned.documents.rejected}
    operators: dict[str, list[RuleRow]] = {}
    told = [(name, rule.reason, rule.metric, rule.limit) for name, rule in cleaned.rules]
    told += [(DEDUPLICATE, COPY, "text_hash", "the first copy in document order")]
    for operator, reason, metric, limit in dict.fromkeys(told):
        operators.setdefault(operator, []).append(
            RuleRow(
                reason=reason,
                metric=metric,
                limit=limit,
                num_documents=counts.get((operator, reason), 0),
                examples=cleaned.examples.rejected.get((operator, reason), ()),
            )
        )
    return operators
