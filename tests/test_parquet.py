import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quality.documents import CorpusError, ReadRequest, Text
from quality.readers.parquet import BATCH_ROWS, ParquetReader


def read(folder, path="d.parquet", text_column="text", id_column=None):
    request = ReadRequest(
        corpus="c",
        folder=folder,
        cache=folder,
        text_column=text_column,
        id_column=id_column,
        select=(),
        exclude=(),
    )
    return list(ParquetReader(path=path).read(request))


def strings(*values):
    """A string column whose bytes Arrow has not checked."""
    return pa.array(values, pa.binary()).view(pa.string())


def test_rows_become_texts_named_by_file_and_row(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), tmp_path / "d.parquet")
    assert read(tmp_path) == [
        Text(identity="d.parquet:1", path="d.parquet", source="d.parquet:1", text="a"),
        Text(identity="d.parquet:2", path="d.parquet", source="d.parquet:2", text="b"),
    ]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
)
def test_every_kind_of_string_is_text_and_an_integer_may_be_an_id(tmp_path, kind):
    table = pa.table({"body": pa.array(["ä", "b"]).cast(kind), "key": [7, 8]})
    pq.write_table(table, tmp_path / "d.parquet")
    texts = read(tmp_path, text_column="body", id_column="key")
    assert [(t.identity, t.text) for t in texts] == [("7", "ä"), ("8", "b")]


def test_damaged_rows_are_put_aside_and_the_others_stay(tmp_path):
    columns = {
        "text": strings(b"good", b"\xff", None, b" ", b"x", b"y"),
        "key": strings(b"a", b"b", b"c", b"d", None, b"\xfe"),
    }
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    good, *bad = read(tmp_path, id_column="key")
    assert good.text == "good"
    assert [(item.source, item.reason) for item in bad] == [
        ("d.parquet:2", "invalid_utf8"),
        ("d.parquet:3", "null_text"),
        ("d.parquet:4", "empty"),
        ("d.parquet:5", "no_id"),
        ("d.parquet:6", "invalid_utf8"),
    ]


def test_rows_are_numbered_through_batches_and_files_are_sorted(tmp_path):
    (tmp_path / "s").mkdir()
    rows = BATCH_ROWS + 3
    pq.write_table(pa.table({"text": ["b"]}), tmp_path / "s" / "b.parquet")
    pq.write_table(pa.table({"text": ["a"] * rows}), tmp_path / "s" / "a.parquet")
    texts = read(tmp_path, path="s")
    assert [t.identity for t in texts] == [f"a.parquet:{i}" for i in range(1, rows + 1)] + [
        "b.parquet:1"
    ]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"txt": ["a"]}, {}, r"'text_column': .*d.parquet has no column 'text'.* \['txt'\]; name"),
        ({"text": [1]}, {}, r"column 'text' of .*d.parquet is int64, not text"),
        ({"text": ["a"]}, {"id_column": "id"}, r"'id_column': .* has no column 'id'"),
        ({"text": ["a"], "id": [0.5]}, {"id_column": "id"}, r"'id' of .* is double"),
    ],
)
def test_a_column_that_cannot_serve_is_an_error(tmp_path, columns, options, message):
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, **options)


def test_a_truncated_or_missing_file_is_an_error(tmp_path):
    file = tmp_path / "d.parquet"
    pq.write_table(pa.table({"text": ["a" * 100]}), file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(CorpusError, match=r"corpus 'c': .*d.parquet is no complete Parquet file"):
        read(tmp_path)
    file.unlink()
    with pytest.raises(CorpusError, match=r"d.parquet does not exist; correct the path"):
        read(tmp_path)


def test_damage_in_the_middle_of_a_file_is_an_error(tmp_path):
    file = tmp_path / "d.parquet"
    pq.write_table(pa.table({"text": [str(i) for i in range(5000)]}), file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[100:400] = bytes(300)
    file.write_bytes(bytes(content))
    with pytest.raises(CorpusError, match="no complete Parquet file"):
        read(tmp_path)
