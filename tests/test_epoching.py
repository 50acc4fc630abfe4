import pytest

from training.epoching import availability_caps, compare_epochs, epoch_share


def test_offering_the_epoch_share_makes_epochs_equal():
    share = epoch_share(proxy_tokens=1e6, target_tokens=2e7)
    assert share == pytest.approx(0.05)
    available = {"web": 1e7, "code": 2e6}
    rows = compare_epochs(
        {"web": 0.25, "code": 0.75},
        offered_tokens={name: share * tokens for name, tokens in available.items()},
        available_tokens=available,
        proxy_tokens=1e6,
        target_tokens=2e7,
    )
    assert [row.agrees for row in rows] == [True, True]
    assert rows[0].proxy_epochs == pytest.approx(0.5)
    assert rows[1].target_epochs == pytest.approx(7.5)


def test_a_proxy_that_may_draw_from_everything_is_found_out():
    rows = compare_epochs(
        {"web": 1.0},
        offered_tokens={"web": 1e7},
        available_tokens={"web": 1e7},
        proxy_tokens=1e6,
        target_tokens=2e7,
    )
    assert (rows[0].proxy_epochs, rows[0].target_epochs, rows[0].agrees) == (0.1, 2.0, False)


def test_the_tolerance_is_a_part_of_the_epochs_of_the_target():
    for offered, agrees in ((1000.0, True), (960.0, True), (940.0, False), (1060.0, False)):
        (row,) = compare_epochs(
            {"web": 0.01},
            offered_tokens={"web": offered},
            available_tokens={"web": 10_000.0},
            proxy_tokens=2000,
            target_tokens=20_000,
        )
        assert row.agrees == agrees, offered  # though all are within .05 epochs of .02


def test_caps_worked_by_hand():
    caps = availability_caps({"a": 150.0, "b": 20.0, "c": 0.0}, budget_tokens=400, max_epochs=4)
    assert caps == {"a": 1.0, "b": pytest.approx(0.2), "c": 0.0}


def test_infeasible_budget_names_caps_and_the_largest_feasible_one():
    message = r"sum to 0.6000 < 1 \(a 0.5000, b 0.1000\).*feasible budget is 240 tokens"
    with pytest.raises(ValueError, match=message):
        availability_caps({"a": 100.0, "b": 20.0}, budget_tokens=400, max_epochs=2)


def test_the_largest_feasible_budget_is_feasible():
    caps = availability_caps({"a": 100.0, "b": 20.0}, budget_tokens=240, max_epochs=2)
    assert sum(caps.values()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match=r"sum to 0\.9600 < 1"):
        availability_caps({"a": 100.0, "b": 20.0}, budget_tokens=250, max_epochs=2)


def test_rejects():
    with pytest.raises(ValueError, match="exceeds target_tokens"):
        epoch_share(proxy_tokens=2, target_tokens=1)
    with pytest.raises(ValueError, match="proxy_tokens must be positive"):
        epoch_share(proxy_tokens=0, target_tokens=1)
    with pytest.raises(ValueError, match="max_epochs"):
        availability_caps({"a": 1.0}, budget_tokens=1, max_epochs=0)
    with pytest.raises(ValueError, match=r"available_tokens\['a'\]"):
        availability_caps({"a": -1.0}, budget_tokens=1, max_epochs=1)
    with pytest.raises(ValueError, match="same domains"):
        compare_epochs(
            {"a": 1.0}, offered_tokens={}, available_tokens={}, proxy_tokens=1, target_tokens=1
        )
