import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

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


def no_model(file):
    del file["model"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_merges, "ids do not follow"),
        (repeat_merge, "ids do not follow"),
        (ignore_merges, "model is .*expected"),
        (lower_case, "normalizer is .*expected None"),
        (other_pieces, "pre_tokenizer is .*expected"),
        (no_model, "no byte-level BPE"),
    ],
)
def test_a_file_that_could_give_other_ids_is_refused(folder, tmp_path, change, message):
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(file)
    (tmp_path / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Encoder(tmp_path)
