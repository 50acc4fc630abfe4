"""A task with a known prerequisite: facts about keys, and sums of several facts.

Every key x has a value f(x) in 0 .. M - 1, fixed once and only to be learnt from examples. A row
asks until its 24 or so slots are full:

    skill sum_1    x f(x)                 the facts themselves
    skill sum_2    x y (f(x) + f(y))      modulo M
    skill sum_h    h keys, their sum

sum_1 prepares every other skill, and none of them prepares anything: from sums alone a model would
have to find facts that it never sees, and it stays at ln M per answer for a long time; with the
facts in the mixture the sum of two is a small table. These edges are planted:

    sum_1 -> sum_h   for all h > 1

Several such chains, each with keys and facts of its own, have nothing to give to each other: with
two, `a_sum_1 -> a_sum_2` and `b_sum_1 -> b_sum_2` are two edges of twelve.

Source: made for this project in place of LEGO and addition of Chen et al. 2023, "Skill-it!",
arXiv:2307.14430, which take a model of 125 million parameters thousands of steps. Following links
within a row (one hop, two hops) was tried first: a hundred thousand parameters learn the first hop
only after a thousand steps, and the second not much later without it (docs/log.md).

Tokens: 0 end of sequence, then the skills of each chain, M values, K keys of each chain.
Shapes: C chains, N sequences.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import numpy as np

from training.arrays import Ints
from training.shard_writer import Document, write_token_shards

MIN_SLOTS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantedChain:
    """Sizes of the task."""

    num_keys: int = 256
    """K, facts to be learnt; at least num_values."""
    num_values: int = 2
    """M, values of a fact, at least 2; each has the same number of keys, but for one."""
    depth: int = 2
    """Most facts in a sum; the skills are sum_1 to sum_<depth>."""
    num_chains: int = 1
    """C, at most 26."""
    seed: int = 0
    """Of the facts."""

    def __post_init__(self) -> None:
        """Refuse sizes without facts to learn or without a planted edge."""
        if self.depth < 2 or self.num_values < 2 or self.num_keys < self.num_values:
            raise ValueError(
                "need depth >= 2, num_values >= 2 and num_keys >= num_values, got "
                f"{self.depth}, {self.num_values}, {self.num_keys}"
            )
        if not 1 <= self.num_chains <= len(ascii_lowercase):
            raise ValueError(f"num_chains must be in 1 .. 26, got {self.num_chains}")

    @property
    def skills(self) -> tuple[str, ...]:
        """Names, chain by chain, the prerequisite first."""
        return tuple(name for chain in range(self.num_chains) for name in self._names(chain))

    def _names(self, chain: int) -> tuple[str, ...]:
        prefix = f"{ascii_lowercase[chain]}_" if self.num_chains > 1 else ""
        return tuple(f"{prefix}sum_{terms}" for terms in range(1, self.depth + 1))

    @property
    def edges(self) -> frozenset[tuple[str, str]]:
        """Planted edges (prerequisite, skill)."""
        chains = [self._names(chain) for chain in range(self.num_chains)]
        return frozenset((names[0], skill) for names in chains for skill in names[1:])

    @property
    def num_slots(self) -> int:
        """Tokens of the questions of a row: every skill fills them without a rest."""
        unit = math.lcm(*range(2, self.depth + 2))
        return -(-MIN_SLOTS // unit) * unit

    @property
    def context_tokens(self) -> int:
        """Tokens of a sequence with its end: a row of a training batch holds exactly one."""
        return self.num_slots + 2

    @property
    def vocab_size(self) -> int:
        """Number of different tokens."""
        return 1 + self.num_values + self.num_chains * (self.depth + self.num_keys)

    def facts(self) -> Ints:
        """Value of every key, chain by chain, shape (C K,)."""
        values = np.arange(self.num_keys, dtype=np.int64) % self.num_values
        rng = np.random.default_rng(self.seed)
        return np.concatenate([rng.permutation(values) for _ in range(self.num_chains)])

    def half_learnt_nats(self, terms: int) -> float:
        """Held-out loss half-way between knowing no answer and all, nats per token.

        Args:
            terms: Facts in a sum, 1 to depth. Keys are uniform and cost ln K each in any case.
        """
        questions = self.num_slots // (terms + 1)
        nats = questions * (terms * math.log(self.num_keys) + math.log(self.num_values) / 2)
        return nats / self.context_tokens

    def sequences(
        self, terms: int, num_sequences: int, rng: np.random.Generator, *, chain: int = 0
    ) -> Ints:
        """Draw sequences of one skill without their end, shape (N, num_slots + 1).

        Args:
            terms: Facts in a sum, 1 to depth.
            num_sequences: N.
            rng: Source of the keys.
            chain: Which, 0 to C - 1.

        Raises:
            ValueError: Terms outside the depth, or no such chain.
        """
        if not 1 <= terms <= self.depth:
            raise ValueError(f"terms must be in 1 .. {self.depth}, got {terms}")
        if not 0 <= chain < self.num_chains:
            raise ValueError(f"chain must be in 0 .. {self.num_chains - 1}, got {chain}")
        shape = (num_sequences, self.num_slots // (terms + 1), terms)
        keys = chain * self.num_keys + rng.integers(self.num_keys, size=shape)
        answers = self.facts()[keys].sum(axis=2, keepdims=True) % self.num_values
        first_value = 1 + self.num_chains * self.depth
        questions = np.concatenate(
            [first_value + self.num_values + keys, first_value + answers], axis=2
        )
        skill = np.full((num_sequences, 1), chain * self.depth + terms)
        return np.concatenate([skill, questions.reshape(num_sequences, -1)], axis=1)


def write_planted_chain(
    chain: PlantedChain, out: Path, *, num_train: int, num_heldout: int, seed: int
) -> dict[str, Path]:
    """Write token shards of every skill; return the folder of each, with train/ and heldout/.

    Args:
        chain: Sizes.
        out: Created if need be; its skill folders must not hold shards.
        num_train: Training sequences of each skill, >= 2.
        num_heldout: Held-out sequences of each skill, >= 2; the same facts, other keys together.
        seed: Of all sequences.

    Raises:
        ValueError: Fewer than two sequences: a row reads one token beyond its own sequence.
        OSError: A file cannot be written.
    """
    if min(num_train, num_heldout) < 2:
        raise ValueError(f"need at least two sequences each, got {num_train} and {num_heldout}")
    folders = {skill: out / skill for skill in chain.skills}
    for index, folder in enumerate(folders.values()):
        which, terms = divmod(index, chain.depth)
        for split, (name, number) in enumerate((("train", num_train), ("heldout", num_heldout))):
            (folder / name).mkdir(parents=True)
            rng = np.random.default_rng([seed, index + 1, split])
            tokens = chain.sequences(terms + 1, number, rng, chain=which)
            write_token_shards(
                _documents(tokens, prefix=f"{folder.name}-{name}"),
                folder / name,
                vocab_size=chain.vocab_size,
                eos_id=0,
                tokenizer_digest=f"planted-{chain.num_chains}-{chain.num_keys}-{chain.num_values}-"
                f"{chain.depth}",
            )
    return folders


def _documents(tokens: Ints, *, prefix: str) -> Iterator[Document]:
    """One document per sequence; its bytes are those of its numbers, one each."""
    for number, row in enumerate(tokens):
        yield f"{prefix}-{number}", len(row), row
