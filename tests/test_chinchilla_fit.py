import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize

from training.scaling_laws.chinchilla import ChinchillaLaw
from training.scaling_laws.chinchilla_fit import (
    ScalingFitError,
    chinchilla_objective,
    fit_chinchilla,
    refit_chinchilla,
)
from training.scaling_runs import ScalingRuns, read_scaling_runs

TRUTH = ChinchillaLaw(A=480.0, B=2000.0, E=1.8, alpha=0.35, beta=0.37)


def generated(num_runs=60, noise=0.003, seed=0):
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(5e7), np.log(1e10), num_runs))
    flops = np.exp(rng.uniform(np.log(1e18), np.log(1e21), num_runs))
    tokens = flops / 6 / params
    losses = TRUTH.predict(params, tokens) * np.exp(rng.normal(0, noise, num_runs))
    return ScalingRuns(
        run_ids=tuple(f"r{n}" for n in range(num_runs)), params=params, tokens=tokens, losses=losses
    )


def test_recovers_the_law_without_noise():
    fit = fit_chinchilla(generated(noise=0.0))
    for name, value in TRUTH.to_json().items():
        assert getattr(fit.law, name) == pytest.approx(value, rel=1e-5)
    assert fit.objective < 1e-15


def test_objective_worked_by_hand():
    runs = ScalingRuns(
        run_ids=("a", "b"),
        params=np.array([1e9, 1e9]),
        tokens=np.array([1e10, 1e10]),
        losses=TRUTH.predict(np.full(2, 1e9), np.full(2, 1e10)) * np.exp([5e-4, -0.01]),
    )
    by_hand = 0.5 * 5e-4**2 + 1e-3 * (0.01 - 0.5e-3)
    assert chinchilla_objective(TRUTH, runs) == pytest.approx(by_hand, rel=1e-6)


def test_an_independent_solver_finds_nothing_lower():
    runs = generated()
    fit = fit_chinchilla(runs)
    assert fit.objective == pytest.approx(chinchilla_objective(fit.law, runs), rel=1e-9)
    assert fit.gradient_norm <= 1e-8
    assert fit.num_agreeing >= fit.num_starts / 2

    def objective(theta):
        a, b, e, alpha, beta = theta
        law = ChinchillaLaw(A=np.exp(a), B=np.exp(b), E=np.exp(e), alpha=alpha, beta=beta)
        return 1e6 * chinchilla_objective(law, runs)

    start = [np.log(300), np.log(900), 0.4, 0.3, 0.3]
    options = {"maxiter": 8000, "maxfev": 8000, "xatol": 1e-10, "fatol": 1e-10, "adaptive": True}
    rival = minimize(objective, start, method="Nelder-Mead", options=options)
    assert fit.objective <= rival.fun / 1e6 * (1 + 1e-9)


def test_refits_are_fits_of_the_counted_runs():
    runs = generated(num_runs=30)
    start = fit_chinchilla(runs).law
    counts = np.ones((2, 30))
    counts[0, :6] = 0
    counts[1, :5] = 2
    first, second = refit_chinchilla(runs, counts, start=start)
    alone = fit_chinchilla(runs.take(counts[0] > 0)).law
    assert first.predict(1e9, 2e10) == pytest.approx(alone.predict(1e9, 2e10), rel=1e-7)
    rows = [*range(5), *range(30)]
    doubled = ScalingRuns(
        run_ids=tuple(str(n) for n in range(35)),
        params=runs.params[rows],
        tokens=runs.tokens[rows],
        losses=runs.losses[rows],
    )
    again = fit_chinchilla(doubled).law
    assert second.predict(1e9, 2e10) == pytest.approx(again.predict(1e9, 2e10), rel=1e-7)


def test_refits_that_determine_no_law_are_none():
    runs = generated(num_runs=30)
    counts = np.zeros((1, 30))
    counts[0, :2] = 15
    (law,) = refit_chinchilla(runs, counts, start=TRUTH)
    assert law is None or np.isfinite(law.predict(1e9, 1e10))
    with pytest.raises(ValueError, match="counts must be"):
        refit_chinchilla(runs, np.ones((1, 3)), start=TRUTH)


def test_rejects():
    runs = generated()
    with pytest.raises(ScalingFitError, match="at least 6 runs, got 5"):
        fit_chinchilla(runs.take(np.arange(60) < 5))
    with pytest.raises(ScalingFitError, match="column params has 1 different"):
        fit_chinchilla(replace(runs, params=np.full(60, 1e9)))
    fixed_ratio = replace(
        runs, tokens=20 * runs.params, losses=TRUTH.predict(runs.params, 20 * runs.params)
    )
    with pytest.raises(ScalingFitError, match="go together"):
        fit_chinchilla(fixed_ratio)
    rising = replace(runs, losses=2 * (runs.params / 1e8) ** 0.1 * (runs.tokens / 1e9) ** 0.1)
    with pytest.raises(ScalingFitError, match=r"does not fall|go together|converge"):
        fit_chinchilla(rising)


reference = pytest.mark.skipif(
    "MIXWRIGHT_REFERENCE" not in os.environ,
    reason="set MIXWRIGHT_REFERENCE to a folder with chinchilla_svg.csv",
)


@reference
def test_published_runs():
    path = Path(os.environ["MIXWRIGHT_REFERENCE"]) / "chinchilla_svg.csv"
    runs = read_scaling_runs(path)
    used = pl.read_csv(path)["used_in_replication"].to_numpy() == 1
    runs = runs.take(used)
    started = time.process_time()
    fit = fit_chinchilla(runs)
    assert time.process_time() - started < 1.0
    hoffmann = ChinchillaLaw(A=406.4, B=410.7, E=1.6934, alpha=0.3392, beta=0.2849)
    assert fit.objective < 0.9 * chinchilla_objective(hoffmann, runs)
    if used.sum() == 240:
        assert fit.objective == pytest.approx(1.018274e-3, abs=1e-6)
        expected = {"A": 477.83, "B": 2143.4, "E": 1.81722, "alpha": 0.34731, "beta": 0.36717}
        for name, value in expected.items():
            assert getattr(fit.law, name) == pytest.approx(value, rel=5e-3)
