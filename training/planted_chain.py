"""A task whose skills are known to build on each other: following links, one hop or several.

A sequence shows the links of one random cycle over n items, shuffled, then asks for every item
which one is h hops further:

    skill   n links, shuffled       n times: item, answer        end of sequence
    h       2 0  0 3  1 2  3 1      0 1  2 3  1 0  3 2           (n = 4, h = 2)

Skill hop_h is to answer for h hops. It cannot be memorised, since every sequence has its own cycle,
and following two links needs a model that can follow one: hop_i prepares hop_j for all i < j. These
edges are planted; the loss on the links themselves is the entropy of a shuffle for every skill.

Source: in the manner of LEGO (Zhang et al. 2022, "Unveiling Transformers with LEGO",
arXiv:2206.04301), which Chen et al. 2023, "Skill-it!", arXiv:2307.14430 use. Deviation: a link is
two tokens, not a clause of five, so that a model of a hundred thousand parameters learns a hop in
a thousand steps on a CPU. (With one token for a link, two hops are learnt without the first.)

Tokens: 0 end of sequence, 1 .. depth skills, then n items, n answers.
Shapes: N sequences, n items.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from training.arrays import Ints
from training.shard_writer import Document, write_token_shards


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantedChain:
    """Sizes of the task."""

    num_items: int
    """n, at least 2 * depth + 1: else going back around the cycle is shorter than going on."""
    depth: int
    """Most hops; the skills are hop_1 to hop_<depth>."""

    def __post_init__(self) -> None:
        """Refuse sizes for which the planted edges do not hold."""
        if self.depth < 1 or self.num_items < 2 * self.depth + 1:
            raise ValueError(
                f"need depth >= 1 and num_items >= 2 * depth + 1, got depth {self.depth} and "
                f"num_items {self.num_items}"
            )

    @property
    def skills(self) -> tuple[str, ...]:
        """Names, the easiest first."""
        return tuple(f"hop_{hops}" for hops in range(1, self.depth + 1))

    @property
    def edges(self) -> frozenset[tuple[str, str]]:
        """Planted edges (prerequisite, skill)."""
        return frozenset(combinations(self.skills, 2))

    @property
    def context_tokens(self) -> int:
        """Tokens of a sequence with its end: a row of a training batch holds exactly one."""
        return 4 * self.num_items + 2

    @property
    def vocab_size(self) -> int:
        """Number of different tokens."""
        return self._first_item + 2 * self.num_items

    @property
    def floor_nats(self) -> float:
        """Least held-out loss of any skill, nats per token: the shuffles cannot be known.

        An answerer that only avoids repeats has ln(n!) / context_tokens more.
        """
        orders = 2 * math.lgamma(self.num_items + 1) + math.lgamma(self.num_items)
        return orders / self.context_tokens

    @property
    def _first_item(self) -> int:
        return 1 + self.depth

    def sequences(self, hops: int, num_sequences: int, rng: np.random.Generator) -> Ints:
        """Draw sequences of one skill without their end, shape (N, 4 n + 1).

        Args:
            hops: 1 to depth.
            num_sequences: N.
            rng: Source of the cycles and of both orders.

        Raises:
            ValueError: Hops outside the depth.
        """
        if not 1 <= hops <= self.depth:
            raise ValueError(f"hops must be in 1 .. {self.depth}, got {hops}")
        shape = (num_sequences, self.num_items)
        rows = np.arange(num_sequences)[:, None]
        cycle = _orders(rng, shape)
        following: Ints = np.empty(shape, dtype=np.int64)
        following[rows, cycle] = np.roll(cycle, -1, axis=1)
        shown, asked = _orders(rng, shape), _orders(rng, shape)
        links = self._first_item + np.stack([shown, following[rows, shown]], axis=2)
        reached = asked
        for _ in range(hops):
            reached = following[rows, reached]
        questions = np.stack(
            [self._first_item + asked, self._first_item + self.num_items + reached], axis=2
        )
        skill = np.full((num_sequences, 1), hops)
        parts = [skill, *(part.reshape(num_sequences, -1) for part in (links, questions))]
        return np.concatenate(parts, axis=1)


def _orders(rng: np.random.Generator, shape: tuple[int, int]) -> Ints:
    """One random permutation a row."""
    return rng.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1)


def write_planted_chain(
    chain: PlantedChain, out: Path, *, num_train: int, num_heldout: int, seed: int
) -> dict[str, Path]:
    """Write token shards of every skill; return the folder of each, with train/ and heldout/.

    A skill's sequences do not depend on the depth beyond it or on the other skills. Training and
    held-out sequences are drawn apart; with five items or more repeats between them are rare.

    Args:
        chain: Sizes.
        out: Created if need be; its skill folders must not hold shards.
        num_train: Training sequences of each skill, >= 2.
        num_heldout: Held-out sequences of each skill, >= 2.
        seed: Of all sequences.

    Raises:
        ValueError: Fewer than two sequences: a row reads one token beyond its own sequence.
        OSError: A file cannot be written.
    """
    if min(num_train, num_heldout) < 2:
        raise ValueError(f"need at least two sequences each, got {num_train} and {num_heldout}")
    folders = {skill: out / skill for skill in chain.skills}
    for hops, folder in enumerate(folders.values(), start=1):
        for split, (name, number) in enumerate((("train", num_train), ("heldout", num_heldout))):
            (folder / name).mkdir(parents=True)
            tokens = chain.sequences(hops, number, np.random.default_rng([seed, hops, split]))
            write_token_shards(
                _documents(tokens, prefix=f"{folder.name}-{name}"),
                folder / name,
                vocab_size=chain.vocab_size,
                eos_id=0,
                tokenizer_digest=f"planted-chain-{chain.num_items}-{chain.depth}",
            )
    return folders


def _documents(tokens: Ints, *, prefix: str) -> Iterator[Document]:
    """One document per sequence; its bytes are those of its numbers, one each."""
    for number, row in enumerate(tokens):
        yield f"{prefix}-{number}", len(row), row
