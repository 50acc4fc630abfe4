"""The region that runs cover, and proposals that are kept inside it."""

import functools
import itertools

import numpy as np
import pytest

from training.fitted_laws import FittedLaws
from training.mixing_laws.log_linear import LogLinearLaw
from training.mixture_reuse import MixtureReuse
from training.proposal import ProposalConfig
from training.proposer import propose
from training.run_region import MARGIN, RunRegion, hull_distance

DOMAINS = ("web", "code", "math")
PRIOR = {"web": 0.6, "code": 0.3, "math": 0.1}
SLOPES = np.array([[-0.9, 0.2, 0.6], [0.4, -1.4, 0.3], [0.1, 0.4, -0.7]])
TRIANGLE = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.65, 0.3, 0.05]])


def laws(shift=0.0):
    rows = SLOPES + shift
    return FittedLaws(
        method="log_linear",
        domains=DOMAINS,
        eval_domains=DOMAINS,
        laws=tuple(LogLinearLaw(irreducible_loss=1.5, sensitivities=row) for row in rows),
    )


@functools.cache
def refits():
    rng = np.random.default_rng(0)
    return tuple(laws(rng.normal(0, 0.1, (3, 3))) for _ in range(20))


def proposal(within, runs=TRIANGLE, **changes):
    settings = {"kl": 0.01, "max_epochs": None, "num_candidates": 1000, **changes.pop("config", {})}
    return propose(
        laws(),
        PRIOR,
        refits=refits(),
        config=ProposalConfig(within_runs=within, **settings),
        run_weights=runs,
        **changes,
    )


def share(found):
    return np.array(list(found.mixture().values()))


def penalised(points):
    shares = np.array(list(PRIOR.values()))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(points > 0, points * np.log(points / shares), 0.0).sum(axis=1)
    return laws().predict(points).mean(axis=1) + 0.01 * terms


def grid(steps):
    points = [(i, j, steps - i - j) for i, j in itertools.product(range(steps + 1), repeat=2)]
    return np.array([point for point in points if point[2] >= 0]) / steps


def test_hull_distance_worked_by_hand():
    runs = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert hull_distance(runs, np.array([0.3, 0.7, 0.0])) == pytest.approx(0, abs=1e-9)
    assert hull_distance(runs, np.array([0.3, 0.5, 0.2])) == pytest.approx(0.2)
    assert hull_distance(runs, np.array([0.0, 0.0, 1.0])) == pytest.approx(1.0)


def test_a_halfspace_holds_for_the_whole_region_and_excludes_the_point():
    rng = np.random.default_rng(1)
    runs = rng.dirichlet(np.ones(5), size=12)
    region = RunRegion(weights=runs, limit=0.03)
    outside = rng.dirichlet(0.3 * np.ones(5), size=30)
    for point in outside:
        if region.admits(point):
            assert hull_distance(runs, point) <= 0.03
            continue
        normal, bound = region.cuts[-1]
        assert normal @ point > bound
        # Corners of the region: runs moved by .03 from one domain to another.
        moves = np.array([a - b for a, b in itertools.permutations(np.eye(5), 2)])
        corners = (runs[:, None] + (0.03 - MARGIN) * moves[None]).reshape(-1, 5)
        assert (corners @ normal).max() <= bound + 1e-12
    assert len(region.cuts) > 5


def test_the_nearest_mixture_of_a_box():
    region = RunRegion(weights=np.array([[0.2, 0.8], [0.6, 0.4]]), limit=0.0)
    low, high = np.array([0.75, 0.0]), np.ones(2)
    distance, point = region.nearest(np.eye(2), low, high)
    assert distance == pytest.approx(0.15)
    np.testing.assert_allclose(point, [0.75, 0.25])
    assert region.nearest(np.eye(2), np.zeros(2), high)[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("within", "expected"), [(0.0, 0.6), (0.1, 0.7), (1.0, 1.0)])
@pytest.mark.parametrize("solver", ["certified", "candidates"])
def test_two_domains_worked_by_hand(solver, within, expected):
    # The loss only falls with the first share, and the runs end at .6.
    pair = ("web", "code")
    falling = FittedLaws(
        method="log_linear",
        domains=pair,
        eval_domains=("web",),
        laws=(LogLinearLaw(irreducible_loss=1.0, sensitivities=np.array([-1.0, 0.0])),),
    )
    found = propose(
        falling,
        dict.fromkeys(pair, 0.5),
        refits=(falling,) * 20,
        config=ProposalConfig(
            kl=0.0, max_epochs=None, within_runs=within, solver=solver, num_candidates=1000
        ),
        run_weights=np.array([[0.3, 0.7], [0.6, 0.4], [0.4, 0.6]]),
    )
    assert found.mixture()["web"] == pytest.approx(expected, abs=1e-4)
    assert found.weights["web"].high == pytest.approx(expected, abs=1e-2)
    assert found.held_by_runs == (within < 1)


@pytest.mark.parametrize("solver", ["certified", "candidates"])
def test_a_proposal_that_would_leave_the_hull_lands_on_it(solver):
    free = share(proposal(None))
    assert hull_distance(TRIANGLE, free) > 0.05
    found = proposal(0.0, config={"solver": solver})
    assert hull_distance(TRIANGLE, share(found)) <= 2.1 * MARGIN
    blends = grid(300) @ TRIANGLE
    best = penalised(blends).min()
    reached = penalised(share(found)[None])[0]
    assert best - 2e-5 <= reached <= best + (1e-5 if solver == "certified" else 1e-3)
    assert found.held_by_runs
    assert (found.gap_nats is None) == (solver == "candidates")
    if found.gap_nats is not None:
        assert found.gap_nats <= 1e-7
    # Refits propose within the same region: so does their interval, up to corners of its box.
    assert found.weights["web"].low >= 0.5 - 1e-5


@pytest.mark.parametrize("within", [0.02, 0.05])
def test_the_distance_of_the_gate_is_kept_to_the_last_digit(within):
    found = proposal(within)
    point = share(found)
    assert within - 1e-4 < hull_distance(TRIANGLE, point) <= within
    points = grid(24)
    near = np.array([hull_distance(TRIANGLE, p) <= within for p in points])
    assert penalised(point[None])[0] <= penalised(points[near]).min() + 1e-6


def test_a_proposal_inside_is_left_alone():
    corners = np.eye(3)
    held, free = proposal(0.0, corners), proposal(None)
    np.testing.assert_allclose(share(held), share(free), atol=1e-6)
    assert not held.held_by_runs


def test_runs_that_all_lack_a_domain_leave_it_out():
    flat = np.array([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0.5, 0.5, 0.0]])
    found = proposal(0.0, flat)
    assert found.mixture()["math"] <= 3 * MARGIN
    line = np.linspace(0.4, 0.7, 3001)[:, None]
    points = np.hstack([line, 1 - line, 0 * line])
    best = points[penalised(points).argmin()]
    np.testing.assert_allclose(share(found), best, atol=2e-3)


def test_a_single_run_is_the_proposal():
    found = proposal(0.0, TRIANGLE[:1])
    np.testing.assert_allclose(share(found), TRIANGLE[0], atol=5e-6)


def test_harm_caps_and_reuse_hold_within_the_region():
    tokens = {"web": 1000.0, "code": 1000.0, "math": 14.0}
    found = proposal(
        0.05,
        config={"max_epochs": 4.0, "do_no_harm": {"web": 0.0}},
        available_tokens=tokens,
        budget_tokens=500.0,
    )
    assert hull_distance(TRIANGLE, share(found)) <= 0.05
    assert found.mixture()["math"] <= 4 * 14 / 500
    assert found.change_nats["web"].value <= 1.1e-5
    reuse = MixtureReuse(weights={"web": 0.5, "code": 0.25}, changed=("math",))
    kept = proposal(0.05, reuse=reuse)
    assert hull_distance(TRIANGLE, share(kept)) <= 0.05
    assert kept.mixture()["web"] == pytest.approx(2 * kept.mixture()["code"])


def test_harm_that_the_region_forces_is_told_with_it():
    prior = {"web": 0.2, "code": 0.6, "math": 0.2}
    config = ProposalConfig(max_epochs=None, within_runs=0.0, do_no_harm={"code": 0.0})
    wanted = "within floors, caps and reach of the runs no mixture keeps .* for code by"
    with pytest.raises(ValueError, match=wanted):
        propose(laws(), prior, refits=refits(), config=config, run_weights=TRIANGLE)


def test_many_domains_and_runs_are_certified_inside():
    rng = np.random.default_rng(3)
    runs = rng.dirichlet(4 * np.ones(8), size=40)
    names = tuple(f"d{i}" for i in range(8))
    wide = FittedLaws(
        method="log_linear",
        domains=names,
        eval_domains=names,
        laws=tuple(
            LogLinearLaw(irreducible_loss=1.5, sensitivities=row)
            for row in rng.normal(0, 0.6, (8, 8)) - 0.4 * np.eye(8)
        ),
    )
    found = propose(
        wide,
        dict.fromkeys(names, 1 / 8),
        refits=(wide,) * 20,
        config=ProposalConfig(kl=0.0, max_epochs=None, within_runs=0.0),
        run_weights=runs,
    )
    assert found.held_by_runs
    assert found.gap_nats <= 1e-7
    assert hull_distance(runs, share(found)) <= 2.1 * MARGIN
    blends = rng.dirichlet(0.05 * np.ones(40), size=20_000) @ runs
    loss = wide.predict(share(found)[None]).mean()
    assert loss <= min(wide.predict(blends).mean(axis=1).min(), wide.predict(runs).mean(1).min())


def test_caps_that_keep_away_from_the_runs_name_the_distance_and_the_budget():
    tokens = {"web": 50.0, "code": 1000.0, "math": 1000.0}
    limited = {"config": {"max_epochs": 4.0}, "available_tokens": tokens}
    # web <= 200 / 500 = .4, the runs have .5 and more: .1 away.
    wanted = r"at least 0\.1 from the hull.*largest feasible budget is 408\.\d+ tokens, got 500"
    with pytest.raises(ValueError, match=wanted):
        proposal(0.01, budget_tokens=500.0, **limited)
    assert proposal(0.01, budget_tokens=407.0, **limited).mixture()["web"] >= 0.49 - 1e-6
    with pytest.raises(ValueError, match="raise within_runs, lower a floor or add runs there"):
        proposal(0.0, config={"floors": {"math": 0.5}})


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (None, "needs the mixtures of the runs"),
        (np.ones((2, 3)), "sum to 1"),
        (np.full((2, 2), 0.5), "runs with 2 domains for 3"),
        (np.full(3, 1 / 3), r"shape \(N, D\)"),
    ],
)
def test_rejects(runs, message):
    with pytest.raises(ValueError, match=message):
        proposal(0.1, runs)


def test_a_limit_out_of_range_is_refused():
    with pytest.raises(ValueError, match="within_runs must lie in"):
        RunRegion(weights=TRIANGLE, limit=1.5)
