import numpy as np
import pytest

from training.repetition_cost import RepetitionCost

COST = RepetitionCost(
    available_tokens=np.array([1e9, 2e8, 5e7]), budget_tokens=1e9, coefficient=2000.0, exponent=0.37
)


def test_fresh_tokens_cost_nothing_and_repeats_cost_more_and_more():
    shares = np.array([[1, 0, 0], [0.8, 0.2, 0], [0.5, 0.5, 0], [0.2, 0.8, 0]])
    costs = COST.values(shares)
    np.testing.assert_allclose(costs[:2], 0, atol=1e-12)
    assert 0 < costs[2] < costs[3]


def test_cost_worked_by_hand():
    # 0.5 of 1e9 tokens out of 2e8: 1.5 repeats, worth 2e8 (1 + R (1 - exp(-1.5 / R))).
    decay = 15.387756
    worth = 5e8 + 2e8 * (1 + decay * (1 - np.exp(-1.5 / decay)))
    by_hand = 2000 * (worth**-0.37 - 1e9**-0.37)
    assert COST.values(np.array([[0.5, 0.5, 0.0]]))[0] == pytest.approx(by_hand)


def test_derivatives_agree_with_differences():
    point = np.array([0.3, 0.45, 0.25])
    steps = 1e-5 * np.eye(3)
    slope = [
        (COST.values((point + s)[None]) - COST.values((point - s)[None]))[0] / 2e-5 for s in steps
    ]
    np.testing.assert_allclose(COST.gradient(point), slope, rtol=1e-6)
    bend = [(COST.gradient(point + s) - COST.gradient(point - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(COST.hessian(point), bend, rtol=1e-5)


def test_cost_is_convex():
    rng = np.random.default_rng(0)
    ends = rng.dirichlet(np.full(3, 0.5), size=(200, 2))
    middle = COST.values(ends.mean(axis=1))
    assert (middle <= (COST.values(ends[:, 0]) + COST.values(ends[:, 1])) / 2 + 1e-12).all()


def test_a_domain_without_tokens_is_worth_nothing():
    cost = RepetitionCost(
        available_tokens=np.array([1e9, 0.0]), budget_tokens=1e9, coefficient=2000.0, exponent=0.37
    )
    loss = 2000 * ((0.5e9) ** -0.37 - 1e9**-0.37)
    assert cost.values(np.array([[0.5, 0.5]]))[0] == pytest.approx(loss)
    assert cost.gradient(np.array([0.5, 0.5]))[1] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"budget_tokens": 0.0},
        {"coefficient": -1.0},
        {"exponent": float("nan")},
        {"decay": 0.0},
        {"available_tokens": np.array([-1.0, 1.0])},
        {"available_tokens": np.zeros(2)},
    ],
)
def test_rejects(change):
    fields = {
        "available_tokens": np.ones(2),
        "budget_tokens": 1.0,
        "coefficient": 1.0,
        "exponent": 1.0,
    }
    with pytest.raises(ValueError, match=r"positive numbers|must be >= 0"):
        RepetitionCost(**{**fields, **change})
