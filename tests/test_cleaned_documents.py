"""Any input becomes two tables that together hold every row of it."""

import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quality import json_tables
from quality.cleaned_documents import SOURCE_ROW, clean_documents
from quality.cleaning_examples import EDITED_LINES
from quality.cleaning_profiles import CleaningProfile, find_profile
from quality.documents import CorpusError
from quality.documents_on_disk import open_documents
from quality.measurement import DOCUMENT_ROW, MEASURES

SHORT = CleaningProfile(name="short", filters={"length": {"min_words": 3, "min_chars": 10}})
ROWS = [
    {"key": 1, "body": "A sound text of several words.", "score": 0.5, "more": {"a": [1]}},
    {"key": 2, "body": "too short", "score": 1},
    {"key": 3, "body": "A  Sound text of SEVERAL words.", "score": None},
    {"key": 4, "body": None},
    {"key": 1, "body": "The id of another one."},
    {"key": 6, "body": "Blanks at the end   \nof a line \x07here.", "num_words": -1},
]


def write(folder, rows, name="in.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def clean(folder, rows=ROWS, profile=SHORT, **options):
    named = {"text_column": "body", "id_column": "key", **options}
    documents = open_documents(write(folder, rows), **named)
    out = folder / "out"
    out.mkdir()
    cleaned = clean_documents(documents, out, profile)
    return cleaned, pl.read_parquet(out / "kept"), pl.read_parquet(out / "rejected")


def test_every_row_is_kept_or_rejected_with_its_reason(tmp_path):
    cleaned, kept, rejected = clean(tmp_path)
    assert kept.select("key", "score", "more", SOURCE_ROW, "body").rows() == [
        (1, 0.5, '{"a": [1]}', "in.jsonl:1", "A sound text of several words."),
        (6, None, None, "in.jsonl:6", "Blanks at the end\nof a line here."),
    ]
    assert rejected.select("id", SOURCE_ROW, "operator", "reason", "metric", "value").rows() == [
        ("2", "in.jsonl:2", "length", "too few characters", "num_chars", "9"),
        ("3", "in.jsonl:3", "exact_deduplication", "copy of an earlier document", "text_hash", "1"),
        (None, "in.jsonl:4", "read", "null_text", None, "column 'body' is null"),
        (None, "in.jsonl:5", "read", "duplicate_id", None, "the id '1' is taken"),
    ]
    content = cleaned.to_json()
    assert (content["num_rows"], content["num_kept"], content["num_rejected"]) == (6, 2, 4)
    assert content["unreadable"] == {"duplicate_id": 1, "null_text": 1}
    json.dumps(content)


def test_metrics_are_columns_and_replace_those_of_an_earlier_cleaning(tmp_path):
    _, kept, rejected = clean(tmp_path)
    assert set(MEASURES) <= set(kept.columns)
    assert set(MEASURES) <= set(rejected.columns)
    assert kept["num_words"].to_list() == [6, 8]  # not the -1 of the input
    assert kept.columns.count("num_words") == 1


def test_the_tables_do_not_depend_on_the_batches(tmp_path, monkeypatch):
    tables = []
    for number, size in enumerate((1, 2, 100)):
        monkeypatch.setattr(json_tables, "BATCH_ROWS", size)
        folder = tmp_path / str(number)
        folder.mkdir()
        _, kept, rejected = clean(folder)
        tables.append((kept, rejected.sort(SOURCE_ROW)))
    for kept, rejected in tables[1:]:
        assert kept.equals(tables[0][0])
        assert rejected.equals(tables[0][1])


def test_types_of_the_input_stay_even_if_nothing_does(tmp_path):
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int16()),
            "text": ["a", "b"],
            "at": pa.array([1, 2], pa.timestamp("ms")),
            "map": pa.array([[("x", 1)], []], pa.map_(pa.string(), pa.int8())),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    (tmp_path / "out").mkdir()
    clean_documents(open_documents(str(tmp_path / "in.parquet")), tmp_path / "out", SHORT)
    kept = pq.read_table(tmp_path / "out" / "kept")
    assert kept.num_rows == 0
    for name in ("id", "at", "map"):
        assert kept.schema.field(name).type == table.schema.field(name).type


def test_cleaning_what_was_cleaned_changes_nothing_and_keeps_the_first_source(tmp_path):
    _, once, _ = clean(tmp_path)
    (tmp_path / "again").mkdir()
    documents = open_documents(str(tmp_path / "out/kept"), text_column="body", id_column="key")
    clean_documents(documents, tmp_path / "again", SHORT)
    twice = pl.read_parquet(tmp_path / "again/kept")
    told = [name for name in twice.columns if name != DOCUMENT_ROW]
    assert twice.select(told).equals(once.select(told))
    assert twice[SOURCE_ROW].to_list() == ["in.jsonl:1", "in.jsonl:6"]
    assert pl.read_parquet(tmp_path / "again/rejected").height == 0


def test_examples_show_the_reason_and_the_place_of_a_change(tmp_path):
    cleaned, _, _ = clean(tmp_path)
    (example,) = cleaned.examples.rejected["length", "too few characters"]
    assert (example.id, example.value, example.limit) == ("2", "9", ">= 10")
    assert example.excerpt == "too short"
    (change,) = cleaned.examples.changed["control_characters"]
    assert [(p.kind, p.text) for p in change.difference if p.kind != "same"] == [
        ("removed", "\\x07")
    ]
    (change,) = cleaned.examples.changed["trailing_whitespace"]
    assert change.difference[1].text == "···"
    assert EDITED_LINES not in cleaned.examples.changed


def test_examples_are_bounded_and_lines_that_a_filter_takes_out_are_shown(tmp_path):
    sentence = "This is the sentence that everybody has to read before the other ones do. "
    rows = [
        {"id": f"d{n}", "text": (sentence * 8 + "\njavascript is needed here.\n" + f"The end {n}.")}
        for n in range(15)
    ]
    web = CleaningProfile(name="c4", filters={"c4": {}}, deduplicate=False)
    cleaned, kept, _ = clean(tmp_path, rows, web, text_column="text", id_column="id")
    assert kept.height == 15
    assert not kept["text"].str.contains("javascript").any()
    assert len(cleaned.examples.changed[EDITED_LINES]) == 10


def test_a_declared_language_is_judged(tmp_path):
    text = "Der Ausschuss tritt mindestens einmal im Jahr zusammen und berichtet dem Parlament."
    documents = open_documents(write(tmp_path, [{"text": text}]))
    profile = CleaningProfile(name="language", filters={"language": {}})
    for language, expected in (("de", 1), ("en", 0), ("", 1)):
        out = tmp_path / f"out{language}"
        out.mkdir()
        cleaned = clean_documents(documents, out, profile, language=language)
        assert cleaned.documents.kept == expected


def test_an_input_without_a_usable_row_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match=r"none of 2 rows can be used: \{'null_text': 2\}"):
        clean(tmp_path, [{"key": 1, "body": None}, {"key": 2, "body": None}])


def test_progress_counts_rows(tmp_path):
    seen = []
    documents = open_documents(write(tmp_path, ROWS), text_column="body", id_column="key")
    (tmp_path / "out").mkdir()
    clean_documents(
        documents,
        tmp_path / "out",
        find_profile("web"),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(6, 6)]
