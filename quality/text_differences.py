"""Where two versions of a text first differ, as pieces that a page can mark."""

import difflib
from dataclasses import dataclass
from typing import Literal

from quality.defect_examples import clip

CONTEXT_CHARS = 60
"""Characters shown before the first difference."""
WINDOW_CHARS = 220
"""Characters of each version that are compared, from the start of the context."""
SPACE = "\N{MIDDLE DOT}"
"""Stands for a blank where blanks were added or removed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A stretch of text."""

    kind: Literal["same", "removed", "added"]
    text: str
    """In one line, unprintable characters as escapes."""


def first_difference(before: str, after: str) -> tuple[Piece, ...]:
    """Compare two texts around the place where they first differ; empty if they are equal."""
    if before == after:
        return ()
    pairs = enumerate(zip(before, after, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(before), len(after)))
    start = max(same - CONTEXT_CHARS, 0)
    old, new = (text[start : start + WINDOW_CHARS] for text in (before, after))
    pieces: list[Piece] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece(kind="same", text=clip(old[a:b])))
            continue
        # At the end of the windows one version only seems to have more than the other.
        at_end = b == len(old) and d == len(new) and WINDOW_CHARS in (len(old), len(new))
        if at_end and (a == b or c == d):
            break
        if a < b:
            pieces.append(Piece(kind="removed", text=clip(old[a:b]).replace(" ", SPACE)))
        if c < d:
            pieces.append(Piece(kind="added", text=clip(new[c:d]).replace(" ", SPACE)))
    return tuple(pieces)
