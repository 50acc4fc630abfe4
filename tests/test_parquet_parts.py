import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quality import parquet_parts
from quality.parquet_parts import ParquetParts

SCHEMA = pa.schema({"id": pa.large_string(), "n": pa.int64()})


def piece(*numbers):
    ids = pa.array([f"d{n}" for n in numbers], pa.string())
    return pa.table({"n": pa.array(numbers, pa.int64()), "id": ids})


def stored(folder):
    return {path.name: pq.read_table(path)["n"].to_pylist() for path in sorted(folder.iterdir())}


def test_rows_are_collected_into_groups_and_files(tmp_path, monkeypatch):
    two_rows = piece(0, 1).select(SCHEMA.names).cast(SCHEMA)
    monkeypatch.setattr(parquet_parts, "GROUP_ROWS", 4)
    monkeypatch.setattr(parquet_parts, "PART_BYTES", 4 * two_rows.nbytes - 8)
    with ParquetParts(tmp_path / "out", SCHEMA) as parts:
        for start in range(0, 18, 2):
            parts.write(piece(start, start + 1))
        parts.write(piece())
    assert parts.num_rows == 18
    assert stored(tmp_path / "out") == {
        "part-00000.parquet": list(range(8)),
        "part-00001.parquet": list(range(8, 16)),
        "part-00002.parquet": [16, 17],
    }
    with pq.ParquetFile(tmp_path / "out" / "part-00000.parquet") as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4]
        assert file.schema_arrow == SCHEMA


def test_a_table_without_rows_still_has_its_columns(tmp_path):
    with ParquetParts(tmp_path / "out", SCHEMA):
        pass
    assert pq.read_schema(tmp_path / "out" / "part-00000.parquet") == SCHEMA


def test_a_missing_column_is_an_error(tmp_path):
    with pytest.raises(KeyError, match="id"), ParquetParts(tmp_path / "out", SCHEMA) as parts:
        parts.write(pa.table({"n": [1]}))


def test_a_folder_in_use_is_refused(tmp_path):
    with pytest.raises(FileExistsError):
        ParquetParts(tmp_path, SCHEMA)
