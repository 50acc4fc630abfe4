import numpy as np
import pytest

from training.mixing_laws.quadratic import QuadraticLaw, min_runs, refit_quadratic

DOMAINS = ("web", "code", "math")
PAIRS = np.array([[0.0, -2.0, 0.5], [-2.0, 0.0, 1.0], [0.5, 1.0, 0.0]])
LAW = QuadraticLaw(corner_losses=np.array([3.0, 2.0, 4.0]), interactions=PAIRS)
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), size=14)


def test_worked_by_hand():
    assert LAW.predict(np.array([[0.5, 0.5, 0.0]])) == pytest.approx([2.5 - 2.0 * 0.25])
    assert LAW.predict(np.eye(3)) == pytest.approx([3.0, 2.0, 4.0])
    assert LAW.describe(DOMAINS) == (
        "+2 code +3 web +4 math; -2 web*code +1 code*math +0.5 web*math ..."
    )


def test_recovers_what_made_the_losses():
    (law,) = refit_quadratic(WEIGHTS, LAW.predict(WEIGHTS), np.ones((1, 14)))
    np.testing.assert_allclose(law.corner_losses, LAW.corner_losses, atol=1e-4)
    np.testing.assert_allclose(law.interactions, PAIRS, atol=1e-3)


def test_under_pure_noise_the_penalty_removes_the_interactions():
    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.ones(6), size=22)  # 21 terms
    noise = 3 + rng.normal(0, 0.1, 22)
    (law,) = refit_quadratic(weights, noise, np.ones((1, 22)))
    fresh = rng.dirichlet(np.ones(6), size=200)
    assert np.abs(law.predict(fresh) - 3).mean() < 0.1
    assert np.abs(law.interactions).max() < 1


def test_the_chosen_penalty_has_the_smallest_error_on_runs_left_out_one_by_one():
    # Leaving one out by hand must agree with the closed form behind the choice.
    import training.mixing_laws.quadratic as module

    rng = np.random.default_rng(5)
    losses = LAW.predict(WEIGHTS) + rng.normal(0, 0.05, 14)
    products = WEIGHTS[:, [0, 0, 1]] * WEIGHTS[:, [1, 2, 2]]
    scale = products.std(axis=0)
    design = np.hstack([WEIGHTS, products / scale])

    def left_out_error(penalty):
        ridge = np.diag([0, 0, 0, penalty, penalty, penalty])
        total = 0.0
        for run in range(14):
            kept = np.arange(14) != run
            normal = design[kept].T @ design[kept] + ridge
            solved = np.linalg.solve(normal, design[kept].T @ losses[kept])
            total += (design[run] @ solved - losses[run]) ** 2
        return total

    penalties = module.PENALTIES * 14
    best = penalties[np.argmin([left_out_error(one) for one in penalties])]
    ridge = np.diag([0, 0, 0, best, best, best])
    solved = np.linalg.solve(design.T @ design + ridge, design.T @ losses)
    (law,) = refit_quadratic(WEIGHTS, losses, np.ones((1, 14)))
    np.testing.assert_allclose(law.predict(WEIGHTS), design @ solved, atol=1e-6)


def test_runs_that_do_not_count_are_not_seen():
    counts = np.ones(14)
    counts[2] = 0
    losses = LAW.predict(WEIGHTS)
    spoiled = losses.copy()
    spoiled[2] = 9.0
    first, second = (refit_quadratic(WEIGHTS, y, counts[None])[0] for y in (losses, spoiled))
    np.testing.assert_array_equal(first.predict(WEIGHTS), second.predict(WEIGHTS))


def test_json_is_read_by_name_and_strangers_are_refused():
    record = LAW.to_json(DOMAINS)
    turned = QuadraticLaw.from_json(record, ("math", "web", "code"))
    np.testing.assert_allclose(
        turned.predict(WEIGHTS[:, [2, 0, 1]]), LAW.predict(WEIGHTS), atol=1e-12
    )
    with pytest.raises(ValueError, match="nothing else"):
        QuadraticLaw.from_json(record, ("web", "code"))


def test_too_few_runs_are_refused():
    assert min_runs(3) == 5
    with pytest.raises(ValueError, match="more than 4 runs, got 4"):
        refit_quadratic(WEIGHTS[:4], LAW.predict(WEIGHTS[:4]), np.ones((1, 4)))
