import pytest

from orchestration import wording

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (wording.nats(-1.23456), f"{MINUS}1.235"),
        (wording.nats(None), DASH),
        (wording.nats(0.5, 2), "0.50"),
        (wording.difference(0.0301), "+0.030"),
        (wording.difference(-0.0301), f"{MINUS}0.030"),
        (wording.difference(None), DASH),
        (wording.figure(18.0), "18"),
        (wording.figure(-0.0034567), f"{MINUS}0.003457"),
        (wording.figure(None), DASH),
        (wording.interval(-0.02, 0.004), f"[{MINUS}0.020, 0.004]"),
        (wording.percent(0.12345), "12.3 %"),
        (wording.percent(1, 0), "100 %"),
        (wording.percent(None), DASH),
        (wording.count(1234567), "1,234,567"),
        (wording.plural(1, "run"), "1 run"),
        (wording.plural(0, "run"), "0 runs"),
        (wording.megabytes(3_214_999), "3.21"),
        (wording.duration(0.0), "0.0 s"),
        (wording.duration(0.02), "< 0.1 s"),
        (wording.duration(9.94), "9.9 s"),
        (wording.duration(9.96), "10 s"),
        (wording.duration(59.4), "59 s"),
        (wording.duration(125), "2 min 05 s"),
        (wording.duration(3725), "1 h 02 min"),
        (wording.shorten("mathematics", 9), "mathemat\N{HORIZONTAL ELLIPSIS}"),
        (wording.shorten("prose", 5), "prose"),
    ],
)
def test_numbers_are_written_as_people_read_them(written, text):
    assert written == text


def test_every_name_can_be_a_filter_of_the_template():
    assert all(callable(getattr(wording, name)) for name in wording.__all__)
