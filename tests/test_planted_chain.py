import math
from pathlib import Path

import numpy as np
import pytest

from training.planted_chain import PlantedChain, write_planted_chain
from training.shards import TokenShards

CHAIN = PlantedChain(num_items=5, depth=2)


def decode(chain, row):
    """(skill, {item: next item}, {item: answer}) of one sequence."""
    size = chain.num_items
    items = row[1 : 1 + 2 * size] - chain.depth - 1
    questions = row[1 + 2 * size :] - chain.depth - 1
    links = dict(zip(items[::2].tolist(), items[1::2].tolist(), strict=True))
    answers = dict(zip(questions[::2].tolist(), (questions[1::2] - size).tolist(), strict=True))
    return int(row[0]), links, answers


@pytest.mark.parametrize("hops", [1, 2])
def test_answers_follow_the_links(hops):
    rows = CHAIN.sequences(hops, 200, np.random.default_rng(0))
    assert rows.shape == (200, CHAIN.context_tokens - 1)
    assert rows.min() >= 1
    assert rows.max() < CHAIN.vocab_size
    for row in rows:
        skill, links, answers = decode(CHAIN, row)
        assert skill == hops
        assert sorted(links) == sorted(links.values()) == sorted(answers) == list(range(5))
        place, visited = 0, set()
        while place not in visited:  # one cycle over all items
            visited.add(place)
            place = links[place]
        assert len(visited) == 5
        for item, answer in answers.items():
            reached = item
            for _ in range(hops):
                reached = links[reached]
            assert reached == answer


def test_nothing_tells_the_answer_but_the_links():
    rows = CHAIN.sequences(2, 4000, np.random.default_rng(1))
    decoded = [decode(CHAIN, row) for row in rows]
    reached = np.bincount([answers[0] for _, _, answers in decoded], minlength=5) / 4000
    assert reached[0] == 0  # two hops of a cycle of five never end where they begin
    np.testing.assert_allclose(reached[1:], 0.25, atol=0.03)
    asked_first = np.bincount(rows[:, 11] - 3, minlength=5) / 4000
    np.testing.assert_allclose(asked_first, 0.2, atol=0.03)


def test_sizes_names_and_edges():
    chain = PlantedChain(num_items=7, depth=3)
    assert chain.skills == ("hop_1", "hop_2", "hop_3")
    assert chain.edges == {("hop_1", "hop_2"), ("hop_1", "hop_3"), ("hop_2", "hop_3")}
    assert (chain.context_tokens, chain.vocab_size) == (30, 18)
    # 5! orders of the links, 4! cycles and 5! orders of the questions over 22 tokens
    assert CHAIN.floor_nats == pytest.approx(math.log(120 * 24 * 120) / 22)


def test_a_row_of_the_shards_is_one_sequence(tmp_path):
    folders = write_planted_chain(CHAIN, tmp_path, num_train=20, num_heldout=5, seed=3)
    assert list(folders) == ["hop_1", "hop_2"]
    tokens = CHAIN.context_tokens
    for hops, folder in enumerate(folders.values(), start=1):
        train = TokenShards.open(folder / "train")
        assert train.num_rows(tokens) == 19  # the last one has no token after it
        rows = train.rows(np.arange(19), tokens)
        expected = CHAIN.sequences(hops, 20, np.random.default_rng([3, hops, 0]))
        np.testing.assert_array_equal(rows[:, : tokens - 1], expected[:19])
        assert (rows[:, tokens - 1] == 0).all()
        assert (rows[:, tokens] == hops).all()
        heldout = TokenShards.open(folder / "heldout")
        assert heldout.num_rows(tokens) == 4
        assert heldout.manifest.vocab_size == CHAIN.vocab_size
        train_rows = {tuple(row) for row in expected.tolist()}
        others = heldout.rows(np.arange(4), tokens)[:, : tokens - 1].tolist()
        assert not train_rows & {tuple(row) for row in others}


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path):
    digests = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        folders = write_planted_chain(
            CHAIN, tmp_path / name, num_train=10, num_heldout=3, seed=seed
        )
        digests.append(TokenShards.open(folders["hop_1"] / "train").manifest.shards[0].sha256)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(("items", "depth"), [(5, 0), (4, 2), (6, 3)])
def test_refuses_sizes_without_the_planted_edges(items, depth):
    with pytest.raises(ValueError, match=f"got depth {depth} and num_items {items}"):
        PlantedChain(num_items=items, depth=depth)


def test_refuses_hops_beyond_the_depth_and_too_few_sequences(tmp_path):
    for hops in (0, 3):
        with pytest.raises(ValueError, match=f"hops must be in 1 .. 2, got {hops}"):
            CHAIN.sequences(hops, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least two sequences each, got 5 and 1"):
        write_planted_chain(CHAIN, Path(tmp_path), num_train=5, num_heldout=1, seed=0)
