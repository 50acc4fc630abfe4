import math

import numpy as np
import pytest

from training.scaling_laws.chinchilla import ChinchillaLaw

ROUNDED = ChinchillaLaw(A=406.4, B=410.7, E=1.69, alpha=0.34, beta=0.28)


def test_loss_worked_by_hand():
    law = ChinchillaLaw(A=8.0, B=9.0, E=1.5, alpha=1 / 3, beta=0.5)
    np.testing.assert_allclose(law.predict(np.array([64.0]), np.array([81.0])), [1.5 + 2 + 1])


def test_the_published_rounded_constants_recommend_what_was_computed_from_them():
    best = ROUNDED.optimal_allocation(5.88e23)
    assert best.params == pytest.approx(3.249e10, rel=1e-3)
    assert best.tokens == pytest.approx(3.016e12, rel=1e-3)
    assert best.tokens / best.params == pytest.approx(92.8, rel=1e-3)


def test_no_other_size_does_better_at_the_budget():
    best = ROUNDED.optimal_allocation(1e21)
    assert 6 * best.params * best.tokens == pytest.approx(1e21)
    sizes = best.params * np.geomspace(0.5, 2, 201)
    losses = ROUNDED.predict(sizes, 1e21 / 6 / sizes)
    assert sizes[losses.argmin()] == pytest.approx(best.params, rel=1e-6)


def test_the_size_for_a_length_inverts_the_allocation():
    best = ROUNDED.optimal_allocation(1e21)
    assert ROUNDED.params_optimal_for(best.tokens) == pytest.approx(best.params)
    assert ROUNDED.params_exponent == pytest.approx(0.28 / 0.62)


def test_json_round_trip_and_bad_content():
    assert ChinchillaLaw.from_json(ROUNDED.to_json()) == ROUNDED
    for change in ({"A": -1.0}, {"alpha": 0.0}, {"po": 1.0}, {"B": "x"}):
        with pytest.raises(ValueError, match="validation error"):
            ChinchillaLaw.from_json({**ROUNDED.to_json(), **change})


@pytest.mark.parametrize("flops", [0.0, -1.0, math.nan, math.inf])
def test_budgets_that_are_none(flops):
    with pytest.raises(ValueError, match="flops must be positive"):
        ROUNDED.optimal_allocation(flops)
