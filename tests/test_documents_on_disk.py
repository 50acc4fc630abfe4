"""Documents of an input: what comes out, what is put aside, and what is refused."""

import gzip
import json
import tracemalloc
from pathlib import Path

import fsspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from quality import documents_on_disk, json_lines, json_tables, parquet_tables
from quality.document_sample import sample_documents
from quality.documents import CorpusError
from quality.documents_on_disk import open_documents


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def gather(path, **options):
    """All batches as (documents, rows, reasons by source)."""
    documents = open_documents(str(path), **options)
    batches = list(documents.batches())
    rows = pa.concat_tables(batch.rows for batch in batches)
    named = [pair for batch in batches for pair in zip(batch.ids, batch.texts, strict=True)]
    aside = {item.source: item.reason for batch in batches for item in batch.unreadable}
    assert rows.schema == documents.schema
    assert sum(batch.num_rows_read for batch in batches) == documents.num_rows
    assert [len(batch.sources) for batch in batches] == [b.rows.num_rows for b in batches]
    return named, rows, aside


ROWS = [{"id": f"k{i}", "text": f"text {i}", "score": i / 2, "tags": ["a", i]} for i in range(50)]


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("d.jsonl", bytes),
        ("d.jsonl.gz", gzip.compress),
        ("d.jsonl.zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_json_lines_keep_every_column(tmp_path, name, compress):
    (tmp_path / name).write_bytes(compress(lines(*ROWS)))
    named, rows, aside = gather(tmp_path / name)
    assert named == [(row["id"], row["text"]) for row in ROWS]
    assert rows["score"].to_pylist() == [row["score"] for row in ROWS]
    assert [json.loads(tags) for tags in rows["tags"].to_pylist()] == [r["tags"] for r in ROWS]
    assert aside == {}


def test_parquet_keeps_every_column_and_its_type(tmp_path):
    table = pa.Table.from_pylist(
        [{"key": 7, "body": "ä", "at": None, "more": {"x": [1]}}, {"key": 8, "body": "b"}],
        schema=pa.schema(
            {
                "key": pa.int32(),
                "body": pa.dictionary(pa.int8(), pa.string()),
                "at": pa.timestamp("ms"),
                "more": pa.struct({"x": pa.list_(pa.int8())}),
            }
        ),
    )
    pq.write_table(table, tmp_path / "d.parquet")
    named, rows, _ = gather(tmp_path, text_column="body", id_column="key", leave_out=["at"])
    assert named == [("7", "ä"), ("8", "b")]
    assert rows.schema.field("key").type == pa.int32()
    assert rows.drop_columns("body") == table.select(["key", "more"])
    assert rows["body"].to_pylist() == ["ä", "b"]


def test_without_ids_documents_are_named_by_file_and_row(tmp_path):
    for name in ("b.jsonl", "a.jsonl", ".hidden.jsonl", "_temporary/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(lines({"text": "x"}, {"text": "y"}))
    named, rows, _ = gather(tmp_path)
    assert [name for name, _ in named] == ["a.jsonl:1", "a.jsonl:2", "b.jsonl:1", "b.jsonl:2"]
    assert rows.column_names == ["id", "text"]
    assert rows["id"].to_pylist() == [name for name, _ in named]


def test_bad_json_rows_are_put_aside_with_their_reason(tmp_path):
    (tmp_path / "d.jsonl").write_bytes(
        lines(
            {"id": "a", "text": "good"},
            {"id": "a", "text": "again"},
            {"id": "b", "text": None},
            {"id": "c", "text": 3},
            {"id": None, "text": "no id"},
            {"id": True, "text": "no id"},
            {"id": " ", "text": "no id"},
            {"id": "d", "text": " \n"},
            {"id": "e"},
            {"id": "f", "text": "\ud800"},
            {"id": 1, "text": "a number"},
        )
        + b'{"id": "x", "text": "\xff"}\n[1]\n{"id": "y"\n'
    )
    named, _, aside = gather(tmp_path)
    assert named == [("a", "good"), ("1", "a number")]
    assert aside == {
        "d.jsonl:2": "duplicate_id",
        "d.jsonl:3": "null_text",
        "d.jsonl:4": "text_is_no_string",
        "d.jsonl:5": "no_id",
        "d.jsonl:6": "no_id",
        "d.jsonl:7": "no_id",
        "d.jsonl:8": "empty",
        "d.jsonl:9": "missing_text_column",
        "d.jsonl:10": "invalid_unicode",
        "d.jsonl:12": "invalid_utf8",
        "d.jsonl:13": "no_object",
        "d.jsonl:14": "invalid_json",
    }


def strings(*values):
    """A string column whose bytes Arrow has not checked."""
    return pa.array(values, pa.binary()).view(pa.string())


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_bad_parquet_rows_are_put_aside_with_their_reason(tmp_path, kind):
    columns = {
        "text": strings(b"good", b"\xff", None, b" ", b"x", b"y", b"z", b"w").view(kind),
        "id": strings(b"a", b"b", b"c", b"d", None, b"\xfe", b"a", b"e"),
        "more": pa.array([{"s": "x"}] * 7 + [None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    named, rows, aside = gather(tmp_path)
    assert named == [("a", "good"), ("e", "w")]
    assert rows["more"].to_pylist() == [{"s": "x"}, None]
    assert aside == {
        "d.parquet:2": "invalid_utf8",
        "d.parquet:3": "null_text",
        "d.parquet:4": "empty",
        "d.parquet:5": "no_id",
        "d.parquet:6": "invalid_utf8",
        "d.parquet:7": "duplicate_id",
    }


def test_ids_are_unique_across_batches_and_files(tmp_path, monkeypatch):
    monkeypatch.setattr(json_tables, "BATCH_ROWS", 2)
    (tmp_path / "a.jsonl").write_bytes(lines(*ROWS[:5]))
    (tmp_path / "b.jsonl").write_bytes(lines(*ROWS[3:7]))
    documents = open_documents(str(tmp_path))
    assert max(batch.num_rows_read for batch in documents.batches()) == 2
    for _ in range(2):  # a second reading gives the same
        named, _, aside = gather(tmp_path)
        assert [name for name, _ in named] == [f"k{i}" for i in range(7)]
        assert aside == {"b.jsonl:1": "duplicate_id", "b.jsonl:2": "duplicate_id"}


def test_a_line_beyond_the_limit_is_passed_over_unheld(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "MAX_DOCUMENT_BYTES", 100)
    monkeypatch.setattr(json_lines, "BUFFER_BYTES", 16)
    content = lines({"text": "a"}, {"text": "x" * 500}, {"text": "b"}, {"text": "y" * 500})
    (tmp_path / "d.jsonl").write_bytes(content)
    named, _, aside = gather(tmp_path)
    assert [text for _, text in named] == ["a", "b"]
    assert aside == {"d.jsonl:2": "too_large", "d.jsonl:4": "too_large"}
    (detail,) = {
        item.detail
        for batch in open_documents(str(tmp_path)).batches()
        for item in batch.unreadable
        if item.source == "d.jsonl:2"
    }
    assert detail.startswith(f"{len(lines({'text': 'x' * 500}))} bytes, limit ")


def test_a_parquet_text_beyond_the_limit_is_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(documents_on_disk, "MAX_DOCUMENT_BYTES", 100)
    pq.write_table(pa.table({"text": ["a", "x" * 101, "x" * 100]}), tmp_path / "d.parquet")
    named, _, aside = gather(tmp_path)
    assert [name for name, _ in named] == ["d.parquet:1", "d.parquet:3"]
    assert aside == {"d.parquet:2": "too_large"}


def test_fat_rows_come_in_small_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_tables, "BATCH_BYTES", 10_000)
    rows = [f"{i} " + "x" * 1000 for i in range(40)]
    pq.write_table(
        pa.table({"text": rows}), tmp_path / "d.parquet", compression="none", use_dictionary=False
    )
    sizes = [batch.rows.num_rows for batch in open_documents(str(tmp_path)).batches()]
    assert max(sizes) == 9
    assert sum(sizes) == 40


def test_columns_of_several_files_are_widened_and_filled_with_nulls(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "n": pa.array([1], pa.int8())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": [2**40], "text": ["b"], "m": ["x"]}), tmp_path / "b.parquet")
    _, rows, _ = gather(tmp_path)
    assert rows.select(["text", "n", "m"]).to_pylist() == [
        {"text": "a", "n": 1, "m": None},
        {"text": "b", "n": 2**40, "m": "x"},
    ]


def test_json_numbers_are_widened_only_without_loss(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines({"text": "a", "n": 1, "m": 2**60, "nothing": None}))
    (tmp_path / "b.jsonl").write_bytes(lines({"text": "b", "n": 0.5, "m": 1}))
    _, rows, _ = gather(tmp_path)
    assert rows["n"].to_pylist() == [1.0, 0.5]
    assert rows["m"].to_pylist() == [2**60, 1]
    assert rows["nothing"].to_pylist() == [None, None]


def parquet(folder, name, **columns):
    pq.write_table(pa.table(columns), folder / name)


@pytest.mark.parametrize("scheme", ["file", "memory"])
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_urls_are_read_like_paths(tmp_path, scheme, kind):
    root = tmp_path.as_uri() if scheme == "file" else f"memory://{tmp_path.name}"
    parquet(tmp_path, "local.parquet", text=["a", "b"])
    content = {
        "parquet": (tmp_path / "local.parquet").read_bytes(),
        "jsonl": lines({"text": "a"}, {"text": "b"}),
    }
    Path(tmp_path / "local.parquet").unlink()
    with fsspec.open(f"{root}/in/part.{kind}", "wb", auto_mkdir=True) as stream:
        stream.write(content[kind])
    for address in (f"{root}/in", f"{root}/in/part.{kind}"):
        named, _, _ = gather(address)
        assert named == [(f"part.{kind}:1", "a"), (f"part.{kind}:2", "b")]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://nothing/here", "does not exist or is empty"),
        ("nonsense://x/y", "cannot be opened: .*nonsense"),
        ("gone.parquet", "gone.parquet does not exist"),
    ],
)
def test_an_address_where_nothing_is(address, message):
    with pytest.raises(CorpusError, match=message):
        open_documents(address)


def test_looking_at_the_columns_reports_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(json_tables, "BATCH_ROWS", 20)
    (tmp_path / "d.jsonl").write_bytes(lines(*ROWS))
    seen = []
    open_documents(str(tmp_path), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(20, None), (40, None)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), "dictionary"])
def test_a_long_text_in_parquet_goes_before_anything_copies_it(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(parquet_tables, "MAX_DOCUMENT_BYTES", 8)
    texts = ["short", "far too long", None, "12345678", b"\xff".decode("latin-1")]
    column = pa.array(texts).dictionary_encode() if kind == "dictionary" else pa.array(texts, kind)
    pq.write_table(pa.table({"text": column}), tmp_path / "d.parquet")
    named, _, aside = gather(tmp_path / "d.parquet")
    assert [text for _, text in named] == ["short", "12345678", "ÿ"]
    assert aside == {"d.parquet:2": "too_large", "d.parquet:3": "null_text"}
    batch = next(open_documents(str(tmp_path / "d.parquet")).batches())
    assert batch.unreadable[0].detail == "12 bytes, limit 67108864; split it"


def test_no_more_than_a_batch_of_a_file_is_held(tmp_path):
    path = tmp_path / "d.parquet"
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())]), compression="none") as writer:
        for _ in range(24):
            texts = [rng.bytes(20_000).hex() for _ in range(10)]
            writer.write_table(pa.table({"text": texts}))
    assert path.stat().st_size > 9_000_000
    tracemalloc.start()
    try:
        for _ in open_documents(str(path)).batches():
            held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4_000_000
    sample = sample_documents(open_documents(str(path)), 3)
    text = sample["text"].to_arrow(compat_level=pl.CompatLevel.newest())
    assert len(text) == 3
    assert sum(buffer.size for buffer in text.buffers() if buffer) < 200_000
