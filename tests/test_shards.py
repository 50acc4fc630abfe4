import hashlib
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.shards import TokenShards, manifest_digest, write_token_shards

EOS = 9


def write(out, sizes, **changes):
    """Write documents d0, d1, ... of the given sizes; return all tokens as they should lie."""
    out.mkdir(parents=True, exist_ok=True)
    options = {"vocab_size": 300, "eos_id": EOS, "tokenizer_digest": "abc", **changes}
    rng = np.random.default_rng(0)
    texts = [rng.integers(10, 300, size=size) for size in sizes]
    documents = [(f"d{i}", 3 * len(text), text) for i, text in enumerate(texts)]
    write_token_shards(iter(documents), out, **options)
    return [np.append(text, EOS) for text in texts]


def test_a_folder_worked_by_hand(tmp_path):
    documents = [("a", 4, np.array([1, 2])), ("b", 2, np.array([3])), ("c", 9, np.array([4, 5, 6]))]
    manifest = write_token_shards(
        documents, tmp_path, vocab_size=10, eos_id=0, tokenizer_digest="t", shard_tokens=4
    )
    # a and b fill the first shard: 3 + 2 tokens >= 4
    assert (tmp_path / "00000.tok").read_bytes() == np.array([1, 2, 0, 3, 0], "<u2").tobytes()
    assert (tmp_path / "00000.doc").read_bytes() == np.array([0, 3], "<u8").tobytes()
    assert (tmp_path / "00001.tok").read_bytes() == np.array([4, 5, 6, 0], "<u2").tobytes()
    assert (manifest.num_tokens, manifest.num_documents, manifest.num_bytes) == (9, 3, 15)
    stored = json.loads((tmp_path / "manifest.json").read_text())
    assert stored["dtype"] == "uint16"
    assert stored["eos_id"] == 0
    assert stored["shards"][0]["num_tokens"] == 5
    digest = hashlib.sha256((tmp_path / "00000.tok").read_bytes()).hexdigest()
    assert stored["shards"][0]["sha256"] == digest
    table = pl.read_parquet(tmp_path / "documents.parquet")
    assert table.rows() == [("a", 0, 0, 3, 4), ("b", 0, 3, 2, 2), ("c", 1, 0, 4, 9)]
    shards = TokenShards.open(tmp_path, verify=True)
    assert shards.manifest == manifest
    # T = 2: shard 0 has rows [1,2,0], [0,3,0]; shard 1 has [4,5,6]; its last token is left over
    assert shards.num_rows(2) == 3
    assert shards.rows(np.array([2, 1]), 2).tolist() == [[4, 5, 6], [0, 3, 0]]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=3, max_size=12),
    context=st.integers(1, 12),
    shard_tokens=st.integers(1, 80),
)
def test_rows_are_the_stream_and_the_two_lookups_agree(
    tmp_path_factory, sizes, context, shard_tokens
):
    out = tmp_path_factory.mktemp("shards")
    documents = write(out, [*sizes, 40], shard_tokens=shard_tokens)
    shards = TokenShards.open(out)
    table = pl.read_parquet(out / "documents.parquet")
    expected = []
    for part in table.partition_by("shard", maintain_order=True):
        stream = np.concatenate([documents[int(name[1:])] for name in part["document_id"]])
        rows = (len(stream) - 1) // context
        expected += [stream[i * context : i * context + context + 1] for i in range(rows)]
    assert shards.num_rows(context) == len(expected)
    found = shards.rows(np.arange(len(expected)), context)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)
    rows_by_document = {f"d{i}": [] for i in range(len(documents))}
    for row in range(len(expected)):
        spans = shards.documents_of_row(row, context)
        parts = [
            documents[int(span.document_id[1:])][span.document_start :][: span.num_tokens]
            for span in spans
        ]
        np.testing.assert_array_equal(np.concatenate(parts), expected[row])
        assert [span.row_start for span in spans] == [
            sum(len(part) for part in parts[:i]) for i in range(len(parts))
        ]
        for span in spans:
            rows_by_document[span.document_id].append(row)
    for name, rows in rows_by_document.items():
        assert shards.rows_of_document(name, context).tolist() == rows


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65536, "uint16"), (65537, "uint32")])
def test_the_type_follows_the_vocabulary(tmp_path, vocab_size, dtype):
    last = vocab_size - 1
    document = ("a", 1, np.array([last, 0, last]))
    write_token_shards([document], tmp_path, vocab_size=vocab_size, eos_id=0, tokenizer_digest="t")
    rows = TokenShards.open(tmp_path, verify=True).rows(np.array([0]), 3)
    assert rows.dtype == dtype
    assert rows.tolist() == [[last, 0, last, 0]]


def test_same_documents_same_digest_and_another_token_another(tmp_path):
    digests = []
    for name, sizes in (("one", [5, 6]), ("two", [5, 6]), ("three", [5, 7])):
        write(tmp_path / name, sizes)
        digests.append(TokenShards.open(tmp_path / name).digest)
    assert digests[0] == digests[1] == manifest_digest(tmp_path / "one")
    assert digests[0] != digests[2]


def test_too_short_a_domain_is_named_with_its_size_and_the_remedy(tmp_path):
    write(tmp_path / "law" / "train", [10])
    shards = TokenShards.open(tmp_path / "law" / "train")
    assert shards.num_rows(10) == 1
    message = r"domain 'law' has 11 tokens in 'train'.*sequence of 11 \+ 1 .*context_tokens"
    with pytest.raises(ValueError, match=message):
        shards.num_rows(11)


@pytest.mark.parametrize("target", ["00000.tok", "00000.doc", "documents.parquet", "manifest.json"])
def test_a_full_disk_names_the_file(tmp_path, target):
    (tmp_path / target).symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"No space left.*free space.*{target}"):
        write(tmp_path, [50, 50])


def test_a_missing_folder_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"cannot be written.*nowhere"):
        write_token_shards([], tmp_path / "nowhere", vocab_size=10, eos_id=0, tokenizer_digest="t")


@pytest.mark.parametrize(
    ("changes", "sizes", "message"),
    [
        ({"vocab_size": 200}, [50], r"document 'd0' has a token outside \[0, 200\)"),
        ({"eos_id": 300}, [5], "eos_id"),
        ({"shard_tokens": 0}, [5], "shard_tokens"),
        ({}, [], "no document to write"),
    ],
)
def test_writing_refuses(tmp_path, changes, sizes, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, sizes, **changes)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"manifest\.json.*materialise token_shards"):
        TokenShards.open(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("format_version", 2), ("dtype", "int8"), ("surprise", 1)]
)
def test_a_foreign_manifest_is_refused(tmp_path, key, value):
    write(tmp_path, [5])
    manifest = json.loads((tmp_path / "manifest.json").read_text()) | {key: value}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"manifest\.json: {key}: "):
        TokenShards.open(tmp_path)


@pytest.mark.parametrize("name", ["00000.tok", "00000.doc"])
def test_truncation_is_seen_without_verify(tmp_path, name):
    write(tmp_path, [20])
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1])
    with pytest.raises(ValueError, match=rf"{name}: {len(content) - 1} bytes.*truncated"):
        TokenShards.open(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=rf"{name}: No such file"):
        TokenShards.open(tmp_path)


@pytest.mark.parametrize("name", ["00000.tok", "00000.doc", "documents.parquet"])
def test_verify_sees_a_changed_byte(tmp_path, name):
    write(tmp_path, [20, 20])
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: sha256 .*changed"):
        TokenShards.open(tmp_path, verify=True)


def test_a_token_beyond_the_vocabulary_is_told_with_its_row(tmp_path):
    write(tmp_path, [20, 20])
    tokens = np.fromfile(tmp_path / "00000.tok", "<u2")
    tokens[17] = 300
    tokens.tofile(tmp_path / "00000.tok")
    shards = TokenShards.open(tmp_path)
    assert shards.rows(np.array([0, 2]), 5).shape == (2, 6)
    with pytest.raises(ValueError, match=r"row 3 of 5 tokens holds the token 300.*below 300"):
        shards.rows(np.array([0, 3]), 5)


def test_documents_are_read_only_as_they_were_written(tmp_path):
    write(tmp_path, [20])
    assert TokenShards.open(tmp_path).holds("d0")
    (tmp_path / "documents.parquet").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"documents\.parquet: sha256 .*changed"):
        TokenShards.open(tmp_path).holds("d0")


def test_verify_names_a_missing_document_table(tmp_path):
    write(tmp_path, [20])
    (tmp_path / "documents.parquet").unlink()
    with pytest.raises(ValueError, match=r"documents\.parquet: No such file"):
        TokenShards.open(tmp_path, verify=True)


def test_reading_refuses(tmp_path):
    write(tmp_path, [20])
    shards = TokenShards.open(tmp_path)
    for row in (-1, 4):
        with pytest.raises(ValueError, match=r"not all in \[0, 4\)"):
            shards.rows(np.array([row]), 5)
        with pytest.raises(ValueError, match=r"not all in \[0, 4\)"):
            shards.documents_of_row(row, 5)
    with pytest.raises(ValueError, match="context_tokens must be at least 1"):
        shards.num_rows(0)
    with pytest.raises(ValueError, match="no document 'other'"):
        shards.rows_of_document("other", 5)
