"""Detectors of personal and secret data. A new one: a file with a `Detector`, a line, its tests."""

from quality.pii.bank_accounts import BANK_ACCOUNTS
from quality.pii.detector import Detector
from quality.pii.email_addresses import EMAIL_ADDRESSES
from quality.pii.ip_addresses import IP_ADDRESSES
from quality.pii.payment_cards import PAYMENT_CARDS
from quality.pii.phone_numbers import PHONE_NUMBERS
from quality.pii.secret_keys import SECRET_KEYS

DETECTORS: dict[str, Detector] = {
    detector.kind: detector
    for detector in (
        SECRET_KEYS,
        EMAIL_ADDRESSES,
        BANK_ACCOUNTS,
        PAYMENT_CARDS,
        PHONE_NUMBERS,
        IP_ADDRESSES,
    )
}
"""By kind, in the order in which they are tried: what one has found is not found again later."""
