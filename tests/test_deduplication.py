import json

import polars as pl
import pytest

from quality.dedup.clusters import DeduplicationConfig
from quality.dedup.deduplication import deduplicate
from quality.documents import CorpusError
from quality.documents_on_disk import open_documents

PARAGRAPH = "A paragraph that stands in more than one document of this test, long enough to count."
OTHER = "Another one, which only stands here and is as long as it has to be for being looked at."


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(tmp_path, inputs, config=None, **options):
    opened = {name: open_documents(path) for name, path in inputs.items()}
    out = tmp_path / "out"
    summary = deduplicate(opened, out, config or DeduplicationConfig(), **options)
    kept = pl.read_parquet(out / "kept" / "*.parquet")
    removed = pl.read_parquet(out / "removed" / "*.parquet")
    assert summary.num_documents == summary.kept + sum(summary.removed.values())
    assert summary.kept == kept.height
    return summary, kept, removed


@pytest.fixture
def inputs(tmp_path):
    books = [
        {"id": "1", "text": "Call me  Ishmael.", "year": 1851},
        {"id": "2", "text": "", "year": 1900},
        {"id": "3", "text": "unique", "year": 1901},
    ]
    web = [
        {"id": "1", "text": "call me ishmael.", "url": "x"},
        {"id": "4", "text": "new", "url": "y"},
    ]
    return {
        "books": write(tmp_path / "books.jsonl", books),
        "web": write(tmp_path / "web.jsonl", web),
    }


def test_all_columns_stay_and_the_first_input_wins(tmp_path, inputs):
    calls = []
    summary, kept, removed = run(
        tmp_path, inputs, progress=lambda done, total: calls.append((done, total))
    )
    assert kept.sort("id").rows() == [
        ("1", "Call me  Ishmael.", 1851, None),
        ("3", "unique", 1901, None),
        ("4", "new", None, "y"),
    ]
    assert removed.rows(named=True) == [
        {
            "id": "1",
            "input": "web",
            "kept_id": "1",
            "kept_input": "books",
            "kind": "exact",
            "similarity": 1.0,
            "cluster": "books/1",
        }
    ]
    assert summary.to_json() == {
        "num_documents": 4,
        "kept": 3,
        "removed": {"exact": 1},
        "num_clusters": 1,
        "largest_cluster": 2,
        "paragraphs_removed": 0,
        "chars_removed": 16,
        "put_aside": {"empty": 1},
    }
    assert calls[-1] == (10, 10)


def test_the_order_of_inputs_is_the_priority(tmp_path, inputs):
    turned = {name: inputs[name] for name in ("web", "books")}
    _, _, removed = run(tmp_path, turned)
    assert removed.select("input", "kept_input").rows() == [("books", "web")]


def test_nothing_to_remove_is_an_empty_table_with_its_columns(tmp_path, inputs):
    summary, kept, removed = run(tmp_path, {"web": inputs["web"]})
    assert (summary.removed, kept.height, removed.height) == ({}, 2, 0)
    assert removed.columns[:4] == ["id", "input", "kept_id", "kept_input"]


def test_paragraphs_are_cut_from_all_but_the_best_document(tmp_path):
    rows = [
        {"id": "a", "text": f"{PARAGRAPH}\n\nshort"},
        {"id": "b", "text": f"{OTHER}\n\n{PARAGRAPH.upper()}\n\nthe end of the longest text"},
        {"id": "c", "text": PARAGRAPH + "\n\n"},
        {"id": "d", "text": "untouched"},
    ]
    path = write(tmp_path / "in.jsonl", rows)
    summary, kept, removed = run(
        tmp_path, {"in": path}, DeduplicationConfig(method="exact"), min_paragraph_chars=50
    )
    assert kept.rows() == [("a", "short"), ("b", rows[1]["text"]), ("d", "untouched")]
    assert removed.select("id", "kept_id", "kind").rows() == [("c", "b", "paragraphs")]
    assert summary.removed == {"paragraphs": 1}
    assert summary.paragraphs_removed == 2
    assert summary.chars_removed == 2 * (len(PARAGRAPH) + 2)


def test_columns_of_different_types_in_different_inputs_are_refused(tmp_path):
    one = write(tmp_path / "one.jsonl", [{"text": "a", "year": 1}])
    two = write(tmp_path / "two.jsonl", [{"text": "b", "year": "MMXX"}])
    with pytest.raises(CorpusError, match="different types in different inputs"):
        run(tmp_path, {"one": one, "two": two})


def test_an_input_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "in.parquet"
    pl.DataFrame({"id": ["1", "2"], "text": ["a", "b"]}).write_parquet(path)
    opened = open_documents(str(path))

    def change(*_):
        pl.DataFrame({"id": ["1", "3"], "text": ["a", "b"]}).write_parquet(path)

    with pytest.raises(CorpusError, match="changed while it was read"):
        deduplicate({"in": opened}, tmp_path / "out", DeduplicationConfig(), progress=change)
