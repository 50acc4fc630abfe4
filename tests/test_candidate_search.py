import numpy as np
import pytest

from training.candidate_search import into_box, search_candidates

TARGET = np.array([0.55, 0.3, 0.15])
THIRD = np.full(3, 1 / 3)
ZERO, ONE = np.zeros(3), np.ones(3)


def bowl(points):
    return ((points - TARGET) ** 2).sum(axis=1)


def two_basins(points):
    """The deeper one, at a corner, is narrow."""
    narrow = ((points - [0.02, 0.03, 0.95]) ** 2).sum(axis=1)
    return np.minimum(bowl(points), 20 * narrow - 0.5)


def test_finds_the_minimum_of_a_bowl():
    found = search_candidates(bowl, ZERO, ONE, centre=THIRD, num_candidates=2000)
    np.testing.assert_allclose(found.point, TARGET, atol=1e-3)
    assert found.value == pytest.approx(bowl(found.point[None])[0])


def test_finds_the_deeper_of_two_basins():
    found = search_candidates(two_basins, ZERO, ONE, centre=THIRD, num_candidates=5000)
    np.testing.assert_allclose(found.point, [0.02, 0.03, 0.95], atol=5e-3)


def test_bounds_hold_and_bind():
    low, high = np.array([0.0, 0.4, 0.0]), np.array([0.5, 1.0, 1.0])
    found = search_candidates(bowl, low, high, centre=THIRD, num_candidates=2000)
    assert (found.point >= low - 1e-12).all()
    assert (found.point <= high + 1e-12).all()
    # On the edge x_1 = 0.4 the distance to the target is least at x_0 = 0.5.
    np.testing.assert_allclose(found.point, [0.5, 0.4, 0.1], atol=2e-3)


def test_the_seed_decides():
    first, second, other = (
        search_candidates(bowl, ZERO, ONE, centre=THIRD, num_candidates=200, seed=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.point, second.point)
    assert not np.array_equal(first.point, other.point)


def test_where_nothing_is_allowed_the_value_says_so():
    nothing = search_candidates(
        lambda points: np.full(len(points), np.inf), ZERO, ONE, centre=THIRD, num_candidates=200
    )
    assert nothing.value == np.inf


def test_into_box_is_the_projection():
    low, high = np.array([0.1, 0.0, 0.0]), np.array([1.0, 0.3, 1.0])
    inside = into_box(np.array([[0.2, 0.6, 0.2], [0.5, 0.2, 0.3]]), low, high)
    np.testing.assert_allclose(inside[0], [0.35, 0.3, 0.35])  # the surplus goes equally
    np.testing.assert_allclose(inside[1], [0.5, 0.2, 0.3])  # what lies inside stays


def test_rejects():
    with pytest.raises(ValueError, match="at least 100"):
        search_candidates(bowl, ZERO, ONE, centre=THIRD, num_candidates=99)
    with pytest.raises(ValueError, match="no mixture"):
        search_candidates(bowl, ZERO, np.full(3, 0.2), centre=THIRD)
