import json

import polars as pl
import pyarrow.parquet as pq
import pytest

from quality import raw_corpus
from quality.catalogue import Corpus
from quality.documents import CorpusError
from quality.raw_corpus import DOCUMENT_COLUMNS, UNREADABLE_COLUMNS, write_raw_corpus


def corpus_of(folder, rows, **fields):
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Corpus(
        name="small",
        domain="web",
        licence="MIT",
        language="en",
        cleaning="prose",
        reader="jsonl",
        source={"path": "d.jsonl"},
        folder=folder,
        **fields,
    )


def write(corpus, folder, progress=None):
    out = folder / "out"
    out.mkdir(exist_ok=True)
    summary = write_raw_corpus(corpus, out, cache=folder / "cache", progress=progress)
    documents = pl.read_parquet(out / "documents.parquet")
    return summary, documents, pl.read_parquet(out / "unreadable.parquet"), out


def test_documents_carry_their_origin_and_the_rest_is_counted(tmp_path):
    rows = [
        {"id": "a", "text": "Grüße"},
        {"id": "b", "text": "one\n\ntwo\n\nthree"},
        {"id": "c", "text": None},
        {"id": "a", "text": "again"},
        {"id": "e", "text": " "},
    ]
    corpus = corpus_of(tmp_path, rows, id_column="id", segment_chars=10)
    summary, documents, unreadable, out = write(corpus, tmp_path)
    assert documents.columns == list(DOCUMENT_COLUMNS)
    assert set(documents.dtypes) == {pl.String}
    assert documents["id"].to_list() == ["small/a", "small/b#0000", "small/b#0001"]
    assert documents["text"].to_list() == ["Grüße", "one\n\ntwo\n\n", "three"]
    assert documents.row(1, named=True) | {"text": "", "id": ""} == {
        "id": "",
        "text": "",
        "source": "d.jsonl:2",
        "licence": "MIT",
        "language": "en",
        "domain": "web",
        "metadata": '{"group": "small/b", "path": "d.jsonl", "segment": 0}',
    }
    assert json.loads(documents["metadata"][0]) == {
        "group": "small/a",
        "path": "d.jsonl",
        "segment": None,
    }
    assert unreadable.columns == list(UNREADABLE_COLUMNS)
    assert unreadable.rows() == [
        ("d.jsonl:3", "null_text", "column 'text' is null"),
        ("d.jsonl:4", "duplicate_id", "the id 'a' is taken"),
        ("d.jsonl:5", "empty", "no character but white space"),
    ]
    assert json.loads((out / "summary.json").read_text()) == {
        "corpus": "small",
        "num_texts": 2,
        "num_documents": 3,
        "num_bytes": 7 + 10 + 5,
        "num_unreadable": 3,
        "unreadable": {"duplicate_id": 1, "empty": 1, "null_text": 1},
        "num_damaged": 2,
        "num_left_out": 0,
        "num_left_out_bytes": 0,
    }
    assert summary.num_bytes == documents["text"].str.len_bytes().sum()


def test_half_a_surrogate_pair_is_put_aside(tmp_path):
    corpus = corpus_of(tmp_path, [], id_column="id")
    (tmp_path / "d.jsonl").write_text(
        '{"text": "ok", "id": "x"}\n'
        '{"text": "\\ud800", "id": "y"}\n'
        '{"text": "a", "id": "\\udc00"}\n'
    )
    _, documents, unreadable, _ = write(corpus, tmp_path)
    assert documents["id"].to_list() == ["small/x"]
    assert unreadable["reason"].to_list() == ["invalid_unicode", "invalid_unicode"]


def test_row_groups_are_bounded_and_progress_counts_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_corpus, "BATCH_ROWS", 4)
    calls = []
    rows = [{"text": f"text {i}"} for i in range(10)]
    _, documents, unreadable, out = write(
        corpus_of(tmp_path, rows),
        tmp_path,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert documents["text"].to_list() == [row["text"] for row in rows]
    assert unreadable.height == 0
    with pq.ParquetFile(out / "documents.parquet") as file:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [4, 4, 2]
    assert calls == [(4, None), (8, None), (10, None)]


def test_long_texts_fill_a_row_group_by_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_corpus, "BATCH_BYTES", 1000)
    *_, out = write(corpus_of(tmp_path, [{"text": "x" * 600}] * 4), tmp_path)
    with pq.ParquetFile(out / "documents.parquet") as file:
        assert file.num_row_groups == 2


def test_the_same_source_gives_the_same_bytes(tmp_path):
    corpus = corpus_of(tmp_path, [{"text": f"text {i}"} for i in range(50)], sample_share=0.5)
    *_, out = write(corpus, tmp_path)
    names = ("documents.parquet", "unreadable.parquet", "summary.json")
    first = [(out / name).read_bytes() for name in names]
    *_, out = write(corpus, tmp_path)
    assert [(out / name).read_bytes() for name in names] == first


def test_a_sample_is_nested_counted_and_independent_of_the_order(tmp_path):
    rows = [{"id": str(i), "text": f"text {i:04}"} for i in range(400)]
    kept = {}
    for share in (0.2, 0.5):
        corpus = corpus_of(tmp_path, rows, id_column="id", sample_share=share)
        summary, documents, _, _ = write(corpus, tmp_path)
        kept[share] = set(documents["id"])
        assert summary.num_texts + summary.num_left_out == 400
        assert summary.num_left_out_bytes == 9 * summary.num_left_out
        assert len(kept[share]) == pytest.approx(400 * share, abs=40)
    assert kept[0.2] < kept[0.5]
    corpus = corpus_of(tmp_path, rows[::-1], id_column="id", sample_share=0.5)
    assert set(write(corpus, tmp_path)[1]["id"]) == kept[0.5]


def test_a_corpus_without_a_readable_document_is_an_error(tmp_path):
    corpus = corpus_of(tmp_path, [{"text": None}, {"text": ""}])
    message = (
        r"corpus 'small': no readable document in \{'path': 'd.jsonl'\}; put aside: "
        r"\{'empty': 1, 'null_text': 1\}, left out by sample_share: 0; check 'source'"
    )
    with pytest.raises(CorpusError, match=message):
        write(corpus, tmp_path)
    with pytest.raises(CorpusError, match="put aside: nothing"):
        write(corpus_of(tmp_path, []), tmp_path)


def test_a_source_that_breaks_off_leaves_no_summary(tmp_path):
    corpus = corpus_of(tmp_path, [{"body": "x"}])
    with pytest.raises(CorpusError, match=r"no row of .* has a column 'text'"):
        write(corpus, tmp_path)
    assert not (tmp_path / "out" / "summary.json").exists()


@pytest.mark.parametrize("table", ["documents.parquet", "unreadable.parquet"])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, table):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / table).symlink_to("/dev/full")  # every write fails: no space left
    corpus = corpus_of(tmp_path, [{"text": "x"}, {"text": None}])
    with pytest.raises(OSError, match=rf"{table} cannot be written .*No space left.*; free space"):
        write(corpus, tmp_path)
    assert not (tmp_path / "out" / "summary.json").exists()
