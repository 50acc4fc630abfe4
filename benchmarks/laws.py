"""Law fits beside a plain search from many random starts, on the same losses and objective.

The peer is what published code does: L-BFGS from 300 starts (10 values of log c from -2 to 1.5,
30 random t each), at most 100 steps each, with the objective scaled by 1000, so that it does not
stop at once. It keeps the best of the starts. Published code uses the optimiser of torch with its
automatic derivatives; SciPy with analytic ones is the stronger rival, and stands beside it. The
comparison holds only where our objective is no higher: that is asserted.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import minimize

from benchmarks.comparison import Comparison, Family, Inputs, by_turns
from training.arrays import Floats
from training.mixing_laws.log_linear import LogLinearLaw, fit_log_linear
from training.robust_fit import HUBER_NATS, huber_loss

LOG_CONSTANTS = np.linspace(-2, 1.5, 10)
STARTS_EACH = 30
STEPS = 100
SCALE = 1e3
TURNS = 3
PUBLISHED_RUNS = "regmix_pile17.csv"
NO_REFERENCE = "Published runs were not measured: give --reference FOLDER."


def measure(inputs: Inputs) -> Family:
    """Measure the family for `make bench`."""
    return Family(rows=compare(inputs.reference), notes=[] if inputs.reference else [NO_REFERENCE])


def compare(reference: Path | None) -> list[Comparison]:
    """Fits of generated losses, and of published ones if their folder is given."""
    rng = np.random.default_rng(0)
    comparisons = []
    for num_domains, num_runs in ((3, 24), (8, 24), (17, 512)):
        weights = rng.dirichlet(np.full(num_domains, 0.5), size=num_runs)
        truth = LogLinearLaw(irreducible_loss=2.0, sensitivities=rng.normal(-1, 2, num_domains))
        losses = truth.predict(weights) + rng.normal(0, 0.02, num_runs)
        comparisons += _compare(
            f"generated, {num_domains} domains, {num_runs} runs", weights, losses
        )
    if reference is not None:
        table = pl.read_csv(reference / PUBLISHED_RUNS).filter(pl.col("split") == "train")
        weights = table.select(pl.col("^p_.*$")).to_numpy().astype(float)
        weights /= weights.sum(axis=1, keepdims=True)
        losses = table["loss_pile_cc"].to_numpy()
        comparisons += _compare("published, 17 domains, 512 runs, Pile-CC", weights, losses)
    return comparisons


def _compare(name: str, weights: Floats, losses: Floats) -> list[Comparison]:
    kept: dict[str, float] = {}

    def ours() -> None:
        law = fit_log_linear(weights, losses)
        kept["ours"] = float(huber_loss(law.predict(weights) - losses, HUBER_NATS).sum())

    def beside(peer: str, search: Callable[[Floats, Floats], float]) -> Comparison:
        def theirs() -> None:
            kept["theirs"] = search(weights, losses)

        ours_seconds, theirs_seconds = by_turns(ours, theirs, turns=TURNS)
        assert kept["ours"] <= kept["theirs"] * (1 + 1e-6), f"{name}: a higher objective, {kept}"
        return Comparison(
            step=f"log-linear law, {name}; objective {kept['ours']:.5g} against "
            f"{kept['theirs']:.5g}",
            peer=f"{peer} L-BFGS, {len(LOG_CONSTANTS) * STARTS_EACH} starts",
            unit="fits/s",
            amount=1.0,
            ours=ours_seconds,
            theirs=theirs_seconds,
        )

    return [beside("SciPy", many_starts), beside("torch", many_starts_of_torch)]


def many_starts(weights: Floats, losses: Floats) -> float:
    """Lowest Huber loss that L-BFGS finds from the random starts."""
    function = _objective(weights, losses)
    found = [
        minimize(function, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
        for start in _random_starts(weights.shape[1])
    ]
    return min(float(one.fun) for one in found) / SCALE


def many_starts_of_torch(weights: Floats, losses: Floats) -> float:
    """Lowest Huber loss that the L-BFGS of torch finds from the same starts."""
    import torch

    shares, observed = torch.from_numpy(weights), torch.from_numpy(losses)
    huber = torch.nn.HuberLoss(reduction="sum", delta=HUBER_NATS)
    best = np.inf
    for start in _random_starts(weights.shape[1]):
        params = torch.from_numpy(start).requires_grad_()
        search = torch.optim.LBFGS(
            [params], max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe"
        )

        def closure(
            params: torch.Tensor = params, search: torch.optim.LBFGS = search
        ) -> torch.Tensor:
            search.zero_grad()
            predicted = params[0].exp() + (shares @ params[1:]).exp()
            value: torch.Tensor = SCALE * huber(predicted, observed)
            value.backward()
            return value

        search.step(closure)
        value = float(closure().detach()) / SCALE
        best = min(best, value) if np.isfinite(value) else best
    return best


def _random_starts(num_domains: int) -> list[Floats]:
    rng = np.random.default_rng(0)
    return [
        np.r_[log_constant, rng.normal(0, 1, num_domains)]
        for log_constant in LOG_CONSTANTS
        for _ in range(STARTS_EACH)
    ]


def _objective(weights: Floats, losses: Floats) -> Callable[[Floats], tuple[float, Floats]]:
    def function(params: Floats) -> tuple[float, Floats]:
        # The line search tries steps that leave the numbers; they are rejected.
        with np.errstate(over="ignore"):
            constant = np.exp(params[0])
            curve = np.exp(np.minimum(weights @ params[1:], 50.0))
            residuals = constant + curve - losses
            slope = np.clip(residuals, -HUBER_NATS, HUBER_NATS)
            value = SCALE * float(huber_loss(residuals, HUBER_NATS).sum())
            gradient = SCALE * np.r_[slope.sum() * constant, weights.T @ (slope * curve)]
        return value, gradient

    return function
