"""Detectors case by case, and redaction over all of them."""

import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.pii import DETECTORS
from quality.pii.bank_accounts import find_bank_accounts
from quality.pii.email_addresses import find_email_addresses
from quality.pii.ip_addresses import find_ip_addresses
from quality.pii.payment_cards import find_payment_cards
from quality.pii.phone_numbers import find_phone_numbers
from quality.pii.redaction import COUNT_COLUMNS, count_pii, redact
from quality.pii.secret_keys import entropy_bits, find_secret_keys

PEM = (
    f"-----BEGIN RSA PRIVATE KEY-----\n{'MIIEowIBAAKCAQEA1c7+' * 12}\n-----END RSA PRIVATE KEY-----"
)
FOUND = {
    "email": [
        ("Write to jane.doe+news@mail.uni-bonn.de, please.", "jane.doe+news@mail.uni-bonn.de"),
        ("<a href='mailto:bob@firm.co.uk'>", "bob@firm.co.uk"),
        ("'o.neill@firm.ie'", "o.neill@firm.ie"),
        ("Grüße an jörg@müller.de.", "jörg@müller.de"),
        ("联系foo@bar.cn谢谢", "foo@bar.cn"),
    ],
    "ip": [
        ("from 93.184.216.34 at noon", "93.184.216.34"),
        ("http://151.101.1.69:80/", "151.101.1.69"),
        ("ping 2606:2800:220:1:248:1893:25c8:1946.", "2606:2800:220:1:248:1893:25c8:1946"),
    ],
    "phone": [
        ("ring +49 30 901820, then 2021", "+49 30 901820"),
        ("call (212) 736-5000 today", "(212) 736-5000"),
        ("212.736.5000", "212.736.5000"),
        ("Tel.: 030 / 90 18 20", "030 / 90 18 20"),
        ("Fax no: 01 40 20 50 50.", "01 40 20 50 50"),
    ],
    "iban": [
        ("to DE89 3704 0044 0532 0130 00 EUR 20", "DE89 3704 0044 0532 0130 00"),
        ("IBAN GB82WEST12345698765432.", "GB82WEST12345698765432"),
        ("NO9386011117947", "NO9386011117947"),
    ],
    "card": [
        ("paid with 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("5500-0055-5555-5559 expired", "5500-0055-5555-5559"),
        ("amex 378282246310005!", "378282246310005"),
        ("3782 822463 10005", "3782 822463 10005"),
    ],
    "secret": [
        ("key AKIAIOSFODNN7EXAMPLE in", "AKIAIOSFODNN7EXAMPLE"),
        (f"token ghp_{'a1B2c3D4e5F6' * 3}.", f"ghp_{'a1B2c3D4e5F6' * 3}"),
        (PEM, PEM),
        ("postgres://app:Vx9_kQ2m@db/main", "Vx9_kQ2m"),
        ('API_KEY = "9f8Aq2LmZx77Rt0vKp3s"', "9f8Aq2LmZx77Rt0vKp3s"),
        ("export SECRET_TOKEN=9f8Aq2LmZx77Rt0vKp3s", "9f8Aq2LmZx77Rt0vKp3s"),
    ],
}
KEPT = {
    "email": [
        "user@example.com or user@site.test",
        "git clone git@github.com:owner/name.git",
        "logo@2x.png and a @ b.c",
        "the decorator @app.route and x@y",
        "a.@b.de",
    ],
    "ip": [
        "192.168.1.1, 127.0.0.1 and 10.200.1.2 are private",
        "version 4.118.3.2 of 2024",
        "section 34.5.12.3, 1.10.2.4",
        "256.300.1.1 is none and 1.93.184.216.34 is longer",
        "ab::cd std::vec 12:34:56 2001:db8::1",
    ],
    "phone": [
        "born 12.03.1987, 1,000,000 people, 3.14159265358979",
        "arXiv 2406.17557 and ISBN 978-3-16-148410-0",
        "+1 point and +123456789012 more",
        "2024-01-02 10:11:12",
    ],
    "iban": ["DE89 3704 0044 0532 0130 01", "AB12 CDEF 1234 5678 9012", "xDE89370400440532013000"],
    "card": [
        "4111 1111 1111 1112",
        "1234567812345670",
        "0.4111111111111111",
        "4111111111111111111111",
        "0000000000000000 4000000000000000",
    ],
    "secret": [
        'password = "correct horse battery"',
        "https://user:password@host and user:your-key@host",
        'token = "aaaaaaaaaaaaaaaaaaaaaaa1"',
        "-----BEGIN PRIVATE KEY-----",
        'api_key = "your-api-key-goes-here-1"',
        "task-4 sk-learn",
    ],
}
FINDERS = {
    "email": find_email_addresses,
    "ip": find_ip_addresses,
    "phone": find_phone_numbers,
    "iban": find_bank_accounts,
    "card": find_payment_cards,
    "secret": find_secret_keys,
}


@pytest.mark.parametrize(
    ("kind", "text", "finding"),
    [(kind, *case) for kind, cases in FOUND.items() for case in cases],
)
def test_what_is_found_and_replaced(kind, text, finding):
    assert [text[start:end] for start, end in FINDERS[kind](text)] == [finding]
    redacted, counts = redact(pl.Series("text", [text]), [kind])
    assert redacted.to_list() == [text.replace(finding, DETECTORS[kind].placeholder)]
    assert counts[COUNT_COLUMNS[kind]].to_list() == [1]


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in KEPT.items() for text in texts]
)
def test_what_is_not_found(kind, text):
    assert FINDERS[kind](text) == []


def test_only_the_kinds_asked_for_are_replaced_and_all_are_counted():
    texts = pl.Series(
        "body", ["a@b.de 4111111111111111", "nothing", "", "c@d.de e@f.de"], dtype=pl.String
    )
    redacted, counts = redact(texts, ["email"])
    expected = ["<EMAIL> 4111111111111111", "nothing", "", "<EMAIL> <EMAIL>"]
    assert (redacted.name, redacted.to_list()) == ("body", expected)
    assert counts.columns == list(COUNT_COLUMNS.values())
    assert counts["num_pii_email"].to_list() == [1, 0, 0, 2]
    assert counts["num_pii_card"].to_list() == [1, 0, 0, 0]
    assert count_pii(texts).equals(counts)
    assert counts.select(pl.exclude("num_pii_email", "num_pii_card")).sum_horizontal().sum() == 0


def test_what_one_kind_found_is_not_found_again_by_another():
    text = "postgres://app:Vx9_kQ2m@db.firm.de/x"  # the password and the host look like an address
    redacted, counts = redact(pl.Series([text]), list(DETECTORS))
    assert redacted[0] == "postgres://app:<SECRET>@db.firm.de/x"
    assert counts.row(0, named=True) == dict.fromkeys(counts.columns, 0) | {"num_pii_secret": 1}


def test_unknown_kinds_and_nulls_are_refused():
    with pytest.raises(ValueError, match="unknown kind of PII 'name'; known are secret, email"):
        redact(pl.Series(["x"]), ["name"])
    with pytest.raises(ValueError, match="column 'text': 1 texts are null"):
        count_pii(pl.Series("text", ["x", None]))


def test_placeholders_are_no_findings():
    text = " ".join(detector.placeholder for detector in DETECTORS.values())
    assert count_pii(pl.Series([text, text.replace(" ", "")])).sum_horizontal().to_list() == [0, 0]


PIECES = [case for cases in FOUND.values() for text, finding in cases for case in (text, finding)]
PIECES += [text for texts in KEPT.values() for text in texts]
PIECES += ["@", ".", ":", "//", "+49", "=", '"', " ", "\n", "é", "\0", "😀", "token=", "1", "-"]


@settings(max_examples=120, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8).map("".join))
def test_redaction_is_idempotent_and_the_screen_misses_nothing(text):
    redacted, _ = redact(pl.Series([text]), list(DETECTORS))
    again, counts = redact(redacted, list(DETECTORS))
    assert again.to_list() == redacted.to_list()
    assert counts.sum_horizontal().to_list() == [0]
    assert all(detector.find(redacted[0]) == [] for detector in DETECTORS.values())
    for detector in DETECTORS.values():
        if detector.find(text):
            assert pl.Series([text]).str.contains(detector.screen)[0], detector.kind


@pytest.mark.parametrize(
    "unit",
    ["a", "1", "1 ", "a@", "@a.", "1.", "A", "+1", "-----BEGIN PRIVATE KEY-----", "://a:b", "eyJ"],
)
@pytest.mark.parametrize("kind", list(DETECTORS))
def test_time_grows_in_proportion_to_the_text(kind, unit):
    def seconds(size):
        text = unit * (size // len(unit))
        started = time.process_time()
        DETECTORS[kind].find(text)
        return time.process_time() - started

    # 20 times the text: 20 times the time if linear, 400 times if quadratic
    assert seconds(400_000) < 80 * max(seconds(20_000), 0.002)


def test_entropy_of_a_text_worked_by_hand():
    assert entropy_bits("aabb") == 1.0
    assert entropy_bits("abcd") == 2.0
