"""Snapshots and their comparison; values worked by hand."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.drift import NUM_BINS, DriftLimits, Snapshot, compare_snapshots, length_shift
from quality.drift import take_snapshot as take
from quality.gate_tables import TableRefused

ENGLISH = "This is a short English sentence about the weather in the north of the country."
GERMAN = "Dies ist ein kurzer deutscher Satz über das Wetter im Norden des ganzen Landes."


def histogram(**counts):
    """Bins by number, such as b3=10."""
    return tuple(counts.get(f"b{index}", 0) for index in range(NUM_BINS))


def snapshot(**changes):
    usual = Snapshot(
        num_documents=1000,
        num_chars=100_000,
        length_histogram=histogram(b6=500, b8=500),
        length_quantiles_chars={"0.5": 100.0},
        languages={"en": 900, "de": 100},
    )
    return replace(usual, **changes)


def write(folder, texts, **columns):
    pl.DataFrame({"text": texts, **columns}).write_parquet(folder / "documents.parquet")
    return folder


def failed(now, accepted=None, **kwargs):
    rows = compare_snapshots(now, accepted or snapshot(), DriftLimits(), **kwargs)
    return {row.name: row.severity for row in rows if not row.passed}


def test_a_snapshot_worked_by_hand(tmp_path):
    texts = ["", "a", "abc", "x" * 100, "y" * 127, "z" * 128]
    codes = ["und", "en", "en", "de", None, "en"]
    found = take(write(tmp_path, texts, detected_language=codes))
    assert (found.num_documents, found.num_chars) == (6, 0 + 1 + 3 + 100 + 127 + 128)
    assert found.length_histogram == histogram(b0=1, b1=1, b2=1, b7=2, b8=1)
    assert found.length_quantiles_chars["0.5"] in (3.0, 100.0)
    assert found.languages == {"de": 1, "en": 3, "und": 1}
    assert Snapshot.from_json(found.to_json()) == found


def test_languages_are_identified_where_no_column_tells_them(tmp_path):
    assert take(write(tmp_path, [ENGLISH] * 6 + [GERMAN] * 3)).languages == {"de": 3, "en": 6}


def test_what_is_no_table_of_documents_is_refused(tmp_path):
    with pytest.raises(TableRefused, match="readable"):
        take(tmp_path)
    with pytest.raises(TableRefused, match="columns"):
        take(write(tmp_path, [3]))
    with pytest.raises(ValueError, match="length_histogram"):
        Snapshot.from_json({"num_documents": 1})


def test_the_same_version_has_not_moved():
    assert failed(snapshot()) == {}
    rows = {
        row.name: row.observed for row in compare_snapshots(snapshot(), snapshot(), DriftLimits())
    }
    assert rows == {
        "document_ratio": 1.0,
        "char_ratio": 1.0,
        "length_shift": 0.0,
        "length_shift_noticed": 0.0,
        "language_shift": 0.0,
    }


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (  # it shrank by 90 %
            {
                "num_documents": 100,
                "num_chars": 10_000,
                "length_histogram": histogram(b6=50, b8=50),
                "languages": {"en": 90, "de": 10},
            },
            {"document_ratio", "char_ratio"},
        ),
        ({"num_documents": 499}, {"document_ratio"}),
        ({"num_documents": 500}, set()),
        ({"num_documents": 2001}, {"document_ratio"}),
        ({"num_chars": 49_000}, {"char_ratio"}),
        ({"num_chars": 201_000}, {"char_ratio"}),
        (
            {"length_histogram": histogram(b6=900, b8=100)},
            {"length_shift", "length_shift_noticed"},
        ),
        ({"length_histogram": histogram(b6=690, b8=310)}, {"length_shift_noticed"}),
        ({"languages": {"en": 700, "de": 300}}, {"language_shift"}),
        ({"languages": {"en": 820, "de": 180}}, set()),
        ({"languages": {}}, {"language_shift"}),
    ],
)
def test_each_kind_of_drift_fails_its_criterion(changes, names):
    assert set(failed(snapshot(**changes))) == names


def test_an_empty_version_fails():
    empty = snapshot(num_documents=0, num_chars=0, length_histogram=histogram(), languages={})
    assert failed(empty) == {"document_ratio": "error"}


def test_a_change_on_purpose_is_a_warning():
    assert failed(snapshot(num_documents=1), severity="warning")["document_ratio"] == "warning"


def test_length_shift_worked_by_hand():
    now, accepted = snapshot(length_histogram=histogram(b6=900, b8=100)), snapshot()
    p, q = 900.5 / 1001, 0.5
    by_hand = (p - q) * math.log(p / q) + (q - p) * math.log((1 - p) / (1 - q))
    shift, chance = length_shift(now, accepted)
    assert shift == pytest.approx(by_hand)
    assert chance == pytest.approx(10.828 * (1 / 1000 + 1 / 1000), rel=1e-3)  # chi2(1), 0.999


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 400))
def test_two_samples_of_one_population_seldom_fail(seed, size):
    rng = np.random.default_rng(seed)

    def sample():
        lengths = rng.lognormal(6.0, 1.2, size=size).astype(int)
        bins = np.bincount([int(x).bit_length() for x in lengths], minlength=NUM_BINS)
        german = int(rng.binomial(size, 0.3))
        return snapshot(
            num_documents=size,
            length_histogram=tuple(bins.tolist()),
            languages={"de": german, "en": size - german},
        )

    assert not {"length_shift", "language_shift"} & set(failed(sample(), sample()))
