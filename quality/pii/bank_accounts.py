"""International bank account numbers: ISO 13616, checked with python-stdnum.

A candidate counts if its two check digits are right (ISO 7064 modulus 97-10) and its length and
structure are those of its country. It may be written in groups; what follows it is left alone.
"""

import re

from quality.pii.detector import Detector, Span

_CANDIDATE = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Z0-9]){11,30}", re.ASCII)
_MIN_CHARS = 15
"""Shortest account number: Norway's."""


def find_bank_accounts(text: str) -> list[Span]:
    """Find account numbers whose checksum is right."""
    spans: list[Span] = []
    position = 0
    while match := _CANDIDATE.search(text, position):
        length = _valid_length(match.group(), text[match.end() : match.end() + 1])
        end = match.start() + length
        if length:
            spans.append((match.start(), end))
        position = end if length else match.start() + 2
    return spans


def _valid_length(candidate: str, following: str) -> int:
    """Length of the valid number at the start of a candidate; 0 if there is none."""
    from stdnum import iban

    for end in range(len(candidate), _MIN_CHARS - 1, -1):
        behind = candidate[end] if end < len(candidate) else following
        if behind.isalnum() or not candidate[end - 1].isalnum():
            continue
        if iban.is_valid(candidate[:end].replace("\u00a0", " ")):
            return end
    return 0


BANK_ACCOUNTS = Detector(
    kind="iban",
    placeholder="<IBAN>",
    screen=r"[A-Z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Z0-9]){11}",
    find=find_bank_accounts,
)
"""The detector."""
