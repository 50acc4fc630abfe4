import numpy as np
import pytest

from training.fitted_laws import FittedLaws
from training.mixing_laws import LAWS
from training.mixing_laws.interface import (
    ConvexLaw,
    Runs,
    each_domain,
    named_vector,
    require_runs,
)
from training.mixing_laws.log_linear import LogLinearLaw, refit_log_linear

WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
TRUTH = LogLinearLaw(irreducible_loss=1.5, sensitivities=np.array([-1.0, 0.4, 0.2]))
LOSSES = TRUTH.predict(WEIGHTS)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_every_family_fits_predicts_describes_and_is_read_back(name):
    family = LAWS[name]
    law = family(WEIGHTS, LOSSES)
    assert np.abs(law.predict(WEIGHTS) - LOSSES).mean() < 0.15
    names = ["web", "code", "math"]
    assert "web" in law.describe(names)
    again = family.from_json(law.to_json(names), names)
    np.testing.assert_allclose(again.predict(WEIGHTS), law.predict(WEIGHTS), atol=1e-12)
    assert isinstance(law, ConvexLaw) or not family.convex
    assert family.formula.startswith("L")


@pytest.mark.parametrize("name", sorted(name for name, each in LAWS.items() if each.convex))
def test_laws_of_convex_families_are_convex(name):
    noisy = LOSSES + np.random.default_rng(1).normal(0, 0.1, 20)
    law = LAWS[name](WEIGHTS, noisy)
    middle = law.predict((WEIGHTS[:10] + WEIGHTS[10:]) / 2)
    ends = (law.predict(WEIGHTS[:10]) + law.predict(WEIGHTS[10:])) / 2
    assert (middle <= ends + 1e-9).all()
    assert (np.linalg.eigvalsh(law.hessian(WEIGHTS[0])) >= -1e-9).all()


def test_only_laws_of_convex_families_are_given_to_a_minimiser():
    def fitted(method):
        law = LAWS[method](WEIGHTS, LOSSES)
        names = ("web", "code", "math")
        return FittedLaws(method=method, domains=names, eval_domains=("web",), laws=(law,))

    assert isinstance(fitted("log_linear").convex_laws()[0], ConvexLaw)
    with pytest.raises(ValueError, match=r"additive_signed is not convex.*'additive'"):
        fitted("additive_signed").convex_laws()


def test_each_domain_fits_every_column_for_every_row_of_counts():
    runs = Runs(
        weights=WEIGHTS, losses=np.column_stack([LOSSES, LOSSES + 1]), own_columns=(None, None)
    )
    counts = np.ones((3, 20))
    counts[1, 4] = 0
    laws = each_domain(refit_log_linear)(runs, counts)
    assert [len(refit) for refit in laws] == [2, 2, 2]
    np.testing.assert_allclose(laws[2][1].predict(WEIGHTS), LOSSES + 1, atol=1e-5)


def test_named_vector_follows_the_domains_and_refuses_other_names():
    np.testing.assert_array_equal(named_vector("t", {"a": 1.0, "b": 2.0}, ["b", "a"]), [2.0, 1.0])
    with pytest.raises(ValueError, match=r"t of \['a'\], wanted \['a', 'b'\]"):
        named_vector("t", {"a": 1.0}, ["a", "b"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": WEIGHTS * 0.9}, "sum to 1"),
        ({"losses": LOSSES[:-1]}, "shape"),
        ({"losses": -LOSSES}, "positive"),
        ({"losses": np.where(np.arange(20) == 3, np.inf, LOSSES)}, "finite"),
        ({"counts": np.ones((1, 19))}, "counts"),
        ({"counts": -np.ones((1, 20))}, "counts"),
        ({"num_params": 20}, "20 parameters need more than 20 runs, got 20"),
    ],
)
def test_require_runs_refuses(changes, message):
    good = {"weights": WEIGHTS, "losses": LOSSES, "counts": np.ones((1, 20)), "num_params": 4}
    require_runs(**good)
    with pytest.raises(ValueError, match=message):
        require_runs(**{**good, **changes})
