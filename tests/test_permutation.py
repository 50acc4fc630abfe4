import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.permutation import permutation_key, permute


def order(size, *parts):
    key = np.full(size, permutation_key(*parts), dtype=np.uint64)
    return permute(np.arange(size), np.full(size, size), key)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**62), st.text())
def test_every_thing_comes_once(size, seed, name):
    assert sorted(order(size, seed, name)) == list(range(size))


def test_orders_do_not_change_between_versions():
    assert order(8, 3, "law", 0).tolist() == [1, 3, 2, 0, 5, 4, 7, 6]
    assert order(11, 3, "law", 1).tolist() == [6, 7, 5, 10, 4, 1, 8, 3, 9, 0, 2]


def test_tiny_sizes_reach_every_order():
    assert order(1, 0).tolist() == [0]
    for size, num_orders in ((2, 2), (3, 6)):
        orders = [tuple(order(size, 0, "law", epoch).tolist()) for epoch in range(600)]
        counts = [orders.count(each) for each in set(orders)]
        assert len(counts) == num_orders
        assert min(counts) > 0.7 * 600 / num_orders


def test_places_are_evenly_likely():
    draws = np.array([order(16, 0, "law", epoch) for epoch in range(2000)])
    expected = 2000 / 16
    counts = np.array([np.bincount(draws[:, place], minlength=16) for place in range(16)])
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 300  # 225 degrees of freedom: standard deviation 21


def test_slots_of_different_permutations_do_not_disturb_each_other():
    sizes = np.array([1, 5, 1000, 2**40])
    keys = np.array([permutation_key(0, name) for name in "abcd"], dtype=np.uint64)
    positions = np.array([0, 3, 999, 2**39])
    together = permute(positions, sizes, keys)
    alone = [permute(positions[[i]], sizes[[i]], keys[[i]])[0] for i in range(4)]
    assert together.tolist() == alone
    assert (together < sizes).all()


def test_keys_tell_parts_apart():
    assert permutation_key(1, "2") != permutation_key(12, "")
    assert len({permutation_key(0, name, epoch) for name in "ab" for epoch in range(50)}) == 100


def test_refuses_a_position_outside():
    for position in (-1, 3):
        with pytest.raises(ValueError, match="outside"):
            permute(np.array([position]), np.array([3]), np.array([1], dtype=np.uint64))
