import math

import numpy as np
import pytest

from training.planted_chain import PlantedChain, write_planted_chain
from training.shards import TokenShards

CHAIN = PlantedChain(num_keys=10, num_values=3, depth=3, seed=4)


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_answers_are_sums_of_facts(terms):
    rows = CHAIN.sequences(terms, 50, np.random.default_rng(0))
    assert rows.shape == (50, 25)
    assert (rows[:, 0] == terms).all()
    facts = CHAIN.facts()
    for row in rows:
        for question in row[1:].reshape(-1, terms + 1).tolist():
            *keys, answer = question
            assert answer - 4 == sum(facts[key - 7] for key in keys) % 3
            assert all(7 <= key < CHAIN.vocab_size for key in keys)


def test_facts_are_balanced_fixed_and_of_their_seed():
    assert np.bincount(CHAIN.facts()).tolist() == [4, 3, 3]
    np.testing.assert_array_equal(CHAIN.facts(), CHAIN.facts())
    other = PlantedChain(num_keys=10, num_values=3, depth=3, seed=5)
    assert (other.facts() != CHAIN.facts()).any()


def test_sizes_names_and_edges():
    assert CHAIN.skills == ("sum_1", "sum_2", "sum_3")
    assert CHAIN.edges == {("sum_1", "sum_2"), ("sum_1", "sum_3")}
    assert (CHAIN.num_slots, CHAIN.context_tokens, CHAIN.vocab_size) == (24, 26, 17)
    assert PlantedChain(depth=4).num_slots == 60  # whole questions of 2, 3, 4 and 5 tokens
    # sum_2: 8 questions, two keys of ln 10 each and half of an answer of ln 3, over 26 tokens
    expected = 8 * (2 * math.log(10) + math.log(3) / 2) / 26
    assert CHAIN.half_learnt_nats(2) == pytest.approx(expected)


def test_chains_have_keys_facts_and_names_of_their_own():
    two = PlantedChain(num_keys=10, num_values=3, depth=2, num_chains=2, seed=4)
    assert two.skills == ("a_sum_1", "a_sum_2", "b_sum_1", "b_sum_2")
    assert two.edges == {("a_sum_1", "a_sum_2"), ("b_sum_1", "b_sum_2")}
    assert two.vocab_size == 1 + 3 + 2 * (2 + 10)
    facts = two.facts()
    assert len(facts) == 20
    assert (facts[:10] != facts[10:]).any()
    rows = two.sequences(2, 40, np.random.default_rng(0), chain=1)
    assert (rows[:, 0] == 4).all()
    keys, answers = rows[:, 1:].reshape(-1, 3)[:, :2] - 8, rows[:, 1:].reshape(-1, 3)[:, 2] - 5
    assert keys.min() >= 10
    assert keys.max() < 20
    np.testing.assert_array_equal(answers, facts[keys].sum(axis=1) % 3)
    with pytest.raises(ValueError, match=r"chain must be in 0 \.\. 1, got 2"):
        two.sequences(1, 5, np.random.default_rng(0), chain=2)
    with pytest.raises(ValueError, match="num_chains must be"):
        PlantedChain(num_chains=0)


def test_a_row_of_the_shards_is_one_sequence(tmp_path):
    folders = write_planted_chain(CHAIN, tmp_path, num_train=20, num_heldout=5, seed=3)
    assert list(folders) == ["sum_1", "sum_2", "sum_3"]
    tokens = CHAIN.context_tokens
    for terms, folder in enumerate(folders.values(), start=1):
        train = TokenShards.open(folder / "train")
        assert train.num_rows(tokens) == 19  # the last one has no token after it
        rows = train.rows(np.arange(19), tokens)
        expected = CHAIN.sequences(terms, 20, np.random.default_rng([3, terms, 0]))
        np.testing.assert_array_equal(rows[:, : tokens - 1], expected[:19])
        assert (rows[:, tokens - 1] == 0).all()
        assert (rows[:, tokens] == terms).all()
        heldout = TokenShards.open(folder / "heldout")
        assert heldout.num_rows(tokens) == 4
        assert heldout.manifest.vocab_size == CHAIN.vocab_size
        others = heldout.rows(np.arange(4), tokens)[:, : tokens - 1]
        assert (others != expected[:4]).any(axis=1).all()


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path):
    digests = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        folders = write_planted_chain(
            CHAIN, tmp_path / name, num_train=10, num_heldout=3, seed=seed
        )
        digests.append(TokenShards.open(folders["sum_1"] / "train").manifest.shards[0].sha256)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    "sizes", [{"depth": 1}, {"num_values": 1}, {"num_keys": 3, "num_values": 4}]
)
def test_refuses_sizes_without_a_planted_edge(sizes):
    with pytest.raises(ValueError, match="need depth >= 2, num_values >= 2 and num_keys >="):
        PlantedChain(**sizes)


def test_refuses_sums_beyond_the_depth_and_too_few_sequences(tmp_path):
    for terms in (0, 4):
        with pytest.raises(ValueError, match=f"terms must be in 1 .. 3, got {terms}"):
            CHAIN.sequences(terms, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least two sequences each, got 5 and 1"):
        write_planted_chain(CHAIN, tmp_path, num_train=5, num_heldout=1, seed=0)
