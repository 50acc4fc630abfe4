"""Tokenizers: byte-level BPE trained on the project's own text, and any tokenizer.json encoded.

What is trained here splits text by the expression of GPT-2 (Radford et al. 2019), writes each piece
as UTF-8 bytes and merges the most frequent pair of neighbours again and again (Sennrich et al.
2016, arXiv:1508.07909). There is no unknown token and no prefix space, so every text comes back
exactly. Id 0 ends a document; ids 1 to 256 are the bytes; the merges follow in the order they were
learned.

Any file of the tokenizers library is encoded to the ids that this library gives, without the tokens
that it puts around a text. Byte-level BPE that is cut as GPT-2's goes through
`training.text_encoding`, several times as fast; which files do is decided by `training.byte_level`.

Special tokens are never read from text: `<|endoftext|>` in a document is thirteen characters.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.byte_level import PIECES, read_byte_level
from training.text_encoding import EncodedTexts, TextEncoding, large_strings

EOS_TOKEN = "<|endoftext|>"
KNOWN_ENDS = (EOS_TOKEN, "<|end_of_text|>", "</s>", "<eos>")
"""Tokens that end a document, where the folder names none in tokenizer_config.json."""
SMALLEST_VOCABULARY = 257
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"


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


def tokenizer_digest(path: Path) -> str:
    """Sha256 of tokenizer.json, 64 hexadecimal digits.

    Args:
        path: The file, or a folder that holds it.

    Raises:
        ValueError: The file is missing.
    """
    return hashlib.sha256(_read(_file_of(path))).hexdigest()


class Encoder:
    """Text to ids, those of tokenizer.json."""

    def __init__(self, path: Path) -> None:
        """Read tokenizer.json.

        Args:
            path: The file, or a folder that holds it.

        Raises:
            ValueError: The file is missing or holds no tokenizer, or no token ends a document.
        """
        file = _file_of(path)
        written = _read(file)
        try:
            self._library = Tokenizer.from_buffer(written)
        except Exception as error:
            raise ValueError(f"{file}: no tokenizer of the tokenizers library: {error}") from error
        self._library.encode_special_tokens = True
        self._library.no_truncation()
        self._library.no_padding()
        self.eos_id = _end_of_document(self._library, file)
        """Id of the end of a document."""
        self.vocab_size = 1 + max(self._library.get_vocab().values())
        """One more than the largest id."""
        self._vocabulary = read_byte_level(json.loads(written))

    @property
    def is_native(self) -> bool:
        """Whether texts are encoded natively, and not by the tokenizers library."""
        return self._vocabulary is not None

    def encode_texts(self, texts: pa.LargeStringArray) -> EncodedTexts:
        """Encode each text and add the end of sequence.

        Raises:
            ValueError: A text is null.
        """
        if texts.null_count:
            raise ValueError(f"{texts.null_count} of {len(texts)} texts are null; put them aside")
        if self._vocabulary is not None:
            return self._native.encode(texts)
        found = self._library.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        ids = [np.array([*text.ids, self.eos_id], dtype=np.uint32) for text in found]
        return EncodedTexts(
            tokens=np.concatenate([np.empty(0, dtype=np.uint32), *ids]),
            ends=np.cumsum([len(text) for text in ids], dtype=np.int64),
            num_bytes=pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64),
        )

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
        assert self._vocabulary is not None
        return TextEncoding(self._vocabulary, eos_id=self.eos_id)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text; bytes that are no UTF-8 become replacement characters."""
        return self._library.decode(list(tokens), skip_special_tokens=False)


def _untrained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _file_of(path: Path) -> Path:
    return path if path.is_file() else path / TOKENIZER_FILE


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{file}: cannot be read ({error.strerror}); materialise the tokenizer or correct the "
            "path"
        ) from error


def _end_of_document(tokenizer: Tokenizer, file: Path) -> int:
    """Return the id of the token that tokenizer_config.json names, or of one known by its name."""
    known: tuple[str, ...] = KNOWN_ENDS
    config = file.parent / CONFIG_FILE
    if config.is_file():
        named = json.loads(config.read_text(encoding="utf-8")).get("eos_token")
        named = named.get("content") if isinstance(named, dict) else named
        known = known if named is None else (named,)
    for token in known:
        number = tokenizer.token_to_id(token)
        if number is not None:
            return number
    raise ValueError(
        f"{file}: none of its tokens ends a document ({', '.join(known)}); name one as eos_token "
        f"in {config}"
    )
