"""Inputs that are refused before the first row, and damage that only shows while reading."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from quality.documents import CorpusError
from quality.documents_on_disk import open_documents

ROWS = [{"id": f"k{i}", "text": f"text {i}", "score": i / 2, "tags": ["a", i]} for i in range(50)]


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(folder, name, **columns):
    pq.write_table(pa.table(columns), folder / name)


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def truncated_parquet(folder):
    parquet(folder, "d.parquet", text=["a" * 100])
    cut(folder / "d.parquet")
    return {}, "d.parquet is no complete Parquet file .*fetch it again"


def truncated_gzip(folder):
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(lines(*ROWS)))
    cut(folder / "d.jsonl.gz")
    return {}, "d.jsonl.gz cannot be read to its end .*fetch it again"


def truncated_zstd(folder):
    (folder / "d.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(lines(*ROWS)))
    cut(folder / "d.jsonl.zst")
    return {}, "d.jsonl.zst cannot be read to its end .*fetch it again"


def text_of_another_type(folder):
    parquet(folder, "d.parquet", text=[1.5])
    return {}, "column 'text' is double, not text; name another one with --text-column"


def id_of_another_type(folder):
    parquet(folder, "d.parquet", text=["a"], id=[1.5])
    return {}, "column 'id' is double, not text; name another one with --id-column"


def missing_text(folder):
    parquet(folder, "d.parquet", body=["a"])
    return {}, r"has no column 'text', only \['body'\]; name one of them with --text-column"


def missing_id(folder):
    (folder / "d.jsonl").write_bytes(lines({"text": "a"}))
    return {"id_column": "key"}, r"no row of .* has a column 'key', only \['text'\].*--id-column"


def second_file_without_text(folder):
    (folder / "a.jsonl").write_bytes(lines({"text": "a"}))
    (folder / "b.jsonl").write_bytes(lines({"body": "a"}))
    return {}, r"no row of .*b.jsonl has a column 'text', only \['body'\]"


def second_file_without_ids(folder):
    parquet(folder, "a.parquet", text=["a"], id=["x"])
    parquet(folder, "b.parquet", text=["a"])
    return {}, "b.parquet has no column 'id'"


def types_that_change(folder):
    parquet(folder, "a.parquet", text=["a"], score=[1])
    parquet(folder, "b.parquet", text=["a"], score=["high"])
    return {}, "b.parquet: its columns do not fit .*score.*int64 vs large_string.*--leave-out"


def values_that_change(folder):
    (folder / "a.jsonl").write_bytes(lines({"text": "a", "score": 1}, {"text": "a", "score": "x"}))
    return {}, r"'score' holds whole numbers \(a.jsonl:1\), strings \(a.jsonl:2\).*--leave-out"


def numbers_that_would_lose_digits(folder):
    (folder / "a.jsonl").write_bytes(lines({"text": "a", "n": 2**60}, {"text": "a", "n": 0.5}))
    return {}, r"'n' holds large whole numbers \(a.jsonl:1\), fractions"


def two_kinds_of_files(folder):
    parquet(folder, "a.parquet", text=["a"])
    (folder / "a.jsonl").write_bytes(lines({"text": "a"}))
    return {}, r"holds Parquet and JSONL files \(a.parquet, a.jsonl\)"


def no_documents(folder):
    (folder / "readme.txt").write_text("x")
    return {}, r"no Parquet or JSONL file .* among 1 files"


def no_rows(folder):
    (folder / "d.jsonl").write_bytes(b"\n")
    return {}, "no rows"


def one_column_for_both(folder):
    parquet(folder, "a.parquet", text=["a"])
    return {"id_column": "text"}, "must differ"


@pytest.mark.parametrize(
    "damage",
    [
        truncated_parquet,
        truncated_gzip,
        truncated_zstd,
        text_of_another_type,
        id_of_another_type,
        missing_text,
        missing_id,
        second_file_without_text,
        second_file_without_ids,
        types_that_change,
        values_that_change,
        numbers_that_would_lose_digits,
        two_kinds_of_files,
        no_documents,
        no_rows,
        one_column_for_both,
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_doubtful_input_is_refused_before_the_first_row(tmp_path, damage):
    options, message = damage(tmp_path)
    with pytest.raises(CorpusError, match=f"(?s){message}"):
        open_documents(str(tmp_path), **options)


def test_an_ignored_column_may_change(tmp_path):
    values_that_change(tmp_path)
    documents = open_documents(str(tmp_path), leave_out=["score"])
    assert documents.num_rows == 2
    assert documents.schema.names == ["id", "text"]
