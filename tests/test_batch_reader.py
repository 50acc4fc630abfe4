import numpy as np
import pytest

from training.batch_reader import BatchReader
from training.shards import TokenShards, write_token_shards


def make_shards(folder, first_token, sizes):
    """One shard per document: a document closes the shard it fills."""
    folder.mkdir()
    starts = first_token + np.cumsum([0, *sizes])
    documents = [
        (str(start), 1, np.arange(start, start + size).astype(np.uint32))
        for start, size in zip(starts, sizes, strict=False)
    ]
    write_token_shards(
        documents, folder, vocab_size=5000, eos_id=0, tokenizer_digest="t", shard_tokens=1
    )
    return TokenShards.open(folder)


@pytest.fixture
def domains(tmp_path):
    """Rows of four tokens: 3 + 0 + 2 (the second shard is too short), and 4."""
    return [
        make_shards(tmp_path / "a", 100, [13, 3, 9]),
        make_shards(tmp_path / "b", 1000, [18]),
    ]


def test_rows_come_in_the_order_of_the_slots_from_every_shard(domains):
    reader = BatchReader(domains, 4)
    domain_index = np.array([1, 0, 0, 1, 0, 0, 0])
    rows = np.array([3, 4, 0, 0, 2, 3, 0])
    found = reader.read(domain_index, rows)
    assert found[0].tolist() == [1012, 1013, 1014, 1015, 1016]
    assert found[2].tolist() == [100, 101, 102, 103, 104]
    for slot, (domain, row) in enumerate(zip(domain_index, rows, strict=True)):
        expected = domains[domain].rows(np.array([row]), 4)[0]
        np.testing.assert_array_equal(found[slot], expected)


@pytest.mark.parametrize(("domain", "row"), [(0, 5), (1, 4), (0, -1)])
def test_a_row_of_the_next_domain_is_not_read_by_mistake(domains, domain, row):
    with pytest.raises(ValueError, match=r"not all in \[5, 4\]"):
        BatchReader(domains, 4).read(np.array([domain]), np.array([row]))


def test_a_batch_of_nothing_is_empty(domains):
    nothing = np.array([], dtype=np.int64)
    assert BatchReader(domains, 4).read(nothing, nothing).shape == (0, 5)
