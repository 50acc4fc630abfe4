"""How often the 90 % intervals of the expected loss hold the law that made the losses.

Laws are drawn at random from their own family, one steep domain for each loss, and asked at
Dirichlet mixtures with noise; the intervals are those of `mixwright predict`. In the uneven
settings noise grows tenfold and more from the middle of the simplex to its corners, with and
without repeats that show it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.known_bar import Bar
from training.arrays import Floats
from training.fitted_laws import bootstrap_laws, fit_laws, prediction_intervals
from training.mixing_laws.additive import AdditiveLaw
from training.mixing_laws.exponential import ExponentialLaw
from training.mixing_laws.interface import Law
from training.mixing_laws.log_linear import LogLinearLaw
from training.run_noise import run_importance
from training.run_table import RunTable

NUM_LOSSES = 3
NUM_REFITS = 100
NOISE_NATS = 0.005
LOWEST, HIGHEST = 0.86, 0.94


@dataclass(frozen=True, kw_only=True, slots=True)
class _Setting:
    method: str
    num_domains: int
    num_runs: int
    draws: int
    uneven: bool = False
    num_repeats: int = 0

    @property
    def name(self) -> str:
        noise = ", uneven noise" if self.uneven else ""
        repeats = f", {self.num_repeats} repeats" if self.num_repeats else ""
        return f"{self.num_domains} domains, {self.num_runs} runs{noise}{repeats}"


SETTINGS = (
    _Setting(method="log_linear", num_domains=3, num_runs=9, draws=40),
    _Setting(method="log_linear", num_domains=9, num_runs=50, draws=24),
    _Setting(method="log_linear", num_domains=9, num_runs=50, draws=24, uneven=True),
    _Setting(
        method="log_linear", num_domains=9, num_runs=60, draws=24, uneven=True, num_repeats=20
    ),
    _Setting(method="exponential", num_domains=3, num_runs=9, draws=12),
    _Setting(method="exponential", num_domains=9, num_runs=50, draws=12),
    _Setting(method="additive", num_domains=3, num_runs=9, draws=8),
    _Setting(method="additive", num_domains=9, num_runs=50, draws=8),
)


def intervals(_: Path) -> list[Bar]:
    """Coverage in each setting; the laws are generated, so no folder is read."""
    bars = []
    for setting in SETTINGS:
        held = [_held(setting, seed) for seed in range(setting.draws)]
        error = float(np.std(held) / np.sqrt(len(held)))
        for limit, at_least in ((LOWEST, True), (HIGHEST, False)):
            bars.append(
                Bar(
                    runs=f"generated laws, {setting.name}",
                    what=f"{setting.method}, share of the law inside 90 % intervals",
                    limit=limit,
                    measured=float(np.mean(held)),
                    at_least=at_least,
                    note=f"standard error {error:.3f}, {len(held)} draws",
                )
            )
    return bars


def _held(setting: _Setting, seed: int) -> float:
    rng = np.random.default_rng([seed, setting.num_runs])
    laws = [_law(setting, target, rng) for target in range(NUM_LOSSES)]
    weights = rng.dirichlet(np.ones(setting.num_domains), setting.num_runs)
    if setting.num_repeats:
        repeated = rng.integers(0, 10, setting.num_repeats)
        weights[-setting.num_repeats :] = weights[repeated]
    noise = np.full(setting.num_runs, NOISE_NATS)
    if setting.uneven:
        least = 1 / setting.num_domains
        noise = 0.002 * np.exp(3 * ((weights**2).sum(axis=1) - least) / (1 - least))
    clean = _losses(laws, weights)
    names = tuple(f"domain{number}" for number in range(setting.num_domains))
    table = RunTable(
        run_ids=tuple(map(str, range(setting.num_runs))),
        domains=names,
        eval_domains=names[:NUM_LOSSES],
        weights=weights,
        losses=clean + rng.normal(0, 1, clean.shape) * noise[:, None],
    )
    method = setting.method
    fitted = fit_laws(table, method=method)
    counted = run_importance(table, fitted)
    if counted is not None:
        fitted = fit_laws(table, method=method, importance=counted)
    refits = bootstrap_laws(
        table, method=method, num_refits=NUM_REFITS, seed=seed, importance=counted
    )
    fresh = rng.dirichlet(np.ones(setting.num_domains), 200)
    low, high = prediction_intervals(refits, fresh, fitted=fitted, num_runs=setting.num_runs)
    wanted = _losses(laws, fresh)
    return float(((low <= wanted) & (wanted <= high)).mean())


def _losses(laws: list[Law], weights: Floats) -> Floats:
    return np.column_stack([law.predict(weights) for law in laws])


def _law(setting: _Setting, target: int, rng: np.random.Generator) -> Law:
    """A law of the family whose loss falls with the share of domain `target`."""
    size = setting.num_domains
    own = np.eye(size)[target]
    level = rng.uniform(1.5, 3.5)
    # Shared by all losses of a draw: the exponential law has one effect and one usefulness.
    effect = -4.5 if size == 3 else -13.0
    if setting.method == "additive":
        return AdditiveLaw(
            intercept=level,
            slopes=rng.normal(0, 0.1, size),
            strengths=rng.uniform(0.1, 0.3) * own,
            offset=0.02,
            exponent=0.0,
        )
    if setting.method == "exponential":
        common = 0.3 * np.cos(np.arange(size))
        return ExponentialLaw(
            irreducible_loss=level,
            size=rng.uniform(0.3, 1.2),
            sensitivities=effect * own + common,
        )
    slopes = rng.normal(-0.5 if size == 3 else -1.2, 0.3, size)
    return LogLinearLaw(
        irreducible_loss=level, sensitivities=slopes + effect * rng.uniform(0.7, 1.3) * own
    )
