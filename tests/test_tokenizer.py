import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from training.text_encoding import large_strings
from training.tokenizer import (
    EOS_TOKEN,
    Encoder,
    save_tokenizer,
    tokenizer_digest,
    train_tokenizer,
)

SOURCES = sorted(Path(__file__).parent.glob("test_*.py"))[:12]
TEXTS = [path.read_text(encoding="utf-8") for path in SOURCES]
TEXTS.append("Größe, naïve café; 数据混合 Смесь данных 🙂🙂 ١٢٣ \u00a0\u2003\u200b e\u0301 " * 20)


@pytest.fixture(scope="module")
def trained():
    # Special tokens in a text are text for us; transformers does that with split_special_tokens.
    tokenizer = train_tokenizer(TEXTS, vocab_size=1200)
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(trained, out)
    return out


@pytest.fixture(scope="module")
def encoder(folder):
    return Encoder(folder)


def require_same_ids(encoder, trained, texts):
    for text, ids in zip(texts, encoder.encode_batch(texts), strict=True):
        assert ids.dtype == np.uint32
        assert ids.tolist() == trained.encode(text).ids
        assert encoder.decode(ids.tolist()) == text


def test_a_vocabulary_worked_by_hand(tmp_path):
    # Pieces "ab", " ab", " ab": the pair a b occurs three times, then " " + "ab" twice.
    tokenizer = train_tokenizer(["ab ab ab"], vocab_size=1000)
    save_tokenizer(tokenizer, tmp_path)
    encoder = Encoder(tmp_path)
    assert encoder.vocab_size == 1 + 256 + 2
    assert encoder.eos_id == 0
    assert [ids.tolist() for ids in encoder.encode_batch(["ab", " ab", ""])] == [[257], [258], []]
    assert encoder.encode_batch(["!"])[0].tolist() == [1]


def test_real_text_has_the_ids_of_the_file(encoder, trained):
    require_same_ids(encoder, trained, TEXTS)
    require_same_ids(encoder, trained, [" \n\t " * 50, "x" * 5000, "\r\n\r\n  a", f"a{EOS_TOKEN}b"])


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_the_ids_of_the_file(encoder, trained, text):
    require_same_ids(encoder, trained, [text])


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", " ", "  ", "'s", "é", "de", "def ", "1", "\n", "_", "数"]))
)
def test_any_mix_of_known_pieces_has_the_ids_of_the_file(encoder, trained, pieces):
    require_same_ids(encoder, trained, ["".join(pieces)])


def test_every_character_is_split_alike(folder, tmp_path):
    # The two libraries bring their own tables of what is a letter, a number, a space. With a merge
    # of each of "a1! " with each first byte of a character, the ids show which were split.
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model = file["model"]
    first_bytes = [token for token in model["vocab"] if len(token) == 1 and ord(token) >= 0x80]
    model["merges"] = [[left, right] for left in "a1!Ġ" for right in first_bytes if right != "Ġ"]
    tokens = [*list(model["vocab"])[:257], *(left + right for left, right in model["merges"])]
    model["vocab"] = {token: number for number, token in enumerate(tokens)}
    (tmp_path / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    encoder, reference = Encoder(tmp_path), Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert len(encoder.encode_batch(["aé"])[0]) == 2
    assert len(encoder.encode_batch(["1é"])[0]) == 3
    # All that is assigned lies below U+33000 or in the tags at U+E0000.
    codes = [code for code in range(0x80, 0x33000) if not 0xD800 <= code < 0xE000]
    codes += range(0xE0000, 0xE0200)
    for start in range(0, len(codes), 1 << 12):
        characters = map(chr, codes[start : start + (1 << 12)])
        text = "".join(f"a{each}1{each}!{each} {each}" for each in characters)
        assert encoder.encode_batch([text])[0].tolist() == reference.encode(text).ids


def test_transformers_loads_it(folder, trained):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.eos_token_id == 0
    assert len(loaded) == trained.get_vocab_size()
    for text in TEXTS:
        assert loaded(text)["input_ids"] == trained.encode(text).ids
        assert loaded.decode(loaded(text)["input_ids"]) == text


def test_the_end_of_sequence_is_never_read_from_text(encoder):
    assert 0 not in encoder.encode_batch([f"a {EOS_TOKEN} b"])[0]


def test_the_same_texts_give_the_same_file(trained, folder, tmp_path):
    again = train_tokenizer(iter(TEXTS), vocab_size=1200)
    save_tokenizer(again, tmp_path)
    assert tokenizer_digest(tmp_path) == tokenizer_digest(folder)
    save_tokenizer(train_tokenizer(TEXTS, vocab_size=1201), tmp_path)
    assert tokenizer_digest(tmp_path) != tokenizer_digest(folder)


def test_training_refuses():
    with pytest.raises(ValueError, match="vocab_size must be at least 257, got 256"):
        train_tokenizer(TEXTS, vocab_size=256)
    for texts in ([], ["", ""]):
        with pytest.raises(ValueError, match="no text"):
            train_tokenizer(texts, vocab_size=300)


def test_a_missing_file_is_named(tmp_path):
    for read in (Encoder, tokenizer_digest):
        with pytest.raises(ValueError, match=r"tokenizer\.json.*materialise the tokenizer"):
            read(tmp_path)


def swap_merges(file):
    merges = file["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


def repeat_merge(file):
    file["model"]["merges"].append(file["model"]["merges"][0])


def ignore_merges(file):
    file["model"]["ignore_merges"] = True


def lower_case(file):
    file["normalizer"] = {"type": "Lowercase"}


def other_pieces(file):
    file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\w+"


def prefix_space(file):
    file["pre_tokenizer"] = BYTE_LEVEL | {"add_prefix_space": True}


def token_in_text(file):
    added = file["added_tokens"][0] | {
        "id": len(file["model"]["vocab"]),
        "content": "import pytest",
    }
    file["added_tokens"].append(added | {"special": False})


def gpt2_pieces(file):
    file["pre_tokenizer"] = BYTE_LEVEL


def gpt2_ids(file):
    """Bytes first, then merges, the end of a document last; other tokens behind it."""
    model, last = file["model"], len(file["model"]["vocab"]) - 1
    model["vocab"] = {token: (number or last + 1) - 1 for token, number in model["vocab"].items()}
    end = file["added_tokens"][0] | {"id": last}
    file["added_tokens"] = [end, end | {"id": last + 1, "content": "<pad>"}]


def merges_as_text(file):
    file["model"]["merges"] = [" ".join(pair) for pair in file["model"]["merges"]]


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


@pytest.mark.parametrize(
    ("change", "native"),
    [
        (gpt2_pieces, True),
        (gpt2_ids, True),
        (merges_as_text, True),
        (swap_merges, False),
        (repeat_merge, False),
        (ignore_merges, False),
        (lower_case, False),
        (other_pieces, False),
        (prefix_space, False),
        (token_in_text, False),
    ],
)
def test_every_file_gives_the_ids_of_the_library(folder, tmp_path, change, native):
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(file)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(file), encoding="utf-8")
    encoder, library = Encoder(path), Tokenizer.from_file(str(path))
    library.encode_special_tokens = True
    assert encoder.is_native is native
    assert encoder.eos_id == library.token_to_id(EOS_TOKEN)
    assert encoder.vocab_size == max(library.get_vocab().values()) + 1
    texts = [*TEXTS, "", f" a {EOS_TOKEN} <pad>", "HELLO   wörld\n\n 12345 it's"]
    encoded = encoder.encode_texts(large_strings(texts))
    wanted = [
        [*library.encode(text, add_special_tokens=False).ids, encoder.eos_id] for text in texts
    ]
    assert encoded.tokens.tolist() == [token for ids in wanted for token in ids]
    assert np.diff(encoded.ends, prepend=0).tolist() == [len(ids) for ids in wanted]
    assert encoded.num_bytes.tolist() == [len(text.encode()) for text in texts]


def test_words_of_a_wordpiece_vocabulary(tmp_path):
    words = {"[UNK]": 0, "un": 1, "##do": 2, "</s>": 3}
    tokenizer = Tokenizer(models.WordPiece(vocab=words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder = Encoder(tmp_path)
    assert not encoder.is_native
    encoded = encoder.encode_texts(large_strings(["undo xyz", "un"]))
    assert (encoded.tokens.tolist(), encoded.ends.tolist()) == ([1, 2, 0, 3, 1, 3], [4, 6])
    with pytest.raises(ValueError, match="1 of 2 texts are null"):
        encoder.encode_texts(pa.array(["un", None], type=pa.large_string()))


def test_the_end_of_a_document_is_what_the_folder_names(folder, tmp_path):
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    file["added_tokens"][0]["content"] = "<stop>"
    file["model"]["vocab"] = {
        token if number else "<stop>": number for token, number in file["model"]["vocab"].items()
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    with pytest.raises(ValueError, match=r"none of its tokens ends a document .* name one as eos"):
        Encoder(tmp_path)
    for named in ("<stop>", {"content": "<stop>"}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": named}))
        assert Encoder(tmp_path).eos_id == 0


@pytest.mark.parametrize("written", ["", "{}", "[1", '{"model": {"type": "BPE"}}'])
def test_what_is_no_tokenizer_is_refused(tmp_path, written):
    (tmp_path / "tokenizer.json").write_text(written)
    with pytest.raises(
        ValueError, match=r"tokenizer\.json: no tokenizer of the tokenizers library"
    ):
        Encoder(tmp_path)
