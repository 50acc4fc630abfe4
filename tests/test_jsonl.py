import gzip
import json

import pytest
import zstandard

from quality.documents import CorpusError, ReadRequest, Text, Unreadable
from quality.readers.jsonl import JsonlReader

ROWS = [{"text": f"row {i} " + "x" * i, "id": f"k{i}"} for i in range(300)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
COMPRESS = {
    "d.jsonl": bytes,
    "d.jsonl.gz": gzip.compress,
    "d.jsonl.zst": zstandard.ZstdCompressor().compress,
}


def read(folder, path="d.jsonl", text_column="text", id_column=None):
    request = ReadRequest(
        corpus="c",
        folder=folder,
        cache=folder,
        text_column=text_column,
        id_column=id_column,
        select=(),
        exclude=(),
    )
    return list(JsonlReader(path=path).read(request))


@pytest.mark.parametrize("name", COMPRESS)
def test_plain_and_compressed_lines_give_the_same_texts(tmp_path, name):
    (tmp_path / name).write_bytes(COMPRESS[name](LINES))
    texts = read(tmp_path, name)
    assert [t.text for t in texts] == [row["text"] for row in ROWS]
    assert texts[2] == Text(identity=f"{name}:3", path=name, source=f"{name}:3", text="row 2 xx")
    assert [t.identity for t in read(tmp_path, name, id_column="id")] == [r["id"] for r in ROWS]


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.jsonl.zst"])
@pytest.mark.parametrize("lost", [4, 60])
def test_a_truncated_file_is_an_error(tmp_path, name, lost):
    (tmp_path / name).write_bytes(COMPRESS[name](LINES)[:-lost])
    with pytest.raises(
        CorpusError, match=rf"corpus 'c': .*{name} cannot be read to its end .*fetch"
    ):
        read(tmp_path, name)


def test_several_compressed_members_in_one_file_are_read_to_the_end(tmp_path):
    for name in ("d.jsonl.gz", "d.jsonl.zst"):
        (tmp_path / name).write_bytes(COMPRESS[name](LINES) * 2)
        assert len(read(tmp_path, name)) == 600


def test_damaged_lines_are_put_aside_with_their_number(tmp_path):
    lines = [
        b'{"text": "good", "id": 1}',
        b'{"text": "\xff"}',
        b'{"text": "cut',
        b"[1]",
        b'{"body": "x"}',
        b'{"text": null}',
        b'{"text": 3}',
        b'{"text": ""}',
        b"",
        b'{"text": "no id"}',
        b'{"text": "bad id", "id": true}',
    ]
    (tmp_path / "d.jsonl").write_bytes(b"\n".join(lines))
    good, *bad = read(tmp_path, id_column="id")
    assert good == Text(identity="1", path="d.jsonl", source="d.jsonl:1", text="good")
    assert all(isinstance(item, Unreadable) for item in bad)
    assert [(item.source, item.reason) for item in bad] == [
        ("d.jsonl:2", "invalid_utf8"),
        ("d.jsonl:3", "invalid_json"),
        ("d.jsonl:4", "no_object"),
        ("d.jsonl:5", "missing_text_column"),
        ("d.jsonl:6", "null_text"),
        ("d.jsonl:7", "text_is_no_string"),
        ("d.jsonl:8", "empty"),
        ("d.jsonl:10", "no_id"),
        ("d.jsonl:11", "no_id"),
    ]
    assert bad[3].detail == "the row has no 'text', only ['body']"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_column": "body"}, r"'text_column': no row of .*d.jsonl has a column 'body', only"),
        ({"id_column": "key"}, r"'id_column': no row of .* 'key', only \['id', 'text'\]; name one"),
        ({"path": "gone.jsonl"}, r"gone.jsonl does not exist"),
    ],
)
def test_a_file_without_a_named_column_is_an_error(tmp_path, options, message):
    (tmp_path / "d.jsonl").write_bytes(LINES)
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, **options)
