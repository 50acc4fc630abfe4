import numpy as np
import pytest

from training.fitted_laws import FittedLaws
from training.law_evidence import Interval
from training.mixing_laws.log_linear import LogLinearLaw
from training.proposal import ProposalConfig
from training.proposal_limits import build_limits
from training.run_table import RunTable
from training.swarm_power import residual_noise, runs_for_width, simulate_width

DOMAINS = ("web", "code", "math")
SLOPES = np.array([[-0.9, 0.2, 0.6], [0.4, -1.4, 0.3], [0.1, 0.4, -0.7]])
LAWS = FittedLaws(
    method="log_linear",
    domains=DOMAINS,
    eval_domains=DOMAINS,
    laws=tuple(LogLinearLaw(irreducible_loss=1.5, sensitivities=row) for row in SLOPES),
)


def test_root_rule_worked_by_hand():
    weights = {
        "web": Interval(value=0.5, low=0.4, high=0.6),
        "code": Interval(value=0.5, low=0.45, high=0.55),
    }
    found = runs_for_width(weights, num_runs=25, wanted_width=0.1)
    assert (found.domain, found.needed_runs) == ("web", 100)
    assert found.width == pytest.approx(0.2)
    assert runs_for_width(weights, num_runs=25, wanted_width=0.9).needed_runs == 9  # 3 (D + 1)
    for runs, width in ((25, 0.0), (25, 1.0), (0, 0.1)):
        with pytest.raises(ValueError, match="width must lie"):
            runs_for_width(weights, num_runs=runs, wanted_width=width)


def test_simulated_intervals_shrink_with_the_root_of_the_runs():
    limits = build_limits(DOMAINS, {"web": 0.5, "code": 0.3, "math": 0.2}, floors={})
    widths = [
        simulate_width(
            LAWS,
            np.full(3, 0.01),
            limits,
            importance=np.full(3, 1 / 3),
            config=ProposalConfig(max_epochs=None, kl=0.01),
            num_runs=num_runs,
            num_swarms=20,
        )
        for num_runs in (12, 40)
    ]
    assert 0 < widths[1] < widths[0]
    # By the root rule 1.8 times narrower, give or take the corners and 20 draws.
    assert 1.1 < widths[0] / widths[1] < 3.5
    with pytest.raises(ValueError, match="at least 20"):
        simulate_width(
            LAWS,
            np.full(3, 0.01),
            limits,
            importance=np.full(3, 1 / 3),
            config=ProposalConfig(max_epochs=None),
            num_runs=16,
            num_swarms=19,
        )


def test_noise_is_that_of_the_residuals():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), size=400)
    losses = LAWS.predict(weights) + rng.normal(size=(400, 3)) * [0.01, 0.02, 0.03]
    table = RunTable(
        run_ids=tuple(str(n) for n in range(400)),
        domains=DOMAINS,
        eval_domains=DOMAINS,
        weights=weights,
        losses=losses,
    )
    np.testing.assert_allclose(residual_noise(LAWS, table), [0.01, 0.02, 0.03], rtol=0.15)
    few = RunTable(
        run_ids=("a",), domains=DOMAINS, eval_domains=DOMAINS, weights=weights[:1],
        losses=losses[:1],
    )  # fmt: skip
    with pytest.raises(ValueError, match="more runs than 1"):
        residual_noise(LAWS, few)
