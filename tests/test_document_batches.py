import polars as pl
import pytest

from quality.document_batches import (
    BadDocuments,
    count_documents,
    read_batches,
    require_documents,
)

COLUMNS = ("id", "text")


def write(folder, **columns):
    pl.DataFrame(columns).write_parquet(folder / "documents.parquet")
    return folder


def test_batches_keep_order_and_size(tmp_path):
    ids = [str(number) for number in range(10)]
    folder = write(tmp_path, text=["t"] * 10, other=[1] * 10, id=ids)
    batches = list(read_batches(folder, COLUMNS, batch_rows=4))
    assert [batch.height for batch in batches] == [4, 4, 2]
    assert batches[0].columns == ["id", "text"]
    assert pl.concat(batches)["id"].to_list() == ids
    assert require_documents(folder, COLUMNS) == 10


def test_missing_file(tmp_path):
    with pytest.raises(BadDocuments, match=r"documents\.parquet: no such file; materialise"):
        count_documents(tmp_path, COLUMNS)


def test_truncated_file(tmp_path):
    path = write(tmp_path, id=["1"], text=["t"]) / "documents.parquet"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(BadDocuments, match="not a complete Parquet file"):
        count_documents(tmp_path, COLUMNS)


def test_missing_column(tmp_path):
    with pytest.raises(BadDocuments, match=r"no column 'text', only \['id', 'body'\]"):
        count_documents(write(tmp_path, id=["1"], body=["t"]), COLUMNS)


def test_column_of_another_type(tmp_path):
    with pytest.raises(BadDocuments, match="column 'id' holds int64, not strings"):
        count_documents(write(tmp_path, id=[1], text=["t"]), COLUMNS)


def test_empty_table(tmp_path):
    folder = write(tmp_path, id=pl.Series([], dtype=pl.String), text=pl.Series([], dtype=pl.String))
    assert count_documents(folder, COLUMNS) == 0
    with pytest.raises(BadDocuments, match="0 documents; check the corpus's source"):
        require_documents(folder, COLUMNS)


def test_null_text_names_its_row(tmp_path):
    folder = write(tmp_path, id=["1", "2", "3"], text=["t", "t", None])
    with pytest.raises(BadDocuments, match="row 2 has no 'text'"):
        list(read_batches(folder, COLUMNS, batch_rows=2))
