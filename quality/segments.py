"""Cut a long text into documents at blank lines.

Nothing is lost: the segments joined give the text again. A segment ends at the last blank line
before the limit; a paragraph longer than the limit is cut at a line end, and a line longer than the
limit stays whole, because half a line is no text that a person wrote.
"""

from collections.abc import Iterator


def split_text(text: str, segment_chars: int) -> Iterator[str]:
    """Yield the segments of a text in order.

    Args:
        text: Any text.
        segment_chars: Upper limit of a segment in characters, >= 1 (a longer line exceeds it).
    """
    segment: list[str] = []
    length = 0
    cut = 0  # lines of the segment up to and including the last blank line
    for line in text.splitlines(keepends=True):
        if segment and length + len(line) > segment_chars:
            end = cut or len(segment)
            yield "".join(segment[:end])
            del segment[:end]
            length, cut = sum(map(len, segment)), 0
            if segment and length + len(line) > segment_chars:  # what was left is a long paragraph
                yield "".join(segment)
                segment, length = [], 0
        segment.append(line)
        length += len(line)
        if not line.strip():
            cut = len(segment)
    if segment:
        yield "".join(segment)
