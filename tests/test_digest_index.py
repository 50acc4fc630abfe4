from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality import digest_index
from quality.digest_index import DigestIndex

DIGESTS = st.sampled_from([bytes([*range(15), end]) for end in range(9)] + [bytes(16), b"\1" * 16])


@given(st.lists(st.lists(DIGESTS, max_size=9), max_size=12))
def test_it_answers_as_a_dict_would(batches):
    index, first, number = DigestIndex(), {}, 0
    for batch in batches:
        expected = []
        for digest in batch:
            expected.append(first.setdefault(digest, number))
            number += 1
        assert index.first_places(b"".join(batch)).tolist() == expected
    assert len(index) == len(first)
    assert index.num_bytes == 20 * len(first)


def test_runs_halve_from_one_to_the_next():
    index = DigestIndex()
    for number in range(300):
        index.first_places(number.to_bytes(16, "big"))
    lengths = [len(digests) for digests, _ in index._runs]
    assert sum(lengths) == 300
    assert all(one >= 2 * other for one, other in pairwise(lengths))
    assert index.first_places((7).to_bytes(16, "big")).tolist() == [7]


def test_too_many_are_refused(monkeypatch):
    monkeypatch.setattr(digest_index, "MAX_PLACES", 2)
    index = DigestIndex()
    index.first_places(bytes(32))
    with pytest.raises(ValueError, match="more than 2 documents"):
        index.first_places(bytes(16))
