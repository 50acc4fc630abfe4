import numpy as np
import pytest

from training.law_choice import choose_law, heldout_errors
from training.run_table import RunTable

RNG = np.random.default_rng(0)
WEIGHTS = RNG.dirichlet(np.full(3, 0.8), size=40)


def table(losses):
    return RunTable(
        run_ids=tuple(f"r{number}" for number in range(len(losses))),
        domains=("web", "code", "math"),
        eval_domains=("web",),
        weights=WEIGHTS[: len(losses)],
        losses=losses[:, None],
    )


NOISE = RNG.normal(0, 0.01, 40)
STRAIGHT = table(3 - WEIGHTS @ np.array([0.5, 0.2, -0.3]) + NOISE)
PAIRED = table(3 - 3 * WEIGHTS[:, 0] * WEIGHTS[:, 1] + NOISE)


def test_the_form_that_made_the_losses_is_chosen():
    assert choose_law(PAIRED, ["linear", "quadratic"]).method == "quadratic"
    errors = choose_law(STRAIGHT, ["linear", "quadratic"]).errors
    assert errors["linear"] < 0.1


def test_what_a_run_measured_does_not_touch_its_own_prediction():
    clean = choose_law(PAIRED, ["linear", "quadratic"])
    spoiled = PAIRED.losses.copy()
    out = clean.folds == 2
    spoiled[out] += np.linspace(0.5, 1, out.sum())[:, None]
    again = choose_law(table(spoiled[:, 0]), ["linear", "quadratic"])
    np.testing.assert_array_equal(again.folds, clean.folds)
    assert again.fold_methods[2] == clean.fold_methods[2]
    np.testing.assert_allclose(again.predicted[out], clean.predicted[out], atol=1e-12)
    assert np.abs(again.predicted[~out] - clean.predicted[~out]).max() > 1e-3


def test_error_of_one_is_that_of_the_mean():
    noise = table(3 + RNG.normal(0, 0.1, 40))
    assert heldout_errors(noise, ["linear"], num_folds=5, seed=0)["linear"] > 0.9


def test_methods_that_need_more_runs_are_left_aside_with_the_reason():
    ticks = []
    choice = choose_law(
        table(STRAIGHT.losses[:24, 0]), ["linear", "lightgbm"], tick=lambda: ticks.append(1)
    )
    assert choice.method == "linear"
    assert choice.left_aside == {"lightgbm": "needs 20 runs, inner folds leave 15"}
    assert len(ticks) == 6


def test_rejects():
    with pytest.raises(ValueError, match="needs methods"):
        choose_law(STRAIGHT, [])
    with pytest.raises(ValueError, match="5 folds need as many mixtures, got 3"):
        choose_law(table(STRAIGHT.losses[:3, 0]), ["linear"])
    with pytest.raises(ValueError, match="too few runs to choose a law: lightgbm needs 20"):
        choose_law(table(STRAIGHT.losses[:10, 0]), ["lightgbm"])
    with pytest.raises(ValueError, match="unknown mixing law"):
        choose_law(STRAIGHT, ["cubic"])
