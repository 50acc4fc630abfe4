import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.decontaminated_tables import decontaminate
from quality.decontamination import DecontaminationConfig, EvaluationIndex
from quality.documents_on_disk import open_documents

WORDS = ["".join(chr(97 + (n // 26**k) % 26) for k in range(3)) for n in range(5000)]


def text(*numbers):
    return " ".join(WORDS[n] for n in numbers)


def index(*items, evaluation="exam", **config):
    ids = pl.Series([f"i{n}" for n in range(len(items))])
    texts = pl.Series(items, dtype=pl.String)
    return EvaluationIndex([(evaluation, ids, texts)], DecontaminationConfig(**config))


def found(exam, *texts):
    table = exam.find(pl.Series(texts, dtype=pl.String))
    return table.select("row", "item_id", "matched_ngrams").rows()


def test_thirteen_words_in_a_row_are_found_and_twelve_are_not():
    exam = index(text(*range(20)))
    inside = "before, " + text(*range(3, 16)) + ". after"
    assert found(exam, inside) == [(0, "i0", 1)]
    assert found(exam, text(*range(3, 15)), text(*range(100, 130))) == []
    assert exam.items.rows() == [("exam", "i0", 8)]


def test_case_punctuation_accents_and_the_values_of_numbers_make_no_difference():
    exam = index("Café: 12 cats, ate the big red rat & slept; then they woke at noon")
    copy = "CAFE 7,000 (cats) ate the big\nred rat slept -- then they woke at noon"
    assert found(exam, copy) == [(0, "i0", 2)]


def test_a_match_is_shown_with_its_overlap_and_place():
    exam = index(text(*range(14)))
    row = exam.find(pl.Series(["lead " * 100 + text(*range(1, 14)) + " tail"])).row(0, named=True)
    assert (row["matched_ngrams"], row["item_ngrams"], row["overlap"]) == (1, 2, 0.5)
    assert row["passage"].endswith(text(*range(1, 14)))
    assert len(row["passage"]) <= 240


def test_short_items_are_looked_for_as_a_whole():
    exam = index(text(*range(8)), text(*range(50, 57)), text(*range(60, 72)))
    assert exam.items["item_ngrams"].to_list() == [1, 0, 1]
    assert found(exam, "x " + text(*range(8)) + " y", text(*range(50, 57))) == [(0, "i0", 1)]
    assert found(exam, text(*range(60, 71)), text(*range(60, 73))) == [(1, "i2", 1)]


def test_rows_of_numbers_and_repetitions_match_nothing():
    exam = index("1 2 3 4 5 6 7 8 9 10 11 12 13 14", "ha " * 20, text(*range(6)) + " 5" * 7)
    assert exam.items["item_ngrams"].to_list() == [0, 0, 0]
    assert found(exam, "9 " * 30, "ha " * 30) == []
    assert index(text(*range(7)) + " 5" * 6).items["item_ngrams"].to_list() == [1]


def test_an_ngram_of_several_items_names_them_all_best_overlap_first():
    exam = index(text(*range(30)), text(*range(13)), text(*range(5, 18)))
    assert found(exam, "", text(*range(18))) == [(1, "i1", 1), (1, "i2", 1), (1, "i0", 6)]


def test_more_hits_than_room_are_all_found():
    long = text(*range(5000))
    exam = index(long, text(*range(13)))
    assert found(exam, "none", long, long) == [
        (1, "i0", 4988), (1, "i1", 1), (2, "i0", 4988), (2, "i1", 1),
    ]  # fmt: skip


def test_no_items_and_no_texts():
    assert found(index(), text(*range(20))) == []
    assert found(index(text(*range(20)))) == []
    with pytest.raises(ValueError, match="exam: 1 items have no text"):
        EvaluationIndex([("exam", pl.Series(["a"]), pl.Series([None], dtype=pl.String))])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_planted_item_is_always_found_and_nothing_else(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    items = [text(*rng.integers(0, 2500, size=data.draw(st.integers(8, 40)))) for _ in range(5)]
    exam = index(*items)
    texts, planted = [], set()
    for row in range(6):
        pieces = [text(*rng.integers(2500, 5000, size=rng.integers(0, 60)))]
        for item in data.draw(st.sets(st.integers(0, 4), max_size=2)):
            words = items[item].split()
            start = 0 if len(words) <= 13 else rng.integers(len(words) - 12)
            pieces += [" ".join(words[start : start + 13]).upper(), "then"]
            pieces.append(text(*rng.integers(2500, 5000, size=20)))
            planted.add((row, f"i{item}"))
        texts.append(data.draw(st.sampled_from([" ", "\n\n", " - "])).join(pieces))
    assert {(row, item) for row, item, _ in found(exam, *texts)} == planted


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"ngram": 0}, "ngram"),
        ({"min_item_words": 14}, "must not be larger than ngram"),
        ({"words": 3}, "words"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        DecontaminationConfig(**setting)


def test_tables_part_the_documents(tmp_path):
    rows = [
        {"id": "a", "text": "lead in " + text(*range(13)), "year": 1},
        {"id": "b", "text": text(*range(100, 140)), "year": 2},
        {"id": "c", "text": None, "year": 3},
        {"id": "d", "text": text(*range(20)) + " and " + text(*range(200, 220)), "year": 4},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "in.jsonl").write_text(lines)
    items = [text(*range(20)), text(*range(200, 213)), "too short"]
    pl.DataFrame({"text": items}).write_parquet(tmp_path / "exam.parquet")
    out = tmp_path / "out"
    calls = []
    summary = decontaminate(
        open_documents(str(tmp_path / "in.jsonl")),
        {"exam": open_documents(str(tmp_path / "exam.parquet"))},
        out,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert summary.to_json() == {
        "num_documents": 3,
        "kept": 1,
        "removed": 2,
        "evaluations": {"exam": {"items": 3, "not_sought": 1, "found": 2, "documents": 2}},
        "put_aside": {"null_text": 1},
    }
    kept = pl.read_parquet(out / "kept" / "*.parquet")
    assert kept.rows(named=True) == [rows[1]]
    removed = pl.read_parquet(out / "removed" / "*.parquet")
    assert removed.select("id", "item_id", "matched_ngrams").rows() == [
        ("a", "exam.parquet:1", 1), ("d", "exam.parquet:1", 8), ("d", "exam.parquet:2", 1),
    ]  # fmt: skip
    assert calls[-1] == (4, 4)
