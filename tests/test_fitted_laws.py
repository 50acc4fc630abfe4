import json

import numpy as np
import pytest

from training import fitted_laws
from training.fitted_laws import (
    HINT,
    FittedLaws,
    bootstrap_laws,
    fit_laws,
    law_family,
    prediction_intervals,
)
from training.mixing_laws.log_linear import LogLinearLaw
from training.run_table import RunTable

WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
SLOPES = np.array([[-0.9, 0.2, 0.6], [0.4, -0.8, 0.3]])


def table(noise=0.0, num_runs=20):
    rng = np.random.default_rng(1)
    losses = 1.5 + np.exp(WEIGHTS @ SLOPES.T) + rng.normal(0, noise, (20, 2)) if noise else None
    if losses is None:
        losses = 1.5 + np.exp(WEIGHTS @ SLOPES.T)
    return RunTable(
        run_ids=tuple(f"r{number:02d}" for number in range(num_runs)),
        domains=("web", "code", "math"),
        eval_domains=("code", "forum"),
        weights=WEIGHTS[:num_runs],
        losses=losses[:num_runs],
    )


def test_every_evaluation_domain_gets_its_own_law():
    laws = fit_laws(table())
    np.testing.assert_allclose(laws.predict(WEIGHTS), table().losses, atol=1e-6)
    assert laws.eval_domains == ("code", "forum")


def test_json_round_trip_keeps_predictions():
    laws = fit_laws(table(0.01))
    text = json.dumps(laws.to_json(), sort_keys=True)
    back = FittedLaws.from_json(json.loads(text))
    np.testing.assert_array_equal(back.predict(WEIGHTS), laws.predict(WEIGHTS))
    assert back.domains == laws.domains


def test_json_with_foreign_laws_or_method_is_refused():
    record = fit_laws(table()).to_json()
    with pytest.raises(ValueError, match="wanted"):
        FittedLaws.from_json({**record, "eval_domains": ["code"]})
    with pytest.raises(ValueError, match="unknown mixing law 'magic'"):
        FittedLaws.from_json({**record, "method": "magic"})
    with pytest.raises(ValueError, match="unknown mixing law"):
        law_family("magic")


def test_bootstrap_spreads_with_noise_and_is_decided_by_its_seed():
    wide, narrow = (bootstrap_laws(table(noise), num_refits=40) for noise in (0.05, 0.005))

    def width(refits):
        low, high = prediction_intervals(refits, WEIGHTS)
        assert (low <= high).all()
        return (high - low).mean()

    assert width(wide) > 3 * width(narrow)
    again = bootstrap_laws(table(0.05), num_refits=40)
    np.testing.assert_array_equal(again[7].predict(WEIGHTS), wide[7].predict(WEIGHTS))
    other = bootstrap_laws(table(0.05), num_refits=40, seed=1)
    assert not np.array_equal(other[7].predict(WEIGHTS), wide[7].predict(WEIGHTS))


def test_draws_with_too_few_different_runs_hear_a_hint_of_the_others(monkeypatch):
    # Six runs, five needed: most draws with replacement hold fewer.
    seen = []
    refit = fitted_laws.refit_laws

    def spy(runs, counts, **options):
        seen.append(counts)
        return refit(runs, counts, **options)

    monkeypatch.setattr(fitted_laws, "refit_laws", spy)
    assert len(bootstrap_laws(table(num_runs=6), num_refits=25)) == 25
    (counts,) = seen
    hinted = (counts == HINT).any(axis=1)
    assert (counts[hinted] > 0).all()
    np.testing.assert_array_equal(counts[hinted][counts[hinted] >= 1] % 1, 0)
    assert ((counts[hinted] >= 1).sum(axis=1) < 5).all()
    assert (counts[~hinted].sum(axis=1) == 6).all()


def test_intervals_of_few_runs_hold_the_law():
    # 24 losses of known laws on nine runs over three domains, the noise of each its own.
    rng = np.random.default_rng(0)
    weights, fresh = rng.dirichlet(np.ones(3), 9), rng.dirichlet(np.ones(3), 100)
    truths = [
        LogLinearLaw(irreducible_loss=2.0, sensitivities=np.roll([-4.0, -0.3, 0.2], turn))
        for turn in range(24)
    ]
    clean, wanted = (
        np.column_stack([law.predict(points) for law in truths]) for points in (weights, fresh)
    )
    runs = RunTable(
        run_ids=tuple("abcdefghi"),
        domains=("x", "y", "z"),
        eval_domains=tuple(f"loss{number}" for number in range(24)),
        weights=weights,
        losses=clean + rng.normal(0, 0.005, clean.shape),
    )
    low, high = prediction_intervals(bootstrap_laws(runs, num_refits=60), fresh)
    assert 0.84 <= ((low <= wanted) & (wanted <= high)).mean() <= 0.97


def test_noise_free_refits_agree():
    low, high = prediction_intervals(bootstrap_laws(table(), num_refits=20), WEIGHTS)
    np.testing.assert_allclose(low, high, atol=1e-5)


def test_intervals_are_quantiles_worked_by_hand():
    refits = [
        FittedLaws(
            method="log_linear",
            domains=("a",),
            eval_domains=("a",),
            laws=(LogLinearLaw(irreducible_loss=float(c), sensitivities=np.zeros(1)),),
        )
        for c in range(11)
    ]
    low, high = prediction_intervals(refits, np.ones((1, 1)), level=0.8)
    # Places 0.1 * 12 and 0.9 * 12 of 1 to 11.
    assert (low[0, 0], high[0, 0]) == (pytest.approx(1.2), pytest.approx(10.8))


def test_intervals_of_a_family_are_widened_by_what_it_says():
    refits = bootstrap_laws(table(0.02), method="additive", num_refits=10)
    fitted = fit_laws(table(0.02), method="additive")
    plain = prediction_intervals(refits, WEIGHTS)
    wide = prediction_intervals(refits, WEIGHTS, fitted=fitted, num_runs=20)
    middle = fitted.predict(WEIGHTS)
    outside = middle - plain[0] > 0
    np.testing.assert_allclose(
        (middle - wide[0])[outside], law_family("additive").widening(20, 3, 2)
        * (middle - plain[0])[outside],
    )  # fmt: skip
    assert (wide[0] <= plain[0]).all()
    assert (wide[1] >= plain[1]).all()
    # Two losses of nine runs over three domains: eight numbers for eighteen losses.
    assert law_family("exponential").widening(9, 3, 2) == pytest.approx((18 / 10) ** 0.5)
    assert law_family("exponential").widening(6, 3, 1) == pytest.approx(2**0.5)
    assert law_family("log_linear").widening(9, 3, 2) == 1


def test_rejects():
    with pytest.raises(ValueError, match="num_refits"):
        bootstrap_laws(table(), num_refits=0)
    with pytest.raises(ValueError, match="more than 5 runs, got 5"):
        bootstrap_laws(table(num_runs=5))
    with pytest.raises(ValueError, match="need refits"):
        prediction_intervals([], WEIGHTS)
    with pytest.raises(ValueError, match="level"):
        prediction_intervals([fit_laws(table())], WEIGHTS, level=1.0)
