"""International bank account numbers: ISO 13616, checked with python-stdnum.

A candidate counts if its two check digits are right (ISO 7064 modulus 97-10) and its length and
structure are those of its country. It may be written in groups; what follows it is left alone.
"""

import functools
import re

from quality.pii.detector import Detector, Span

_CANDIDATE = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Z0-9]){11,30}", re.ASCII)


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
    """Length of the valid number at the start of a candidate, blanks included; 0: there is none."""
    from stdnum import iban

    num_chars = _num_chars(candidate[:2])
    end = 0
    while end < len(candidate) and num_chars:
        num_chars -= candidate[end].isalnum()
        end += 1
    behind = candidate[end] if end < len(candidate) else following
    if num_chars or not end or behind.isalnum():
        return 0
    return end if iban.is_valid(candidate[:end].replace("\u00a0", " ")) else 0


@functools.cache
def _num_chars(country: str) -> int:
    """Letters and digits of an account number of a country in ISO 13616; 0 for any other one."""
    from stdnum import numdb

    ((_, properties), *_) = numdb.get("iban").info(country)
    groups = re.findall(r"([0-9]+)!", properties.get("bban", ""))
    return 4 + sum(map(int, groups)) if groups else 0


BANK_ACCOUNTS = Detector(
    kind="iban",
    placeholder="<IBAN>",
    screen=r"[A-Z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Z0-9]){11}",
    find=find_bank_accounts,
)
"""The detector."""
