"""Loss of declared groups in cleaning."""

import polars as pl
import pytest
from pydantic import ValidationError

from quality.coverage import judge_coverage
from quality.coverage_limits import CoverageLimit


def documents(*rows):
    columns = ["id", "detected_language", "source", "num_chars", "operator"]
    return pl.DataFrame(
        [(str(index), *row) for index, row in enumerate(rows)],
        schema=dict(zip(columns, [pl.String] * 3 + [pl.Int64, pl.String], strict=True)),
        orient="row",
    )


@pytest.fixture
def cleaned(tmp_path):
    """German loses 1 of 4, English 2 of 4, docs/ 2 of 5; a dropped copy counts nowhere."""
    kept = documents(
        ("de", "docs/a.txt", 100, ""),
        ("de", "docs/b.txt", 200, ""),
        ("de", "web/c.txt", 300, ""),
        ("en", "docs/d.txt", 400, ""),
        ("en", "web/e.txt", 500, ""),
    )
    rejected = documents(
        ("de", "docs/f.txt", 50, "length"),
        ("en", "docs/g.txt", 60, "length"),
        ("en", "web/h.txt", 1000, "repetition"),
        ("en", "web/i.txt", 400, "exact_deduplication"),
    )
    kept.drop("operator").write_parquet(tmp_path / "documents.parquet")
    rejected.write_parquet(tmp_path / "rejected.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("by", "group", "loss"),
    [
        ("all", "", 3 / 8),
        ("language", "de", 1 / 4),
        ("language", "en", 2 / 4),
        ("source", "docs/**", 2 / 5),
        ("source", "**/h.txt", 1.0),
        ("length", "0-100", 1.0),
        ("length", "100-400", 0.0),
        ("length", "400-", 1 / 3),
    ],
)
def test_losses_worked_by_hand(cleaned, by, group, loss):
    (_, row) = judge_coverage(cleaned, [CoverageLimit(by=by, group=group, max_loss=0.3)])
    assert row.observed == pytest.approx(loss, abs=1e-4)
    assert row.passed == (loss <= 0.3)
    assert row.name == (f"loss_{by}_{group}" if group else "loss")


def test_a_failure_names_the_operators_that_caused_it(cleaned):
    limit = CoverageLimit(by="language", group="en", max_loss=0.4)
    (_, row) = judge_coverage(cleaned, [limit])
    assert row.examples == ("length: 1 of 4", "repetition: 1 of 4")


def test_by_default_the_whole_corpus_must_not_vanish(cleaned):
    names = {row.name: row.passed for row in judge_coverage(cleaned)}
    assert names == {"readable": True, "loss": True}
    rows = documents(*[("en", "x", 9, "length")] * 100)
    rows.write_parquet(cleaned / "rejected.parquet")
    assert {row.name: row.passed for row in judge_coverage(cleaned)}["loss"] is False


def test_a_group_that_never_came_in_fails(cleaned):
    (_, row) = judge_coverage(cleaned, [CoverageLimit(by="language", group="fr", max_loss=0.9)])
    assert (row.passed, row.observed) == (False, "no document of this group came in")


def test_a_missing_table_or_column_fails(cleaned):
    limit = CoverageLimit(by="source", group="**", max_loss=0.9)
    path = cleaned / "rejected.parquet"
    pl.read_parquet(path).drop("source").write_parquet(path)
    assert [row.name for row in judge_coverage(cleaned, [limit])] == ["columns"]
    assert all(row.passed for row in judge_coverage(cleaned))
    path.unlink()
    assert [row.passed for row in judge_coverage(cleaned)] == [False]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "all", "group": "x"}, "does not go with"),
        ({"by": "language"}, "does not go with"),
        ({"by": "length", "group": "many"}, "200-2000"),
        ({"by": "language", "group": "de", "max_loss": 1.0}, "less than 1"),
        ({"by": "author", "group": "x"}, "language"),
    ],
)
def test_a_group_that_means_nothing_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        CoverageLimit(**{"max_loss": 0.1, **settings})
