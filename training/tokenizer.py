"""Byte-level BPE: trained on the project's own text, saved for transformers, encoded natively.

Text is split by the expression of GPT-2 (Radford et al. 2019), each piece is written as UTF-8
bytes, and the most frequent pair of neighbours is merged again and again (Sennrich et al. 2016,
arXiv:1508.07909). There is no unknown token and no prefix space, so every text comes back exactly.
Id 0 ends a document; ids 1 to 256 are the bytes; the merges follow in the order they were learned.

Texts are encoded by `training.text_encoding`, which leaves rare pieces to tiktoken. Why that gives
the same ids, although it merges any neighbours whose union is a token and knows no list of merges:
as long as no token crosses the edges of a stretch of text, merging inside it goes as it would in
isolation, so the last two parts of a token are always the two that its merge names. This needs one
merge per token, in the order of the ids; the Encoder refuses other files.

The special token is never read from text: `<|endoftext|>` in a document is thirteen characters.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import tiktoken
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.text_encoding import EncodedTexts, TextEncoding, large_strings

EOS_TOKEN = "<|endoftext|>"
SMALLEST_VOCABULARY = 257
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
    """Learn the merges; the same texts give the same tokenizer.

    Args:
        texts: In any order; read once.
        vocab_size: At most so many tokens, >= 257. Fewer if no pair occurs twice any more.

    Raises:
        ValueError: The vocabulary has no room for the bytes, or there is no text.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise ValueError(f"vocab_size must be at least {SMALLEST_VOCABULARY}, got {vocab_size}")
    tokenizer = _untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=[EOS_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    num_characters = 0

    def counted() -> Iterable[str]:
        nonlocal num_characters
        for text in texts:
            num_characters += len(text)
            yield text

    tokenizer.train_from_iterator(counted(), trainer)
    if num_characters == 0:
        raise ValueError("no text to train the tokenizer on; are the cleaned corpora empty?")
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, out: Path) -> None:
    """Write the files from which transformers' AutoTokenizer loads into an existing folder.

    Raises:
        OSError: A file cannot be written.
    """
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": EOS_TOKEN,
        "clean_up_tokenization_spaces": False,
    }
    (out / TOKENIZER_FILE).write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    (out / CONFIG_FILE).write_text(json.dumps(config, sort_keys=True, indent=1), encoding="utf-8")


def tokenizer_digest(folder: Path) -> str:
    """Sha256 of tokenizer.json, 64 hexadecimal digits.

    Raises:
        ValueError: The file is missing.
    """
    return hashlib.sha256(_tokenizer_bytes(folder)).hexdigest()


class Encoder:
    """Text to ids, the ids of tokenizer.json, at the speed of tiktoken."""

    def __init__(self, folder: Path) -> None:
        """Read tokenizer.json.

        Raises:
            ValueError: The file is missing, is no tokenizer of this module, or tiktoken could give
                other ids than it.
        """
        path = folder / TOKENIZER_FILE
        ranks, self._merges = _ranks(path)
        self._encoding = tiktoken.Encoding(
            path.name,
            pat_str=_PIECES,
            mergeable_ranks=ranks,
            special_tokens={EOS_TOKEN: 0},
            explicit_n_vocab=len(ranks) + 1,
        )

    @property
    def vocab_size(self) -> int:
        """Number of tokens, the end of sequence included."""
        return self._encoding.n_vocab

    @property
    def eos_id(self) -> int:
        """Id of the end of a document."""
        return self._encoding.eot_token

    def encode_texts(self, texts: pa.LargeStringArray) -> EncodedTexts:
        """Encode each text and add the end of sequence; three times as fast as tiktoken.

        Raises:
            ValueError: A text is null.
        """
        return self._native.encode(texts)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Encode each text, without an end of sequence."""
        encoded = self.encode_texts(large_strings(texts))
        starts = [0, *encoded.ends[:-1].tolist()]
        return [
            encoded.tokens[start : end - 1]
            for start, end in zip(starts, encoded.ends.tolist(), strict=True)
        ]

    @functools.cached_property
    def _native(self) -> TextEncoding:
        return TextEncoding(self._encoding, pieces=_PIECES, merges=self._merges)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text; bytes that are no UTF-8 become replacement characters."""
        return self._encoding.decode(tokens)


def _untrained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _tokenizer_bytes(folder: Path) -> bytes:
    try:
        return (folder / TOKENIZER_FILE).read_bytes()
    except OSError as error:
        raise ValueError(
            f"{folder / TOKENIZER_FILE}: cannot be read ({error.strerror}); materialise the "
            "tokenizer or correct the path"
        ) from error


def _ranks(path: Path) -> tuple[dict[bytes, int], NDArray[np.uint32]]:
    """Return the id of every token by its bytes, and the merges by ids, shape (M, 2).

    The file is refused unless the ids alone determine the merging.
    """
    try:
        found = json.loads(_tokenizer_bytes(path.parent))
        vocabulary: dict[str, int] = found["model"].pop("vocab")
        merges: list[tuple[str, str]] = found["model"].pop("merges")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no byte-level BPE tokenizer: {error!r}") from error
    expected_tokenizer = _untrained()
    expected_tokenizer.add_special_tokens([EOS_TOKEN])
    expected = json.loads(expected_tokenizer.to_str())
    del expected["model"]["vocab"], expected["model"]["merges"]
    foreign = [key for key in expected if found.get(key) != expected[key]]
    if foreign:
        raise ValueError(
            f"{path}: {foreign[0]} is {found.get(foreign[0])}, expected {expected[foreign[0]]}; "
            "use a tokenizer that train_tokenizer made"
        )
    alphabet = _byte_characters()
    in_order = [EOS_TOKEN, *sorted(alphabet), *(left + right for left, right in merges)]
    if vocabulary != {token: number for number, token in enumerate(in_order)}:
        raise ValueError(
            f"{path}: the {len(vocabulary)} ids do not follow the end of sequence, 256 bytes and "
            f"{len(merges)} merges, each of a new token; use a tokenizer that train_tokenizer made"
        )
    pairs = [(vocabulary[left], vocabulary[right]) for left, right in merges]
    return {
        bytes(alphabet[character] for character in token): number
        for token, number in vocabulary.items()
        if number > 0
    }, np.array(pairs, dtype=np.uint32).reshape(-1, 2)


def _byte_characters() -> dict[str, int]:
    """Return the printable character that stands for each byte in GPT-2's vocabularies."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {chr(byte): byte for byte in printable}
    characters.update({chr(256 + place): byte for place, byte in enumerate(others)})
    return characters
