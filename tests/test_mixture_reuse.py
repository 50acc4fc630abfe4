import numpy as np
import pytest

from training.fitted_laws import FittedLaws
from training.mixing_laws.log_linear import LogLinearLaw
from training.mixture_reuse import MixtureReuse, coordinates, coupled_domains, pull_back
from training.simplex_minimiser import ConvexFunction

DOMAINS = ("a", "b", "c", "new")
EARLIER = {"a": 0.25, "b": 0.25, "c": 0.5}


def test_shares_of_the_virtual_domain_keep_their_ratios():
    names, matrix = coordinates(DOMAINS, MixtureReuse(weights=EARLIER, changed=("new",)))
    assert names == ("a+b+c", "new")
    np.testing.assert_allclose(matrix @ [0.4, 0.6], [0.1, 0.1, 0.2, 0.6])


def test_columns_follow_the_order_of_the_domains_not_of_the_reuse():
    turned = {"c": 2.0, "b": 1.0, "a": 1.0}
    _, matrix = coordinates(("new", "c", "a", "b"), MixtureReuse(weights=turned, changed=("new",)))
    np.testing.assert_allclose(matrix @ [0.4, 0.6], [0.6, 0.2, 0.1, 0.1])


def test_coupled_domains_are_free_again():
    reuse = MixtureReuse(weights=EARLIER, changed=("new",), coupled=("c",))
    names, matrix = coordinates(DOMAINS, reuse)
    assert reuse.kept() == ("a", "b")
    assert names == ("a+b", "c", "new")
    np.testing.assert_allclose(matrix @ [0.2, 0.3, 0.5], [0.1, 0.1, 0.3, 0.5])


def test_without_reuse_every_domain_is_free():
    names, matrix = coordinates(DOMAINS, None)
    assert names == DOMAINS
    np.testing.assert_array_equal(matrix, np.eye(4))


@pytest.mark.parametrize(
    ("reuse", "message"),
    [
        (MixtureReuse(weights=EARLIER, changed=("po",)), "unknown domains"),
        (
            MixtureReuse(weights={"a": 0.5, "b": 0.5}, changed=("new",)),
            r"no earlier weight for \['c'",
        ),
        (MixtureReuse(weights=EARLIER, changed=("new",), coupled=("a", "b")), "at least two kept"),
        (MixtureReuse(weights={**EARLIER, "new": 1.0}, changed=()), "one changed"),
        (MixtureReuse(weights={"a": -1.0, "b": 1, "c": 1}, changed=("new",)), "must be >= 0"),
        (MixtureReuse(weights={"a": 0.0, "b": 0, "c": 0}, changed=("new",)), "sum > 0"),
    ],
)
def test_reuse_rejects(reuse, message):
    with pytest.raises(ValueError, match=message):
        coordinates(DOMAINS, reuse)


def test_pull_back_is_the_chain_rule():
    matrix = np.array([[0.25, 0.0], [0.75, 0.0], [0.0, 1.0]])
    target = np.array([0.1, 0.2, 0.3])
    function = ConvexFunction(
        value=lambda p: float(((p - target) ** 2).sum()),
        gradient=lambda p: 2 * (p - target),
        hessian=lambda p: 2 * np.eye(3),
    )
    inner = pull_back(function, matrix)
    x = np.array([0.3, 0.7])
    assert inner.value(x) == pytest.approx(function.value(matrix @ x))
    step = 1e-6 * np.eye(2)
    slope = [(inner.value(x + one) - inner.value(x - one)) / 2e-6 for one in step]
    np.testing.assert_allclose(inner.gradient(x), slope, rtol=1e-6)
    np.testing.assert_allclose(inner.hessian(x), [[2 * 0.625, 0], [0, 2]])


def laws(*slopes):
    return FittedLaws(
        method="log_linear",
        domains=DOMAINS,
        eval_domains=tuple(f"e{n}" for n in range(len(slopes))),
        laws=tuple(
            LogLinearLaw(irreducible_loss=1.0, sensitivities=np.array(row)) for row in slopes
        ),
    )


def test_domains_that_serve_one_loss_are_coupled_and_others_are_not():
    # e0 reacts to c and new alone, e1 to a, e2 to b: only c competes with new.
    found = coupled_domains(
        laws([0, 0, -2, -2], [-2, 0, 0, 0], [0, -2, 0, 0]),
        ("new",),
        mixture=dict.fromkeys(DOMAINS, 0.25),
        threshold=0.8,
    )
    assert found == ("c",)


def test_coupling_rejects():
    with pytest.raises(ValueError, match="threshold"):
        coupled_domains(
            laws([0, 0, 0, -1]), ("new",), mixture=dict.fromkeys(DOMAINS, 0.25), threshold=0
        )
    with pytest.raises(ValueError, match="laws of"):
        coupled_domains(laws([0, 0, 0, -1]), ("po",), mixture=dict.fromkeys(DOMAINS, 0.25))
    with pytest.raises(ValueError, match="laws of"):
        coupled_domains(laws([0, 0, 0, -1]), ("new",), mixture={"a": 1.0})
