"""Contamination of training text: what is found, what leaks, what the gate notices."""

import json

import polars as pl
import pytest

from quality.contamination import (
    CONTAMINATED,
    EVALUATIONS_FILE,
    MATCHES_FILE,
    SUMMARY,
    ContaminationConfig,
    LeakSearch,
    read_contaminated,
    report_contamination,
)
from quality.decontamination import EvaluationIndex
from quality.document_batches import BadDocuments
from quality.suites.contamination_report import ContaminationLimits, judge


def words(start, count=33):
    """Different words in a row; 33 of them have 21 13-grams."""
    letters = "abcdefghij"
    return " ".join(
        "".join(letters[int(digit)] for digit in str(number))
        for number in range(start, start + count)
    )


ITEM = words(10_000)
QUESTION = words(20_000)
TRAINING = {
    "half": "before " + words(10_000, 23) + " after",  # 11 of 21
    "less": words(10_000, 22),  # 10 of 21
    "question": words(20_000, 13),
    "clean": words(30_000),
}


@pytest.fixture
def search(tmp_path):
    """One held-out document and one item of an exam."""
    (tmp_path / "heldout").mkdir()
    pl.DataFrame({"id": ["h/0"], "text": [ITEM]}).write_parquet(
        tmp_path / "heldout" / "documents.parquet"
    )
    (tmp_path / "exam.jsonl").write_text(json.dumps({"id": "q", "text": QUESTION}) + "\n")
    config = ContaminationConfig(evaluations={"exam": tmp_path / "exam.jsonl"})
    return LeakSearch({"prose": tmp_path / "heldout"}, config)


@pytest.fixture
def report(search, tmp_path):
    out = tmp_path / "report"
    out.mkdir()
    report_contamination(TRAINING.items(), search, out, cleaned_version="v1", heldout_version="h1")
    return out


def test_half_of_a_held_out_document_leaks_and_thirteen_words_of_an_exam(report):
    matches = pl.read_parquet(report / MATCHES_FILE)
    assert matches.select("id", "evaluation", "matched_ngrams", "item_ngrams", "kind").rows() == [
        ("half", "held-out prose", 11, 21, "contaminated"),
        ("less", "held-out prose", 10, 21, "kept"),
        ("question", "exam", 1, 21, "contaminated"),
    ]
    assert read_contaminated(report) == {"half", "question"}
    chars = {name: len(text) for name, text in TRAINING.items()}
    assert json.loads((report / SUMMARY).read_text()) == {
        "cleaned_version": "v1",
        "heldout_version": "h1",
        "num_documents": 4,
        "num_chars": sum(chars.values()),
        "overlapping": 3,
        "contaminated": 2,
        "contaminated_chars": chars["half"] + chars["question"],
    }


def test_each_evaluation_has_a_row_also_without_a_match(report):
    rows = pl.read_parquet(report / EVALUATIONS_FILE).rows(named=True)
    assert [(row["evaluation"], row["documents"], row["contaminated"]) for row in rows] == [
        ("held-out prose", 2, 1),
        ("exam", 1, 1),
    ]
    assert [row["most_overlap_left"] for row in rows] == [pytest.approx(10 / 21), None]
    assert [row["contaminated_share"] for row in rows] == [0.25, 0.25]


def failures(criteria):
    return {
        row.column or row.name for row in criteria if not row.passed and row.severity == "error"
    }


def test_a_sound_report_passes_and_warns_of_an_evaluation_that_is_in_the_corpus(report):
    criteria = judge(report)
    assert failures(criteria) == set()
    assert {row.column for row in criteria if not row.passed} == {"contaminated_share"}


def test_nothing_found_is_a_sound_report_too(search, tmp_path):
    report_contamination(
        [("clean", TRAINING["clean"])], search, tmp_path, cleaned_version="v1", heldout_version="h1"
    )
    assert [row for row in judge(tmp_path) if not row.passed] == []
    assert read_contaminated(tmp_path) == frozenset()


def test_a_leak_that_is_left_fails_the_gate(report):
    assert failures(judge(report, ContaminationLimits(heldout_overlap=10 / 21))) == {
        "most_overlap_left"
    }


def test_a_search_that_does_not_find_its_own_items_fails_the_gate(search, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "_index", EvaluationIndex([]))
    items = {"evaluation": ["held-out prose"], "item_id": ["h/0"], "item_ngrams": [21]}
    monkeypatch.setattr(LeakSearch, "items", pl.DataFrame(items))
    report_contamination(
        TRAINING.items(), search, tmp_path, cleaned_version="v1", heldout_version="h1"
    )
    assert "canaries_missed" in failures(judge(tmp_path))


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"kind": pl.lit("kept")}, {"summary_counts_contaminated"}),
        ({"evaluation": pl.lit("another exam")}, {"rows_that_make_no_sense"}),
        ({"overlap": pl.lit(1.5)}, {"rows_that_make_no_sense"}),
        (
            {"id": pl.lit("half"), "evaluation": pl.lit("exam"), "item_id": pl.lit("q")},
            {"pairs_twice", "summary_counts_contaminated"},
        ),
    ],
)
def test_each_defect_of_a_report_fails_its_criterion(report, change, failed):
    path = report / MATCHES_FILE
    pl.read_parquet(path).with_columns(**change).write_parquet(path)
    assert failures(judge(report)) == failed


def test_a_missing_report_is_an_error_not_nothing_found(tmp_path):
    with pytest.raises(BadDocuments, match="no complete report of contamination"):
        read_contaminated(tmp_path)
    assert failures(judge(tmp_path)) == {"readable"}


@pytest.mark.parametrize("overlap", [0.0, 1.1])
def test_an_overlap_is_a_share(overlap):
    with pytest.raises(ValueError, match="heldout_overlap"):
        ContaminationConfig(heldout_overlap=overlap)


def test_found_leaks_say_so(search):
    kinds = search.find(pl.Series([QUESTION, ITEM]))["kind"]
    assert kinds.to_list() == [CONTAMINATED, CONTAMINATED]
