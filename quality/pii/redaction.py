"""Counts personal and secret data, and puts placeholders in its place.

    counts, column num_pii_<kind>:  findings in the text as it came in

Placeholders in angle brackets as in Li et al. 2023, "StarCoder: may the source be with you!",
arXiv:2305.06161. Deviation from FineWeb (Penedo et al. 2024, arXiv:2406.17557), which writes
addresses that look real: those would be found again, so redaction would not be idempotent and no
gate could tell a redacted text from one that was forgotten.

Redaction is repeated on a text until nothing is found, because a placeholder may end what stood in
the way of another finding. Each round shortens what is not placeholder, so the rounds end.
"""

from collections.abc import Collection, Sequence

import polars as pl

from quality.pii import DETECTORS
from quality.pii.detector import Span

COUNT_COLUMNS: dict[str, str] = {kind: f"num_pii_{kind}" for kind in DETECTORS}
"""Kind -> column of its count."""


def redact(texts: pl.Series, kinds: Collection[str]) -> tuple[pl.Series, pl.DataFrame]:
    """Replace findings of some kinds by placeholders and count those of all kinds.

    Redacting the result changes nothing.

    Args:
        texts: Strings without nulls.
        kinds: Kinds to replace, keys of `DETECTORS`; others are only counted.

    Returns:
        The texts in the same order and under the same name, and one row of counts (UInt32) per
        text, columns `COUNT_COLUMNS`.

    Raises:
        ValueError: A kind is unknown, or a text is null.
    """
    _require_known(kinds)
    if texts.has_nulls():
        raise ValueError(f"column {texts.name!r}: {texts.null_count()} texts are null")
    suspected = _screen(texts)
    counts = {kind: [0] * len(texts) for kind in DETECTORS}
    changed: dict[int, str] = {}
    for row, possible in suspected.items():
        text = texts[row]
        redacted, found = _redact_one(text, possible, kinds)
        for kind, number in found.items():
            counts[kind][row] = number
        if redacted != text:
            changed[row] = redacted
    if changed:
        rows = pl.Series(list(changed), dtype=pl.UInt32)
        # scatter works in place: the caller's series must not change
        texts = texts.clone().scatter(rows, pl.Series(list(changed.values()), dtype=pl.String))
    columns = [
        pl.Series(COUNT_COLUMNS[kind], values, dtype=pl.UInt32) for kind, values in counts.items()
    ]
    return texts, pl.DataFrame(columns)


def count_pii(texts: pl.Series) -> pl.DataFrame:
    """Count findings of all kinds, one row per text, columns `COUNT_COLUMNS`.

    Raises:
        ValueError: A text is null.
    """
    return redact(texts, ())[1]


def _require_known(kinds: Collection[str]) -> None:
    unknown = sorted(set(kinds) - set(DETECTORS))
    if unknown:
        raise ValueError(f"unknown kind of PII {unknown[0]!r}; known are {', '.join(DETECTORS)}")


def _screen(texts: pl.Series) -> dict[int, list[str]]:
    """Rows that may hold something -> the kinds that they may hold, in the order of `DETECTORS`."""
    suspected: dict[int, list[str]] = {}
    for kind, detector in DETECTORS.items():
        for row in texts.str.contains(detector.screen).arg_true():
            suspected.setdefault(row, []).append(kind)
    return dict(sorted(suspected.items()))


def _redact_one(
    text: str, possible: Sequence[str], kinds: Collection[str]
) -> tuple[str, dict[str, int]]:
    """Redact one text; counts are of all rounds for kinds that are replaced."""
    totals: dict[str, int] = {}
    while True:
        findings = _find(text, possible)
        replaced = [finding for finding in findings if finding[1] in kinds]
        for _, kind in findings if not totals else replaced:
            totals[kind] = totals.get(kind, 0) + 1
        if not replaced:
            return text, totals
        text = _replace(text, replaced)
        possible = list(DETECTORS)


def _find(text: str, possible: Sequence[str]) -> list[tuple[Span, str]]:
    """Findings of all kinds without overlap, in text order; earlier kinds take precedence."""
    found: list[tuple[Span, str]] = []
    for kind in possible:
        taken = [span for span, _ in found]
        for start, end in DETECTORS[kind].find(text):
            if all(end <= other[0] or start >= other[1] for other in taken):
                found.append(((start, end), kind))
    return sorted(found)


def _replace(text: str, findings: Sequence[tuple[Span, str]]) -> str:
    parts: list[str] = []
    done = 0
    for (start, end), kind in findings:
        parts += [text[done:start], DETECTORS[kind].placeholder]
        done = end
    return "".join([*parts, text[done:]])
