import polars as pl
import pytest

from quality.document_batches import BadDocuments
from quality.documents_on_disk import open_documents
from quality.provenance import StageTable, find_input_row, find_rows, trace_document


@pytest.fixture
def tables(tmp_path):
    """A raw corpus of which one document was kept, one rejected and one cut in two."""
    content = {
        "raw": pl.DataFrame(
            {
                "id": ["c/a", "c/b", "c/x#0", "c/x#1"],
                "source": ["f:1", "f:2", "f:3", "f:3"],
                "text": ["one", "two", "three", "four"],
            }
        ),
        "kept": pl.DataFrame({"id": ["c/a", "c/x#1"], "source": ["f:1", "f:3"]}),
        "rejected": pl.DataFrame({"id": ["c/b", "c/x#0"], "operator": ["length", "lines"]}),
        "tokens": pl.DataFrame({"document_id": ["c/x#1"], "num_tokens": [7]}),
    }
    for name, frame in content.items():
        frame.write_parquet(tmp_path / f"{name}.parquet", row_group_size=1)
    fates = {"raw": "went on", "kept": "went on", "rejected": "removed", "tokens": "went on"}
    return [
        StageTable(stage=name, fate=fate, files=(tmp_path / f"{name}.parquet",))
        for name, fate in fates.items()
    ]


def stages(key, tables):
    return [(step.stage, step.fate) for step in trace_document(key, tables)]


def test_a_document_is_followed_to_its_end(tables):
    assert stages("c/a", tables) == [("raw", "went on"), ("kept", "went on")]
    (_, removed) = trace_document("c/b", tables)
    assert (removed.fate, removed.row["operator"]) == ("removed", "length")
    assert [stage for stage, _ in stages("c/x#1", tables)] == ["raw", "kept", "tokens"]


def test_a_source_row_is_followed_under_all_its_ids(tables):
    assert stages("f:3", tables) == [
        ("raw", "went on"),
        ("raw", "went on"),
        ("kept", "went on"),
        ("rejected", "removed"),
        ("tokens", "went on"),
    ]


def test_one_segment_is_not_the_other(tables):
    rows = [
        step.row.get("id") or step.row["document_id"] for step in trace_document("c/x#1", tables)
    ]
    assert set(rows) == {"c/x#1"}


def test_an_unknown_document_has_no_way(tables):
    assert trace_document("c/nobody", tables) == []


def test_a_damaged_table_is_an_error(tmp_path):
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadDocuments, match=r"cut\.parquet: not a complete Parquet file"):
        list(find_rows(tmp_path / "cut.parquet", {"a"}))


def test_the_input_row_is_found_by_id_and_by_place(tmp_path):
    pl.DataFrame({"id": [7, 8], "text": ["a", "b"], "n": [0.5, 1.5]}).write_parquet(
        tmp_path / "in.parquet"
    )
    documents = open_documents(str(tmp_path / "in.parquet"))
    for key in ("8", "in.parquet:2"):
        assert find_input_row(documents, key) == {
            "id": 8,
            "text": "b",
            "n": 1.5,
            "source_row": "in.parquet:2",
        }
    assert find_input_row(documents, "9") is None


def test_of_copies_the_kind_tells_the_fate(tmp_path):
    members = {"id": ["c/a", "c/b"], "kind": ["kept", "near"], "kept_id": ["c/a", "c/a"]}
    pl.DataFrame(members).write_parquet(tmp_path / "members.parquet")
    table = StageTable(stage="copies", fate="by kind", files=(tmp_path / "members.parquet",))
    assert stages("c/a", [table]) == [("copies", "went on")]
    assert stages("c/b", [table]) == [("copies", "removed")]
