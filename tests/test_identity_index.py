import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.identity_index import IdentityIndex

NAMES = st.lists(st.lists(st.sampled_from([str(n) for n in range(30)]), max_size=12), max_size=12)


@given(NAMES)
def test_it_answers_as_a_set_would(batches):
    index, seen = IdentityIndex(), set()
    for batch in batches:
        expected = []
        for name in batch:
            expected.append(name in seen)
            seen.add(name)
        assert index.add(batch).tolist() == expected
    assert len(index) == len(seen)


def test_memory_is_twenty_bytes_a_name():
    index = IdentityIndex()
    for start in range(0, 20_000, 100):
        assert not index.add([f"id-{n}" for n in range(start, start + 100)]).any()
    assert index.add(["id-0", "id-19999", "id-20000"]).tolist() == [True, True, False]
    assert index.num_bytes == 20 * 20_001


def test_half_a_surrogate_pair_is_an_error():
    with pytest.raises(UnicodeEncodeError):
        IdentityIndex().add(["\ud800"])
