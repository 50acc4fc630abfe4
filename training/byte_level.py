"""Which tokenizer files can be encoded natively: byte-level BPE on pieces as GPT-2 cuts them.

`training.text_encoding` merges by ids alone: of all neighbours whose union is a token, those of the
least id first. That gives what a file with its list of merges says if

- the text is not normalised, is cut by GPT-2's expression and gets no space in front;
- every byte is a token, and each merge makes a new token whose id is one more than the last's;
- all other tokens are special ones, which are never read from text.

So as long as no token crosses the edges of a stretch of text, merging inside it goes as it would in
isolation, and the last two parts of a token are always the two that its merge names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIECES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's expression (Radford et al. 2019)."""
_PLAIN: dict[str, tuple[object, ...]] = {
    "type": ("BPE",),
    "dropout": (None,),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "fuse_unk": (False, None),
    "byte_fallback": (False, None),
    "ignore_merges": (False, None),
}
_BYTES = {"type": "ByteLevel", "add_prefix_space": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteLevelVocabulary:
    """The tokens of a file that can be encoded natively."""

    ranks: dict[bytes, int]
    """Id of every token but the special ones."""
    merges: NDArray[np.uint32]
    """Left and right id of each merge, shape (M, 2)."""
    first_merged: int
    """Id of the first merge's token; the others follow."""


def read_byte_level(content: Mapping[str, object]) -> ByteLevelVocabulary | None:
    """Return the vocabulary of a tokenizer.json, or None if it cannot be encoded natively."""
    model = content.get("model")
    if not isinstance(model, dict) or content.get("normalizer") is not None:
        return None
    plain = all(model.get(key) in allowed for key, allowed in _PLAIN.items())
    if not plain or not _cuts_as_gpt2(content.get("pre_tokenizer")):
        return None
    added = content.get("added_tokens") or []
    if not isinstance(added, list) or not all(token["special"] for token in added):
        return None
    special = {token["content"] for token in added}
    vocabulary = {token: id_ for token, id_ in model["vocab"].items() if token not in special}
    pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    return _vocabulary(vocabulary, pairs)


def _cuts_as_gpt2(pre_tokenizer: object) -> bool:
    """Whether it is GPT-2's own, or the same in two steps: cut, then bytes."""
    if not isinstance(pre_tokenizer, dict):
        return False
    if _is_byte_level(pre_tokenizer, use_regex=True):
        return True
    steps = pre_tokenizer.get("pretokenizers", [])
    return (
        len(steps) == 2
        and steps[0].get("type") == "Split"
        and steps[0].get("pattern") == {"Regex": PIECES}
        and steps[0].get("behavior") == "Isolated"
        and steps[0].get("invert") is False
        and _is_byte_level(steps[1], use_regex=False)
    )


def _is_byte_level(step: Mapping[str, object], *, use_regex: bool) -> bool:
    return all(step.get(key) == value for key, value in _BYTES.items()) and (
        step.get("use_regex", True) is use_regex
    )


def _vocabulary(
    vocabulary: Mapping[str, int], pairs: list[tuple[str, ...]]
) -> ByteLevelVocabulary | None:
    alphabet = byte_characters()
    if any(len(pair) != 2 for pair in pairs):
        return None
    merged = [left + right for left, right in pairs]
    if len(vocabulary) != 256 + len(merged) or vocabulary.keys() != {*alphabet, *merged}:
        return None
    first = vocabulary[merged[0]] if merged else 0
    if [vocabulary[token] for token in merged] != list(range(first, first + len(merged))):
        return None
    ids = [(vocabulary[left], vocabulary[right]) for left, right in pairs]
    return ByteLevelVocabulary(
        ranks={
            bytes(alphabet[character] for character in token): number
            for token, number in vocabulary.items()
        },
        merges=np.array(ids, dtype=np.uint32).reshape(-1, 2),
        first_merged=first,
    )


def byte_characters() -> dict[str, int]:
    """Return the printable character that stands for each byte in GPT-2's vocabularies."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {chr(byte): byte for byte in printable}
    characters.update({chr(256 + place): byte for place, byte in enumerate(others)})
    return characters
