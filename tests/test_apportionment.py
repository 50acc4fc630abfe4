import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.apportionment import apportion


def harmonic_bound(num_domains):
    return sum(1 / j for j in range(2, num_domains + 1))


def run(sequence, batch_rows):
    """Apportion a sequence of weights; return the counts, the carries and the exact errors."""
    carry = np.zeros(sequence.shape[1])
    counts, carries = [], []
    for weights in sequence:
        rows, carry = apportion(weights, batch_rows, carry)
        counts.append(rows)
        carries.append(carry)
    errors = np.cumsum(sequence * batch_rows, axis=0) - np.cumsum(counts, axis=0)
    return np.array(counts), np.array(carries), errors


@st.composite
def sequences(draw, smallest=1):
    """Weights over 2 to 8 domains, drawn as whole numbers from `smallest` to 1000."""
    num_domains = draw(st.integers(2, 8))
    row = st.lists(st.integers(smallest, 1000), min_size=num_domains, max_size=num_domains)
    rows = np.array(draw(st.lists(row, min_size=1, max_size=40)), dtype=float)
    return rows / rows.sum(axis=1, keepdims=True)


def test_two_batches_worked_by_hand():
    weights = np.array([0.55, 0.28, 0.17])
    # wants [2.2, 1.12, 0.68]: whole rows 2, 1, 0; the spare row goes to the remainder 0.68
    counts, carry = apportion(weights, 4, np.zeros(3))
    assert counts.tolist() == [2, 1, 1]
    np.testing.assert_allclose(carry, [0.2, 0.12, -0.32])
    # wants [2.4, 1.24, 0.36]: the spare row goes to the remainder 0.4
    counts, carry = apportion(weights, 4, carry)
    assert counts.tolist() == [3, 1, 0]
    np.testing.assert_allclose(carry, [-0.6, 0.24, 0.36])


def test_the_least_urgent_wait_when_others_owe_more_than_the_batch():
    # wants [1.1, 1.2, -0.65, -0.65]: two whole rows are due, but the batch has one
    carry = np.array([0.9, 0.9, -0.9, -0.9])
    counts, carry = apportion(np.array([0.2, 0.3, 0.25, 0.25]), 1, carry)
    assert counts.tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(carry, [1.1, 0.2, -0.65, -0.65])


def test_weights_a_little_off_the_simplex_are_divided_by_their_sum():
    weights = np.array([0.55, 0.45]) * (1 + 8e-7)  # what require_simplex lets pass
    carry = np.zeros(2)
    for _ in range(50):
        _, carry = apportion(weights, 1000, carry)
    assert abs(carry.sum()) < 1e-9


def test_a_small_domain_is_not_starved():
    counts, _, _ = run(np.tile([0.95, 0.05], (100, 1)), 4)
    assert counts[:, 1].sum() == 20


@settings(deadline=None)
@given(sequences(), st.integers(1, 40))
def test_rows_fill_the_batch_and_errors_stay_within_the_bound(sequence, batch_rows):
    counts, carries, errors = run(sequence, batch_rows)
    assert (counts.sum(axis=1) == batch_rows).all()
    assert (counts >= 0).all()
    np.testing.assert_allclose(carries, errors, atol=1e-9)
    assert errors.min() > -1
    assert errors.max() <= harmonic_bound(sequence.shape[1]) + 1e-9


@settings(deadline=None)
@given(sequences(smallest=200))
def test_errors_stay_below_one_row_when_every_domain_is_due_one_per_batch(sequence):
    batch_rows = int(np.ceil(1 / sequence.min()))
    _, _, errors = run(sequence, batch_rows)
    assert np.abs(errors).max() < 1


def test_no_online_rule_keeps_four_domains_below_one_row():
    # Request only what was not yet served: whoever is served last has waited 1/4 + 1/3 + 1/2.
    waiting, carry, served = np.ones(4, dtype=bool), np.zeros(4), np.zeros(4)
    for _ in range(3):
        weights = np.where(waiting, 1.0, 1e-13)
        counts, carry = apportion(weights / weights.sum(), 1, carry)
        served += counts
        waiting = served == 0
    assert carry.max() == pytest.approx(harmonic_bound(4))
    assert carry.max() > 1


@settings(deadline=None)
@given(sequences(), st.integers(1, 40), st.data())
def test_a_domain_switched_off_gets_no_row_and_is_owed_none(sequence, batch_rows, data):
    off = data.draw(st.integers(0, sequence.shape[1] - 1))
    _, carries, _ = run(sequence, batch_rows)
    weights = sequence[-1].copy()
    weights[off] = 0
    counts, carry = apportion(weights / weights.sum(), batch_rows, carries[-1])
    assert counts[off] == 0
    assert carry[off] == 0
    assert counts.sum() == batch_rows
    assert carry.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("weights", "batch_rows", "carry", "message"),
    [
        ([0.5, 0.6], 4, [0, 0], "sum to 1"),
        ([1.5, -0.5], 4, [0, 0], "not negative"),
        ([0.5, 0.5], 0, [0, 0], "batch_rows"),
        ([0.5, 0.5], 4, [0, 0, 0], "must both be"),
    ],
)
def test_refuses(weights, batch_rows, carry, message):
    with pytest.raises(ValueError, match=message):
        apportion(np.array(weights), batch_rows, np.array(carry, dtype=float))
