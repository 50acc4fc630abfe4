import json

import numpy as np
import pytest

from training.scaling_laws.chinchilla import PARAMETERS, ChinchillaLaw
from training.scaling_laws.chinchilla_fit import ScalingFitError
from training.scaling_laws.isoflop import IsoflopFit, NoIsoflopFit, fit_isoflop
from training.scaling_laws.scaling_evidence import gather_scaling_evidence, refit_interval
from training.scaling_laws.scaling_record import read_scaling_record, scaling_record
from training.scaling_runs import ScalingRuns, read_scaling_runs

TRUTH = ChinchillaLaw(A=480.0, B=2000.0, E=1.8, alpha=0.35, beta=0.37)
BUDGETS = np.geomspace(1e18, 1e21, 7)


def generated(noise=0.003, seed=0, outlier=False):
    rng = np.random.default_rng(seed)
    flops = np.repeat(BUDGETS, 9)
    best = np.array([TRUTH.optimal_allocation(budget).params for budget in flops])
    params = best * np.tile(np.geomspace(0.25, 4, 9), len(BUDGETS))
    tokens = flops / 6 / params
    losses = TRUTH.predict(params, tokens) * np.exp(rng.normal(0, noise, len(flops)))
    if outlier:
        losses[8] *= 1.25
    ids = tuple(f"r{n}" for n in range(len(flops)))
    return ScalingRuns(run_ids=ids, params=params, tokens=tokens, losses=losses)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    hits, trials = 0, 0
    for seed in range(8):
        evidence = gather_scaling_evidence(generated(seed=seed), num_refits=100)
        for name, interval in evidence.parameters().items():
            assert interval.low < interval.value < interval.high
            hits += interval.low <= getattr(TRUTH, name) <= interval.high
            trials += 1
    # Nominal 90 %; the parameters of one fit go together, so 8 independent trials at worst.
    assert 0.7 <= hits / trials <= 1


def test_sensitivity_names_the_outlier_and_what_it_changes():
    clean = gather_scaling_evidence(generated(), num_refits=100)
    fouled = gather_scaling_evidence(generated(outlier=True), num_refits=100)
    by_rule = {one.rule: one for one in fouled.omissions}
    assert set(by_rule) == {
        "the 2 highest losses",
        "the 2 worst fitted",
        "the most influential run",
    }
    assert by_rule["the most influential run"].run_ids == ("r8",)
    assert "r8" in by_rule["the 2 worst fitted"].run_ids
    without = by_rule["the most influential run"]
    assert without.law.beta == pytest.approx(clean.fit.law.beta, rel=0.05)
    assert without.objective < fouled.fit.objective
    base = fouled.tokens_per_param()
    assert base.low <= base.value <= base.high


def test_too_few_refits_and_too_few_runs():
    with pytest.raises(ValueError, match="num_refits"):
        gather_scaling_evidence(generated(), num_refits=99)
    with pytest.raises(ValueError, match="level"):
        refit_interval(1.0, [1.0], level=1.0)
    with pytest.raises(ScalingFitError, match=r"determine no law|runs|together"):
        gather_scaling_evidence(generated().take(np.arange(63) % 9 == 0), num_refits=100)


def test_isoflop_agrees_with_the_law_that_made_the_runs():
    found = fit_isoflop(generated(noise=0.001))
    assert isinstance(found, IsoflopFit)
    assert len(found.budgets) == 7
    assert found.exponent.value == pytest.approx(TRUTH.params_exponent, abs=0.02)
    assert found.exponent.low < found.exponent.value < found.exponent.high
    best = TRUTH.optimal_allocation(1e20).params
    assert found.optimal_params(1e20) == pytest.approx(best, rel=0.15)


def test_isoflop_vertex_worked_by_hand():
    sizes = np.exp(np.array([0.0, 1, 2, 3, 4]))
    rows = [(budget, size) for budget in (6e4, 6e6) for size in sizes]
    budgets, params = np.array(rows).T
    losses = np.exp(1 + (np.log(params) - np.where(budgets < 1e5, 1.5, 2.5)) ** 2 / 10)
    runs = ScalingRuns(
        run_ids=tuple(str(n) for n in range(10)),
        params=params,
        tokens=budgets / 6 / params,
        losses=losses,
    )
    found = fit_isoflop(runs, num_resamples=100)
    assert isinstance(found, IsoflopFit)
    np.testing.assert_allclose([b.params for b in found.budgets], np.exp([1.5, 2.5]), rtol=1e-6)
    np.testing.assert_allclose([b.loss_nats for b in found.budgets], np.e, rtol=1e-6)
    assert found.exponent.value == pytest.approx(1 / np.log(100), rel=1e-6)


def test_isoflop_says_why_there_is_none():
    runs = generated()
    one = fit_isoflop(runs.take(np.arange(63) < 9))
    assert isinstance(one, NoIsoflopFit)
    assert "found 1" in one.reason
    few = fit_isoflop(runs.take(np.arange(63) % 3 == 0))
    assert isinstance(few, NoIsoflopFit)
    assert "3 different sizes, needs 4" in few.reason
    with pytest.raises(ValueError, match="width"):
        fit_isoflop(runs, width=0.0)


def test_record_reads_back(tmp_path):
    runs = generated()
    evidence = gather_scaling_evidence(runs, num_refits=100)
    content = scaling_record(evidence, runs, NoIsoflopFit(reason="not asked"))
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps(content, allow_nan=False))
    back = read_scaling_record(path)
    assert back.law == evidence.fit.law
    assert len(back.refits) == 100
    assert back.refits[3].beta == pytest.approx(evidence.refits[3].beta)
    assert back.largest_flops == pytest.approx(1e21)
    for name in PARAMETERS:
        assert content[f"{name}_low"] <= content[name] <= content[f"{name}_high"]
    assert content["isoflop"] == {"absent": "not asked"}
    assert content["run_ids"] == list(runs.run_ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": None}, "A: "),
        ({"alpha": -1.0}, "alpha: "),
        ({"refits": {"A": [1.0]}}, "refits of"),
        ({"refits": {**{name: [1.0] for name in PARAMETERS}, "A": [1.0, 2.0]}}, "different length"),
        ({"level": 2.0}, "level: "),
    ],
)
def test_record_rejects(tmp_path, change, message):
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps({**TRUTH.to_json(), **change}))
    with pytest.raises(ValueError, match=message):
        read_scaling_record(path)


def test_record_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_scaling_record(tmp_path / "nothing.json")
    (tmp_path / "x.json").write_text("po")
    with pytest.raises(ValueError, match="content"):
        read_scaling_record(tmp_path / "x.json")


GOOD = "run_id,params,tokens,loss\na,1e8,1e9,3.0\nb,2e8,1e9,2.9\n"


def test_runs_are_read(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(GOOD.replace("loss", "nats"))
    runs = read_scaling_runs(path, loss="nats")
    assert runs.run_ids == ("a", "b")
    np.testing.assert_allclose(runs.flops, [6e17, 1.2e18])
    path.write_text("params,tokens,loss\n1e8,1e9,3.0\n")
    assert read_scaling_runs(path).run_ids == ("row1",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.replace("2.9", "nan"), r"row 2 \(line 3, run b\), column loss: loss must be finite"),
        (GOOD.replace("2.9", ""), r"row 2 .*, column loss: the loss is missing"),
        (GOOD.replace("2.9", "inf"), "row 2.*got inf"),
        (GOOD.replace("2e8", "-2e8"), "row 2.*column params"),
        (GOOD.replace("2.9", "low"), "row 2 .*, column loss: loss must be a number, got 'low'"),
        (GOOD.replace("b,", "a,"), "rows 1 and 2 .*, column run_id: a occurs twice"),
        (GOOD.replace("2.9", "2e6"), "row 2 .*loss must be at most 1e.06, got 2e.06"),
        (GOOD.replace("2e8", "2e31"), "row 2 .*column params: number must be at most 1e.30"),
        (GOOD.replace("b,", ","), r"row 2 \(line 3\), column run_id: empty"),
        (GOOD.replace("tokens", "length"), r"no column \['tokens'\]"),
        ("", "not a readable CSV"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "runs.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_scaling_runs(path)
    with pytest.raises(ValueError, match="no such file"):
        read_scaling_runs(tmp_path / "other.csv")
