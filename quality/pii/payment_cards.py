"""Numbers of payment cards: ISO/IEC 7812, with python-stdnum's Luhn checksum.

A candidate counts if it begins with the digits of an issuer, has that issuer's length, is written
without gaps or in the groups printed on cards, and its last digit is the right one. One in ten
random numbers has a right last digit; the issuer's digits and the grouping make the difference.
"""

import re

from quality.pii.detector import Detector, Span

_CANDIDATE = re.compile(
    r"(?<![\w.,+*/^=-])(?:"
    r"[0-9]{13,19}"
    r"|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5}"
    r")(?![\w*/^]|[.,-][0-9])",
    re.ASCII,
)
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    # Mastercard:
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}(?:[0-9]{3})?"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # JCB
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}"  # Diners Club
    r"|62[0-9]{14}(?:[0-9]{3})?"  # UnionPay
)


def find_payment_cards(text: str) -> list[Span]:
    """Find card numbers whose issuer and checksum are right."""
    return [match.span() for match in _CANDIDATE.finditer(text) if _is_card(match.group())]


def _is_card(written: str) -> bool:
    from stdnum import luhn

    digits = written.replace(" ", "").replace("-", "")
    if _ISSUERS.fullmatch(digits) is None:
        return False
    return bool(luhn.is_valid(digits))


PAYMENT_CARDS = Detector(
    kind="card",
    placeholder="<CARD_NUMBER>",
    screen=r"[2-6][0-9]{12}|[2-6][0-9]{3}[ -][0-9]{4}[ -]?[0-9]{2}[ -]?[0-9]{2}",
    find=find_payment_cards,
)
"""The detector."""
