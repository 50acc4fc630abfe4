"""Telephone numbers that are recognisable without knowing the country of the text.

Three forms, since a bare run of digits is far more often a measurement, a date or a reference:

    international   +49 30 901820              a number that `phonenumbers` holds to be assigned
    North American  (212) 736-5000             the same, with the punctuation that is usual there
    announced       Tel.: 030 / 90 18 20       7 to 15 digits (ITU-T E.164) after such a word

`phonenumbers` is the Python port of Google's libphonenumber. National numbers of other countries
without such a word are not found.
"""

import re

from quality.pii.detector import Detector, Span

_BETWEEN = r"[ .()/\u00a0\u2011-]{0,3}"
_INTERNATIONAL = re.compile(
    rf"(?<![\w+])\+[1-9][0-9]{{0,2}}(?:{_BETWEEN}[0-9]){{6,13}}(?![0-9])", re.ASCII
)
_NORTH_AMERICAN = re.compile(
    r"(?<![\w.+/=-])(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])"
    r"[2-9][0-9]{2}[-.][0-9]{4}(?![\w-]|\.[0-9])",
    re.ASCII,
)
_WORDS = "telephone|telefono|teléfono|telefon|phone|fax|mobile|mobil|whatsapp|tel|fon|cell|handy"
_ANNOUNCED = re.compile(
    rf"(?<!\w)(?i:{_WORDS})(?i:[ -](?:no|nr|number|nummer))?\.?[ \t]{{0,3}}[:#]?[ \t]{{0,3}}"
    rf"(?P<number>[+(]?[0-9](?:{_BETWEEN}[0-9]){{6,14}})(?![0-9])"
)
_TAIL = re.compile(r"[^0-9]{1,3}[0-9]{1,15}\Z")
"""The last group of digits: a year or a page number behind a telephone number."""


def find_phone_numbers(text: str) -> list[Span]:
    """Find numbers under which somebody may answer."""
    spans = [match.span("number") for match in _ANNOUNCED.finditer(text)]
    for pattern, region in ((_INTERNATIONAL, None), (_NORTH_AMERICAN, "US")):
        for match in pattern.finditer(text):
            end = match.start() + _valid_length(match.group(), region)
            if end > match.start():
                spans.append((match.start(), end))
    return _without_overlap(spans)


def _valid_length(candidate: str, region: str | None) -> int:
    """Length of the longest assigned number that ends with a group of digits; 0: there is none."""
    import phonenumbers

    while candidate:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(candidate, region)):
                return len(candidate)
        except phonenumbers.NumberParseException:
            return 0
        tail = _TAIL.search(candidate)
        candidate = candidate[: tail.start()] if tail else ""
    return 0


def _without_overlap(spans: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for start, end in sorted(spans):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


PHONE_NUMBERS = Detector(
    kind="phone",
    placeholder="<PHONE_NUMBER>",
    screen=(
        r"\+[1-9][0-9 .()/\u00a0\u2011-]{6}"
        r"|[2-9][0-9]{2}(?:\) ?|[-.])[2-9][0-9]{2}[-.][0-9]{4}"
        rf"|(?i:{_WORDS})(?i:[ -](?:no|nr|number|nummer))?\.?[ \t]{{0,3}}[:#]?[ \t]{{0,3}}"
        r"[+(]?[0-9][0-9 .()/\u00a0\u2011-]{5}"
    ),
    find=find_phone_numbers,
)
"""The detector."""
