import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import text_encoding
from training.kernel_bpe import MAX_PIECE_BYTES, SPACE
from training.shard_writer import EncodedDocuments, write_encoded
from training.shards import TokenShards
from training.text_encoding import large_strings
from training.tokenizer import Encoder, save_tokenizer, train_tokenizer

TEXT = "the cat's hat, the bat's mat; that's 1999 and 2024!  Der Löwe — 数据混合\n\n\tend  " * 3


@pytest.fixture(scope="module")
def trained():
    return train_tokenizer([TEXT], vocab_size=330)


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(trained, out)
    return out


@pytest.fixture(params=[2**16, 4], ids=["all pieces held", "four slots for all pieces"])
def encoder(folder, request, monkeypatch):
    monkeypatch.setattr(text_encoding, "NUM_SLOTS", request.param)
    return Encoder(folder)


def split(encoded):
    return [part.tolist() for part in np.split(encoded.tokens, encoded.ends[:-1])]


def test_a_text_worked_by_hand(tmp_path):
    # Pieces "ab" and " ab": token 257 is ab, 258 is " ab"; 0 ends a text, "b" is byte 98.
    save_tokenizer(train_tokenizer(["ab ab ab"], vocab_size=1000), tmp_path)
    encoder = Encoder(tmp_path)
    byte = encoder.encode_batch(["b"])[0][0]
    encoded = encoder.encode_texts(large_strings(["ab ab", "", "bab"]))
    assert split(encoded) == [[257, 258, 0], [0], [byte, 257, 0]]
    assert encoded.ends.tolist() == [3, 4, 7]
    assert encoded.num_bytes.tolist() == [5, 0, 3]
    assert encoder.encode_texts(large_strings([])).tokens.size == 0


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.text(
            st.sampled_from("aths' 1é數٣\n\t\u00a0\u2003!-🙂\0") | st.characters(codec="utf-8"),
            max_size=60,
        ),
        max_size=4,
    )
)
def test_ids_are_those_of_the_file_whatever_came_before(trained, folder, texts):
    encoder = Encoder(folder)
    for _ in range(2):  # the second time out of the table
        expected = [[*trained.encode(text).ids, 0] for text in texts]
        assert split(encoder.encode_texts(large_strings(texts))) == (expected or [[]])


def test_a_piece_that_falls_into_a_full_slot_replaces_it(trained, encoder):
    for text in (TEXT, TEXT.swapcase(), TEXT):
        encoded = encoder.encode_texts(large_strings([text]))
        assert encoded.tokens[:-1].tolist() == trained.encode(text).ids


@pytest.mark.parametrize("size", [31, 32, 33, MAX_PIECE_BYTES, MAX_PIECE_BYTES + 1, 4000])
def test_long_pieces_between_others(trained, encoder, size):
    texts = [
        "\0before",
        "cat" + "theat" * (size // 5) + "b" * ((size - 3) % 5),
        "after",
        " " * size,
    ]
    encoded = encoder.encode_texts(large_strings(texts))
    assert split(encoded) == [[*trained.encode(text).ids, 0] for text in texts]


def test_a_slice_of_a_column_is_read_from_its_place(trained, encoder):
    texts = ["first", "the cat", "", "that's"]
    sliced = large_strings(texts).slice(1, 3)
    assert split(encoder.encode_texts(sliced)) == [
        [*trained.encode(text).ids, 0] for text in texts[1:]
    ]


def test_a_null_is_refused(encoder):
    with pytest.raises(ValueError, match="1 of 2 texts are null"):
        encoder.encode_texts(pa.array(["a", None], pa.large_string()))


def test_classes_are_learnt_where_they_are_met(encoder):
    table = encoder._native._classes.table
    encoder.encode_texts(large_strings(["abc"]))
    assert table[ord("z")]
    assert not table[0x2003]
    encoder.encode_texts(large_strings(["a\u2003b"]))
    assert table[0x2003] == SPACE


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    batches=st.lists(st.integers(1, 5), min_size=12, max_size=12),
    shard_tokens=st.integers(1, 40),
)
def test_batches_leave_no_trace_in_the_shards(tmp_path_factory, sizes, batches, shard_tokens):
    tokens = [np.array([*range(1, size + 1), 0], dtype=np.uint32) for size in sizes]

    def cut(lengths):
        start = 0
        for length in lengths:
            part = tokens[start : start + length]
            if part:
                yield EncodedDocuments(
                    ids=[f"d{start + k}" for k in range(len(part))],
                    num_bytes=np.arange(len(part)) + start,
                    tokens=np.concatenate(part),
                    ends=np.cumsum([len(one) for one in part]),
                )
            start += length

    digests = set()
    for lengths in (batches, [1] * 12, [12]):
        out = tmp_path_factory.mktemp("shards")
        write_encoded(
            cut(lengths),
            out,
            vocab_size=10,
            eos_id=0,
            tokenizer_digest="t",
            shard_tokens=shard_tokens,
        )
        digests.add(TokenShards.open(out, verify=True).digest)
    assert len(digests) == 1
