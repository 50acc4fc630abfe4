"""Text normalisation: what it repairs, it counts; what is sound, it returns unchanged.

Steps, in this order, repeated until nothing changes (so the result is a fixed point):

1. `mojibake`: UTF-8 once read as a one-byte encoding, repaired line by line by ftfy (Speer 2019,
   doi:10.5281/zenodo.2591652) where its badness heuristic finds a line implausible. Line by line,
   because one character outside the one-byte encoding would otherwise hide all damage in a text.
2. `line_endings`: CRLF, CR, vertical tab, form feed, NEL, U+2028 and U+2029 become LF: the
   mandatory breaks of Unicode Standard Annex 14.
3. `control_characters`: the other characters of category Cc except tab, and U+FEFF, are removed.
4. `nfc`: canonical composition, Unicode Standard Annex 15. Not NFKC, which would turn x² into x2.
5. `trailing_whitespace`: blanks at the end of a line and of the text.

Indentation, inner blanks and quotation marks stay: they carry meaning in code, verse and tables.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import ftfy
from ftfy.badness import is_bad

MAX_ROUNDS = 16
"""Two rounds settle ordinary text: one that changes it, one that finds nothing more to do."""
UNSETTLED = "unsettled"
"""Recorded when text still changes after `MAX_ROUNDS`; built text with damage in layers could."""

# Every repairable sequence has two neighbours outside ASCII, save those in which U+00A0 became a
# space. The test spares most Western text the badness heuristic, which is a hundred times slower.
_SUSPECT = re.compile(r"[^\x00-\x7f]{2}|[ÂÃ] ")
_LINE_BREAK = re.compile("[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalised:
    """One text after normalisation."""

    text: str
    changes: frozenset[str]
    """Names of the steps that changed it, keys of `STEPS` or `UNSETTLED`; empty if none did."""


def normalise(text: str) -> Normalised:
    """Apply all steps until the text no longer changes; `normalise` of the result is the result."""
    changes: set[str] = set()
    for _ in range(MAX_ROUNDS):
        before = text
        for name, step in STEPS.items():
            stepped = step(text)
            if stepped != text:
                changes.add(name)
                text = stepped
        if text == before:
            return Normalised(text=text, changes=frozenset(changes))
    return Normalised(text=text, changes=frozenset(changes | {UNSETTLED}))


def has_mojibake(text: str) -> bool:
    """Whether some line looks like UTF-8 that was read in a one-byte encoding."""
    return (
        not text.isascii()
        and _SUSPECT.search(text) is not None
        and any(_is_bad(line) for line in text.split("\n"))
    )


def has_control_characters(text: str) -> bool:
    """Whether the text holds control characters other than line breaks and tabs."""
    return _CONTROL.search(_unify_line_endings(text)) is not None


def _is_bad(line: str) -> bool:
    return _SUSPECT.search(line) is not None and bool(is_bad(line))


def _repair_mojibake(text: str) -> str:
    if not has_mojibake(text):
        return text
    return "\n".join(
        ftfy.fix_encoding(line) if _is_bad(line) else line for line in text.split("\n")
    )


def _unify_line_endings(text: str) -> str:
    return _LINE_BREAK.sub("\n", text.replace("\r\n", "\n"))


def _remove_control_characters(text: str) -> str:
    return _CONTROL.sub("", text)


def _compose(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _strip_trailing_whitespace(text: str) -> str:
    return "\n".join([line.rstrip() for line in text.split("\n")]).rstrip()


STEPS: dict[str, Callable[[str], str]] = {
    "mojibake": _repair_mojibake,
    "line_endings": _unify_line_endings,
    "control_characters": _remove_control_characters,
    "nfc": _compose,
    "trailing_whitespace": _strip_trailing_whitespace,
}
