import functools
import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from training.fitted_laws import fit_laws
from training.folds import assign_folds
from training.law_evidence import EvidenceConfig, gather_evidence, spearman
from training.run_table import RunTable

DOMAINS = ("web", "code", "math")
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(3, 0.7), size=20)
SLOPES = np.array([[-0.9, 0.2, 0.6], [0.4, -1.4, 0.3], [0.1, 0.4, -0.7]])


def table(losses=None, weights=WEIGHTS, eval_domains=DOMAINS):
    if losses is None:
        noise = np.random.default_rng(1).normal(0, 0.005, (20, 3))
        losses = 1.5 + np.exp(WEIGHTS @ SLOPES.T) + noise
    return RunTable(
        run_ids=tuple(f"r{number:02d}" for number in range(len(weights))),
        domains=DOMAINS,
        eval_domains=eval_domains,
        weights=weights,
        losses=losses,
    )


@functools.cache
def good_evidence():
    return gather_evidence(table())


def test_a_run_is_predicted_by_a_law_that_did_not_see_it():
    runs = table()
    evidence = good_evidence()
    assert evidence.num_folds == 20
    kept = np.arange(20) != 4
    alone = fit_laws(
        RunTable(
            run_ids=tuple(np.array(runs.run_ids)[kept]),
            domains=DOMAINS,
            eval_domains=DOMAINS,
            weights=WEIGHTS[kept],
            losses=runs.losses[kept],
        )
    )
    np.testing.assert_allclose(evidence.predicted[4], alone.predict(WEIGHTS[4:5])[0], atol=1e-6)


def test_what_a_run_measured_does_not_touch_its_own_prediction():
    runs = table()
    spoiled = runs.losses.copy()
    spoiled[4] += 0.3
    before, after = good_evidence(), gather_evidence(table(spoiled))
    np.testing.assert_allclose(after.predicted[4], before.predicted[4], atol=1e-9)
    assert np.abs(after.predicted - before.predicted).max() > 1e-4


def test_scores_are_those_of_the_held_out_predictions():
    runs = table()
    evidence = good_evidence()
    code, observed = evidence.per_domain["code"], runs.losses[:, 1]
    predicted = evidence.predicted[:, 1]
    assert code.law.spearman == pytest.approx(spearmanr(predicted, observed).statistic)
    assert code.law.mae_nats == pytest.approx(np.abs(predicted - observed).mean())
    assert code.law.regret_nats == observed[predicted.argmin()] - observed.min()
    own = code.baselines["own_share"].spearman
    assert own == pytest.approx(spearmanr(-WEIGHTS[:, 1], observed).statistic)
    assert code.baselines["mean"].spearman is None
    assert code.baselines["mean"].regret_nats is None
    others = (observed.sum() - observed) / 19
    assert code.baselines["mean"].mae_nats == pytest.approx(np.abs(others - observed).mean())
    assert code.spread_nats == pytest.approx(observed.max() - observed.min())


def test_the_average_objective_is_the_mean_of_predictions():
    evidence = good_evidence()
    error = np.abs(evidence.predicted.mean(axis=1) - table().losses.mean(axis=1)).mean()
    assert evidence.average.law.mae_nats == pytest.approx(error)


def test_law_beats_trivial_predictors_where_it_is_true():
    difference = good_evidence().average.error_difference
    assert difference.low <= difference.value <= difference.high < 0


def test_repeats_of_a_mixture_leave_together():
    doubled = np.vstack([WEIGHTS, WEIGHTS])
    folds = assign_folds(doubled, num_folds=None, seed=0)
    np.testing.assert_array_equal(folds[:20], folds[20:])
    assert sorted(set(folds.tolist())) == list(range(20))
    many = np.random.default_rng(2).dirichlet(np.ones(3), size=100)
    assert np.bincount(assign_folds(many, num_folds=None, seed=0)).tolist() == [10] * 10


def test_an_evaluation_domain_outside_the_training_set_has_no_own_share():
    evidence = gather_evidence(table(eval_domains=("web", "code", "forum")))
    assert "own_share" not in evidence.per_domain["forum"].baselines
    assert "own_share" in evidence.per_domain["web"].baselines
    assert "own_share" not in evidence.average.baselines


def test_spearman_of_ties_and_constants():
    first = np.array([[1.0, 2.0, 2.0, 4.0], [5.0, 5.0, 5.0, 5.0]])
    second = np.array([[1.0, 3.0, 2.0, 9.0], [1.0, 2.0, 3.0, 4.0]])
    result = spearman(first, second)
    assert result[0] == pytest.approx(spearmanr(first[0], second[0]).statistic)
    assert np.isnan(result[1])


def test_files():
    evidence = good_evidence()
    record = json.loads(json.dumps(evidence.to_json(), allow_nan=False))
    assert record["num_runs"] == 20
    frame = evidence.predictions()
    row = frame.row(7, named=True)
    assert (row["run_id"], row["eval_domain"]) == ("r02", "code")
    assert row["observed_nats"] == table().losses[2, 1]
    assert row["predicted_nats"] == evidence.predicted[2, 1]


def test_same_seed_same_evidence():
    assert gather_evidence(table()).to_json() == good_evidence().to_json()


def test_rejects():
    few = table(table().losses[:5], WEIGHTS[:5])
    with pytest.raises(ValueError, match="needs 5 runs beside each"):
        gather_evidence(few)
    constant = table().losses.copy()
    constant[:, 1] = 2.0
    with pytest.raises(ValueError, match=r"held-out loss of code is 2\.0 in every run"):
        gather_evidence(table(constant))
    with pytest.raises(ValueError, match="unknown mixing law"):
        gather_evidence(table(), method="magic")
    with pytest.raises(ValueError, match="num_resamples"):
        EvidenceConfig(num_resamples=3)
