"""The text that a person would train on, taken out of a file of another kind.

Each extractor maps the characters of one file to (key, text) pairs; the key tells several texts of
one file apart and is empty where the file gives one text. Nothing of a file is executed: Python is
parsed, never imported.
"""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator

Extractor = Callable[[str], Iterator[tuple[str, str]]]

MIN_MESSAGE_BYTES = 24
"""Translated messages below this many UTF-8 bytes are labels ("Cancel", "Yes"), not text."""


class ExtractionError(ValueError):
    """A file is not of the kind that its extractor reads; the file is put aside."""


def extract_plain(text: str) -> Iterator[tuple[str, str]]:
    """Give the file as it is."""
    yield "", text


def extract_body(text: str) -> Iterator[tuple[str, str]]:
    """Leave out a YAML header between two `---` lines at the top of the file."""
    yield "", re.sub(r"\A---\n.*?^---(?:\n+|\Z)", "", text, count=1, flags=re.DOTALL | re.MULTILINE)


def extract_docstrings(text: str) -> Iterator[tuple[str, str]]:
    """Render the docstrings of a Python file as a reference page, each under its signature.

    Raises:
        ExtractionError: The file is not Python source.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the escapes in somebody else's file
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            raise ExtractionError(f"not Python source: {error}") from error
    yield "", "\n\n\n".join(_docstrings(tree, name="", signature=""))


def _docstrings(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
    *,
    name: str,
    signature: str,
) -> Iterator[str]:
    docstring = ast.get_docstring(node)
    if docstring:
        yield f"{name}{signature}\n\n{docstring}".strip()
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from _docstrings(child, name=f"{name}.{child.name}".strip("."), signature="")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(
                child,
                name=f"{name}.{child.name}".strip("."),
                signature=f"({ast.unparse(child.args)})",
            )


_MESSAGE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr)(?:\[\d+\])?\s+)?"(.*)"\s*')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def extract_translations(text: str) -> Iterator[tuple[str, str]]:
    """Give the translated messages of a gettext catalogue (.po), each on its own line.

    The header, untranslated, fuzzy and obsolete entries and short labels are left out.

    Raises:
        ExtractionError: The file has no message at all.
    """
    lines = text.splitlines()
    if not any(line.startswith("msgid") for line in lines):
        raise ExtractionError("no line starts with msgid: not a gettext catalogue")
    entries = re.split(r"\n\s*\n", "\n".join(lines))
    messages = (message for entry in entries for message in _translations(entry))
    yield "", "\n".join(m for m in messages if len(m.encode()) >= MIN_MESSAGE_BYTES)


def _translations(entry: str) -> Iterator[str]:
    """Yield the translations of one entry, unquoted; none for a header or a fuzzy entry."""
    fields: list[list[str]] = []
    for line in entry.splitlines():
        if line.startswith("#,") and "fuzzy" in line:
            return
        found = _MESSAGE.fullmatch(line)
        if found is not None and found[1]:
            fields.append([found[1], found[2]])
        elif found is not None and fields:
            fields[-1][1] += found[2]
    if ["msgid", ""] in fields:
        return
    for name, value in fields:
        if name == "msgstr":
            yield re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), value).strip()


_OPEN = re.compile(r"\s*\{\s*")
_COLON = re.compile(r"\s*:\s*")
_NEXT = re.compile(r"\s*,\s*")
_CLOSE = re.compile(r"\s*\}\s*")


def extract_conversations(text: str) -> Iterator[tuple[str, str]]:
    """Render each conversation of a JSON object {id: {"messages": [[{"text": ...}]]}}.

    Turns alternate between two speakers, written `A:` and `B:`; what one speaker sent in a row is
    one line. Conversations are decoded one at a time, so the object is never held as a whole.

    Raises:
        ExtractionError: The file is not such an object, at the place where that shows.
    """
    decoder = json.JSONDecoder()
    try:
        at = _end(_OPEN, text, 0)
        while True:
            key, at = decoder.raw_decode(text, at)
            at = _end(_COLON, text, at)
            conversation, at = decoder.raw_decode(text, at)
            yield str(key), _conversation(conversation["messages"])
            if _CLOSE.fullmatch(text, at):
                return
            at = _end(_NEXT, text, at)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ExtractionError(f"not a JSON object of conversations: {error!r}") from error


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    if found is None:
        raise json.JSONDecodeError(f"expected {pattern.pattern}", text, at)
    return found.end()


def _conversation(turns: list[list[dict[str, str]]]) -> str:
    spoken = (" ".join(message["text"].strip() for message in turn).strip() for turn in turns)
    return "\n".join(f"{'AB'[turn % 2]}: {line}" for turn, line in enumerate(spoken) if line)


EXTRACTORS: dict[str, Extractor] = {
    "plain": extract_plain,
    "body": extract_body,
    "docstrings": extract_docstrings,
    "translations": extract_translations,
    "conversations": extract_conversations,
}
"""Name in the catalogue -> extractor."""
