import functools
import itertools
import json

import numpy as np
import pytest

from training.fitted_laws import FittedLaws, bootstrap_laws, fit_laws
from training.mixing_laws.log_linear import LogLinearLaw
from training.proposal import ProposalConfig
from training.proposer import propose
from training.run_table import RunTable

DOMAINS = ("web", "code", "math")
PRIOR = {"web": 0.6, "code": 0.3, "math": 0.1}
SLOPES = np.array([[-0.9, 0.2, 0.6], [0.4, -1.4, 0.3], [0.1, 0.4, -0.7]])
FREE = ProposalConfig(max_epochs=None)


@functools.cache
def laws():
    return FittedLaws(
        method="log_linear",
        domains=DOMAINS,
        eval_domains=DOMAINS,
        laws=tuple(LogLinearLaw(irreducible_loss=1.5, sensitivities=row) for row in SLOPES),
    )


def fitted(seed, noise, signal):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(3, 0.8), size=24)
    losses = laws().predict(weights) if signal else np.full((24, 3), 3.0)
    table = RunTable(
        run_ids=tuple(f"r{number:02d}" for number in range(24)),
        domains=DOMAINS,
        eval_domains=DOMAINS,
        weights=weights,
        losses=losses + rng.normal(0, noise, (24, 3)),
    )
    return fit_laws(table), bootstrap_laws(table, num_refits=30)


def proposal(config=FREE, **changes):
    return propose(
        laws(), **{"prior": PRIOR, "refits": (laws(),) * 20, "config": config, **changes}
    )


def penalised(mixtures, kl, importance=(1 / 3, 1 / 3, 1 / 3)):
    prior = np.array(list(PRIOR.values()))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(mixtures > 0, mixtures * np.log(mixtures / prior), 0.0)
    return laws().predict(mixtures) @ np.array(importance) + kl * terms.sum(axis=1)


def grid(steps=500):
    points = [(i, j, steps - i - j) for i, j in itertools.product(range(steps + 1), repeat=2)]
    return np.array([point for point in points if point[2] >= 0]) / steps


@pytest.mark.parametrize(
    ("kl", "tokens", "objective"),
    [
        (0.0, None, None),
        (0.05, None, None),
        (0.05, {"web": 900.0, "code": 80.0, "math": 60.0}, None),
        (0.01, None, {"web": 0.0, "code": 3.0, "math": 1.0}),
    ],
)
def test_minimum_agrees_with_brute_force_on_three_domains(kl, tokens, objective):
    config = ProposalConfig(kl=kl, max_epochs=4.0 if tokens else None, objective=objective)
    found = proposal(config, available_tokens=tokens, budget_tokens=1000.0 if tokens else None)
    importance = (0.0, 0.75, 0.25) if objective else (1 / 3, 1 / 3, 1 / 3)
    points = grid()
    if tokens:
        caps = np.minimum(1, 4 * np.array(list(tokens.values())) / 1000)
        points = points[(points <= caps + 1e-12).all(axis=1)]
    values = penalised(points, kl, importance)
    point = np.array(list(found.mixture().values()))
    value = penalised(point[None], kl, importance)[0]
    assert values.min() - 1e-4 <= value <= values.min() + 1e-9
    assert np.abs(point - points[values.argmin()]).max() < 5e-3  # half a step, plus flatness
    assert found.gap_nats < 1e-7
    assert sum(found.mixture().values()) == pytest.approx(1.0)


def test_caps_bind_and_are_named():
    found = proposal(
        ProposalConfig(),
        available_tokens={"web": 900.0, "code": 80.0, "math": 20.0},
        budget_tokens=1000.0,
    )
    assert found.active_caps == ("code", "math")
    assert found.mixture() == pytest.approx({"web": 0.6, "code": 0.32, "math": 0.08}, abs=1e-5)


def test_floors_bind_and_are_named():
    found = proposal(ProposalConfig(max_epochs=None, floors={"web": 0.7}))
    assert found.active_floors == ("web",)
    assert found.mixture()["web"] == pytest.approx(0.7, abs=1e-6)


def test_a_huge_price_keeps_the_prior():
    found = proposal(ProposalConfig(max_epochs=None, kl=1e4))
    assert found.mixture() == pytest.approx(PRIOR, abs=1e-3)
    assert found.divergence_nats < 1e-6


def test_only_the_ratio_of_objective_weights_matters():
    first, second = (
        proposal(ProposalConfig(max_epochs=None, objective=dict.fromkeys(DOMAINS, weight)))
        for weight in (1.0, 7.0)
    )
    assert first.mixture() == pytest.approx(second.mixture(), abs=1e-9)
    assert first.mixture() == pytest.approx(proposal().mixture(), abs=1e-9)


def test_prior_zero_forbids_a_domain():
    found = proposal(prior={"web": 0.6, "code": 0.4, "math": 0.0})
    assert found.mixture()["math"] == 0.0
    assert found.active_caps == ()


def test_figures_of_the_proposal_are_those_of_the_laws():
    found = proposal()
    point = np.array(list(found.mixture().values()))
    prior = np.array(list(PRIOR.values()))
    losses = laws().predict(np.vstack([point, prior]))
    assert found.predicted_nats["code"].value == pytest.approx(losses[0, 1])
    assert found.gain_nats.value == pytest.approx(losses[1].mean() - losses[0].mean())
    assert found.divergence_nats == pytest.approx((point * np.log(point / prior)).sum())
    # Refits that equal the law leave no doubt.
    assert found.gain_nats.low == pytest.approx(found.gain_nats.value)
    assert found.significant


def test_real_gains_are_significant_and_intervals_cover_the_truth():
    prior = np.array(list(PRIOR.values()))
    covered, significant = 0, 0
    for seed in range(12):
        fit, refits = fitted(seed, noise=0.01, signal=True)
        found = propose(fit, PRIOR, refits=refits, config=FREE)
        point = np.array(list(found.mixture().values()))
        before, after = laws().predict(np.vstack([prior, point])).mean(axis=1)
        covered += found.gain_nats.low <= before - after <= found.gain_nats.high
        significant += found.significant
        assert all(share.low <= share.high for share in found.weights.values())
    # Nominal 90 %; with 30 refits 80 % is fair, and then fewer than 6 of 12 has chance 0.4 %.
    assert covered >= 6
    assert significant >= 10


def test_gains_out_of_noise_are_rarely_significant():
    verdicts = []
    for seed in range(12):
        fit, refits = fitted(seed, noise=0.05, signal=False)
        found = propose(fit, PRIOR, refits=refits, config=FREE)
        assert found.gain_nats.value > 0  # a minimum always promises something
        verdicts.append(found.significant)
    # Nominal 5 %: more than 3 of 12 has chance 0.2 %.
    assert sum(verdicts) <= 3


def test_proposal_is_json():
    record = json.loads(json.dumps(proposal().to_json(), allow_nan=False))
    assert record["weights"]["web"]["value"] == proposal().mixture()["web"]


def test_infeasible_caps_name_the_largest_feasible_budget():
    with pytest.raises(ValueError, match=r"web 0\.4000.*feasible budget is 520 tokens"):
        proposal(
            ProposalConfig(),
            available_tokens={"web": 100.0, "code": 20.0, "math": 10.0},
            budget_tokens=1000.0,
        )


def test_tokens_of_a_forbidden_domain_do_not_count():
    with pytest.raises(ValueError, match="feasible budget is 480 tokens"):
        proposal(
            ProposalConfig(),
            prior={"web": 0.6, "code": 0.4, "math": 0.0},
            available_tokens={"web": 100.0, "code": 20.0, "math": 1e9},
            budget_tokens=1000.0,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": {"web": 1.0}}, "prior names"),
        ({"prior": {"web": 0.6, "code": 0.3, "math": 0.3}}, "prior must sum to 1"),
        ({"refits": ()}, "at least 20 refits"),
        ({"config": ProposalConfig()}, "need available_tokens and budget_tokens"),
        ({"config": ProposalConfig(max_epochs=None, floors={"po": 0.1})}, "unknown domains"),
        ({"config": ProposalConfig(max_epochs=None, floors={"web": 1.5})}, "lie in"),
        (
            {"config": ProposalConfig(max_epochs=None, floors={"web": 0.7, "code": 0.7})},
            "floors sum to 1.4",
        ),
        ({"config": ProposalConfig(max_epochs=None, objective={"web": 1.0})}, "objective names"),
        (
            {"config": ProposalConfig(max_epochs=None, objective=dict.fromkeys(DOMAINS, 0.0))},
            "sum > 0",
        ),
        (
            {
                "config": ProposalConfig(floors={"math": 0.5}),
                "available_tokens": {"web": 1e3, "code": 1e3, "math": 100.0},
                "budget_tokens": 1000.0,
            },
            "floor 0.5 of math is above its cap 0.4",
        ),
        (
            {
                "config": ProposalConfig(),
                "available_tokens": {"web": 1e3},
                "budget_tokens": 1000.0,
            },
            "available_tokens names",
        ),
    ],
)
def test_rejects(changes, message):
    with pytest.raises(ValueError, match=message):
        proposal(**changes)


def test_unknown_option_is_refused():
    with pytest.raises(ValueError, match="klx"):
        ProposalConfig(klx=0.1)
    with pytest.raises(ValueError, match="kl"):
        ProposalConfig(kl=-1.0)


def test_refits_of_other_domains_are_refused():
    turned = FittedLaws(
        method="log_linear",
        domains=DOMAINS[::-1],
        eval_domains=DOMAINS,
        laws=laws().laws,
    )
    with pytest.raises(ValueError, match="share domains"):
        proposal(refits=(turned,) * 20)
