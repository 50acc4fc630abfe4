"""Examples of what is odd about a corpus: the first few documents of each kind, with the place.

An example shows the line in which the defect lies, not the document; control characters in it are
written as escapes, since a page would hide them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from quality.corpus_profile import ENCODING_DEFECTS
from quality.documents import Unreadable

NUM_EXAMPLES = 10
"""Examples of each kind."""
EXCERPT_CHARS = 240
SHORT_CHARS = 40
"""A document of fewer characters is shown as short."""
UNSURE = 0.5
"""A document whose language is less probable than this is shown as uncertain."""
EXACT_COPY = "exact_copy"
SHORT = "short"
UNSURE_LANGUAGE = "language_uncertain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One document, or one thing that could not be read."""

    id: str
    """Empty if it never became a document."""
    source: str
    """File and row."""
    excerpt: str
    """At most `EXCERPT_CHARS` characters of its text, or what was observed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Defect:
    """One kind of oddness."""

    name: str
    """Field of `EncodingDefects`, `exact_copy`, `short`, `language_uncertain`, or a reason why a
    row is unreadable."""
    num_documents: int
    """How many show it, > 0."""
    examples: tuple[Example, ...]
    """The first of them."""


class DefectExamples:
    """Counts and first examples; memory does not grow with the corpus."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[Example]] = {}

    def add(self, measured: pl.DataFrame, unreadable: Iterable[Unreadable]) -> None:
        """Look at one batch.

        Args:
            measured: What `CorpusTally.add` returned, with the columns `id` and `source`.
            unreadable: What was put aside.
        """
        for item in unreadable:
            self._note(item.reason, 1)
            self._show(item.reason, Example(id="", source=item.source, excerpt=clip(item.detail)))
        for name, expression, line in _KINDS:
            found = measured.filter(expression)
            self._note(name, found.height)
            wanted = NUM_EXAMPLES - len(self._examples.get(name, ()))
            for document in found.head(wanted).select("id", "source", "text").iter_rows():
                self._show(
                    name,
                    Example(id=document[0], source=document[1], excerpt=clip(line(document[2]))),
                )

    def defects(self) -> Iterator[Defect]:
        """Yield what was seen at least once, commonest first."""
        for name in sorted(self._counts, key=lambda name: (-self._counts[name], name)):
            if self._counts[name]:
                examples = tuple(self._examples[name])
                yield Defect(name=name, num_documents=self._counts[name], examples=examples)

    def _note(self, name: str, number: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + number

    def _show(self, name: str, example: Example) -> None:
        shown = self._examples.setdefault(name, [])
        if len(shown) < NUM_EXAMPLES:
            shown.append(example)


def clip(text: str) -> str:
    """Cut a text to `EXCERPT_CHARS` characters in one line, unprintable ones as escapes."""
    if len(text) > EXCERPT_CHARS:
        text = text[: EXCERPT_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return "".join(
        character if character.isprintable() else _ESCAPES.get(character) or _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _first_line(shows: Callable[[str], bool]) -> Callable[[str], str]:
    """Find the line in which a defect lies, from a little before it if the line is long."""

    def find(text: str) -> str:
        line = next((line for line in text.split("\n") if shows(line)), text)
        start = 0
        while len(line) - start > EXCERPT_CHARS and shows(line[start + EXCERPT_CHARS // 2 :]):
            start += EXCERPT_CHARS // 2
        return line[start:]

    return find


def _whole(text: str) -> str:
    return text


_ESCAPES = {"\n": " \N{RETURN SYMBOL} ", "\t": " "}
_KINDS: tuple[tuple[str, pl.Expr, Callable[[str], str]], ...] = (
    *((name, pl.col(name), _first_line(shows)) for name, shows in ENCODING_DEFECTS.items()),
    (EXACT_COPY, pl.col("is_copy"), _whole),
    (SHORT, pl.col("num_chars") < SHORT_CHARS, _whole),
    (UNSURE_LANGUAGE, pl.col("confidence") < UNSURE, _whole),
)
