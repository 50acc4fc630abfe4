import dataclasses
import functools
import json

import numpy as np
import pytest

from training.law_evidence import gather_evidence
from training.law_gate import LawGateConfig, judge_law, nearest_distances
from training.run_table import RunTable
from training.swarm import SwarmConfig, design_swarm

DOMAINS = ("web", "code", "math", "law", "talk", "books", "po")
NATURAL = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05])
SWARM = design_swarm(DOMAINS, NATURAL, SwarmConfig())


@functools.cache
def evidence(kind):
    rng = np.random.default_rng(11)
    if kind == "law":
        slopes = rng.normal(0.2, 0.15, (7, 7)) - np.eye(7)
        losses = 2 + np.exp(SWARM.weights @ slopes.T) + rng.normal(0, 0.01, (24, 7))
    elif kind == "noise":
        losses = 4 + rng.normal(0, 0.05, (24, 7))
    else:  # a straight line in each domain's own share: nothing is left for a law to add
        losses = 4 - np.linspace(0.2, 2, 7) * SWARM.weights + rng.normal(0, 0.05, (24, 7))
    return gather_evidence(
        RunTable(
            run_ids=SWARM.run_ids,
            domains=DOMAINS,
            eval_domains=DOMAINS,
            weights=SWARM.weights,
            losses=losses,
        )
    )


def failed(verdict):
    return {row.name.split(",")[0] for row in verdict.rows if not row.passed}


def test_a_true_law_passes():
    verdict = judge_law(evidence("law"), proposal=dict(zip(DOMAINS, NATURAL, strict=True)))
    assert failed(verdict) == set()
    assert verdict.passed
    assert len(verdict.rows) == 7


def test_noise_is_blocked_on_every_side():
    verdict = judge_law(evidence("noise"))
    assert not verdict.passed
    assert {"held-out Spearman", "error minus best trivial predictor"} <= failed(verdict)


def test_a_law_that_only_repeats_own_share_is_blocked_for_adding_nothing():
    # Its rank may be fine: only the comparison with the trivial rule tells.
    lenient = LawGateConfig(min_spearman=-1, max_regret_share=1)
    verdict = judge_law(evidence("own"), lenient)
    assert not verdict.passed
    assert "error minus best trivial predictor" in failed(verdict)
    assert evidence("own").average.best_by_error in {"own_share", "linear"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"min_runs_per_parameter": 3.5}, "admitted runs"),
        ({"min_spearman": 1.0}, "held-out Spearman"),
        ({"max_error_difference_nats": -1.0}, "error minus best trivial predictor"),
    ],
)
def test_each_threshold_blocks_alone(change, name):
    assert failed(judge_law(evidence("law"), LawGateConfig(**change))) == {name}


def test_regret_and_rank_behind_the_trivial_rule_block():
    good = evidence("law")
    poor = dataclasses.replace(
        good.average,
        law=dataclasses.replace(good.average.law, regret_nats=0.5 * good.average.spread_nats),
        rank_difference=dataclasses.replace(good.average.rank_difference, high=-0.01),
    )
    verdict = judge_law(dataclasses.replace(good, average=poor))
    assert failed(verdict) == {"regret over spread", "Spearman minus best trivial predictor"}


def test_a_smaller_error_is_not_enough_while_its_interval_reaches_zero():
    good = evidence("law")
    unsure = dataclasses.replace(good.average.error_difference, value=-0.01, high=0.002)
    average = dataclasses.replace(good.average, error_difference=unsure)
    verdict = judge_law(dataclasses.replace(good, average=average))
    assert failed(verdict) == {"error minus best trivial predictor"}


def test_unknown_is_a_failure_not_a_pass():
    good = evidence("law")
    blind = dataclasses.replace(
        good.average,
        law=dataclasses.replace(good.average.law, spearman=None, regret_nats=None),
        rank_difference=None,
    )
    verdict = judge_law(dataclasses.replace(good, average=blind))
    assert failed(verdict) == {
        "held-out Spearman",
        "Spearman minus best trivial predictor",
        "regret over spread",
    }


def test_a_proposal_far_from_the_runs_is_blocked():
    weights = np.vstack([np.full((1, 7), 1 / 7), NATURAL])
    near = dataclasses.replace(evidence("law").table, weights=weights, run_ids=("a", "b"))
    corner = {domain: float(domain == "po") for domain in DOMAINS}
    verdict = judge_law(dataclasses.replace(evidence("law"), table=near), proposal=corner)
    assert {
        "distance of the proposal from the hull of the runs",
        "distance of the proposal from the nearest run",
    } <= failed(verdict)


def test_repeats_are_no_neighbours():
    runs = np.array([[1.0, 0.0], [1.0, 0.0], [0.4, 0.6]])
    np.testing.assert_allclose(nearest_distances(runs), [0.6, 0.6, 0.6])


def test_verdict_is_json():
    record = json.loads(json.dumps(judge_law(evidence("law")).to_json(), allow_nan=False))
    assert record["passed"] is True
    assert record["rows"][0]["observed"] == 24.0


def test_rejects():
    with pytest.raises(ValueError, match="proposal names"):
        judge_law(evidence("law"), proposal={"web": 1.0})
    with pytest.raises(ValueError, match="proposal must sum to 1"):
        judge_law(evidence("law"), proposal=dict.fromkeys(DOMAINS, 0.5))
    with pytest.raises(ValueError, match="min_spermann"):
        LawGateConfig(min_spermann=0.1)
