import numpy as np
import pytest

from training.mixture_reuse import MixtureReuse
from training.proposal_limits import Availability, build_limits, largest_budget

DOMAINS = ("a", "b", "c")
PRIOR = {"a": 0.5, "b": 0.3, "c": 0.2}
TOKENS = {"a": 100.0, "b": 50.0, "c": 10.0}
REUSE = MixtureReuse(weights={"a": 3.0, "b": 1.0}, changed=("c",))


def limits(*, budget=400.0, epochs=4.0, floors=None, reuse=None, prior=PRIOR, tokens=TOKENS):
    return build_limits(
        DOMAINS,
        prior,
        floors=floors or {},
        availability=Availability(tokens=tokens, budget_tokens=budget, max_epochs=epochs),
        reuse=reuse,
    )


def test_caps_follow_from_tokens_and_epochs():
    found = limits(floors={"b": 0.1})
    np.testing.assert_allclose(found.caps, [1.0, 0.5, 0.1])
    np.testing.assert_allclose(found.low, [0, 0.1, 0])
    np.testing.assert_allclose(limits(epochs=None).caps, 1.0)


def test_a_forbidden_domain_has_no_room():
    assert limits(prior={"a": 0.5, "b": 0.5, "c": 0.0}).high[2] == 0


def test_fixed_ratios_bind_at_their_scarcest_domain():
    found = limits(reuse=REUSE, budget=420.0, floors={"b": 0.2})
    assert found.names == ("a+b", "c")
    # a may have .952, so v <= 1.27; b may have .476, so v <= 1.9; b needs .2, so v >= .8.
    np.testing.assert_allclose(found.high, [1.0, 40 / 420])
    np.testing.assert_allclose(found.low, [0.8, 0.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 1000.0}, r"a 0\.4000, b 0\.2000, c 0\.0400.*feasible budget is 640 tokens"),
        ({"budget": 700.0, "reuse": REUSE}, r"a\+b 0\.7619.*budget is 573\.333 tokens"),
        ({"floors": {"c": 0.2}}, r"floor 0\.2 of c is above its cap 0\.1.*budget is 200 tokens"),
        ({"floors": {"a": 0.6, "b": 0.5}}, "floors sum to 1.1"),
        ({"floors": {"c": 1.2}}, "lie in"),
        ({"floors": {"po": 0.2}}, "unknown domains"),
        ({"budget": float("nan")}, "budget_tokens must be positive"),
        ({"tokens": {**TOKENS, "a": -1.0}}, "available_tokens must be >= 0"),
        ({"tokens": {"a": 1.0}}, "available_tokens names"),
        ({"tokens": {**TOKENS, "a": float("inf")}}, "available_tokens must be finite"),
        ({"prior": {"a": 1.0}}, "prior names"),
        ({"prior": {"a": 0.9, "b": 0.3, "c": 0.2}}, "prior must sum to 1"),
        ({"reuse": REUSE, "floors": {"a": 0.7, "b": 0.4}}, "floors sum to 1.1"),
        ({"reuse": REUSE, "floors": {"a": 0.3, "b": 0.4}}, r"ask for a share of 1\.6|asks for"),
        (
            {
                "reuse": MixtureReuse(weights={"a": 1.0, "b": 0.0}, changed=("c",)),
                "floors": {"b": 0.1},
            },
            r"floors of \['b'\]",
        ),
    ],
)
def test_rejects(change, message):
    with pytest.raises(ValueError, match=message):
        limits(**change)


def test_the_largest_budget_is_feasible_and_a_larger_one_is_not():
    for reuse, floors in ((None, {}), (REUSE, {}), (REUSE, {"c": 0.05})):
        availability = Availability(tokens=TOKENS, budget_tokens=400.0, max_epochs=4.0)
        found = limits(reuse=reuse, floors=floors)
        largest = largest_budget(found, availability)
        limits(reuse=reuse, floors=floors, budget=largest * (1 - 1e-9))
        with pytest.raises(ValueError, match="feasible budget"):
            limits(reuse=reuse, floors=floors, budget=largest * 1.001)
