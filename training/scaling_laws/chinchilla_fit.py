"""Fit Chinchilla's law by its own objective, to convergence, many resamples at once.

    minimise  sum_i n_i Huber( LSE(a - alpha log N_i, b - beta log D_i, e) - log L_i )
    Huber threshold 1e-3 on log loss,  A = e^a,  B = e^b,  E = e^e

Source of the objective: Hoffmann et al. 2022, arXiv:2203.15556. Deviations in how it is minimised:
L-BFGS from 4500 starts is replaced by a damped Newton method with the exact Hessian. For fixed
alpha and beta the law is linear in (E, A, B), so a grid over the two exponents gives starts in
closed form. log N and log D are centred, or a and alpha are nearly collinear. The objective is
tiny (1e-3 for hundreds of runs), and a quasi-Newton method with the usual absolute tolerances
stops where it began; here it is divided by the threshold, and the end is judged by the gradient.
A stack of counts (bootstrap, leave one out) is solved at once. Nothing is random.
Shapes: N runs, R refits.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats
from training.scaling_laws.chinchilla import ChinchillaLaw
from training.scaling_runs import ScalingRuns

HUBER = 1e-3
MIN_RUNS = 6
GRID = (0.1, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0)
MAX_ITERATIONS = 200
GRADIENT_TOLERANCE = 1e-8
MAX_DAMPING = 1e10
CHUNK = 250


class ScalingFitError(ValueError):
    """The runs do not determine a scaling law."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChinchillaFit:
    """A law and how well its objective was minimised."""

    law: ChinchillaLaw
    """The parameters."""
    objective: float
    """Sum of the Huber losses (threshold 1e-3) of the logarithms."""
    gradient_norm: float
    """Largest derivative of the scaled objective per run: converged below 1e-8."""
    num_starts: int
    """Starts that were refined."""
    num_agreeing: int
    """Starts that ended within 1e-9 of the lowest objective."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Problem:
    """Centred logarithms of a run table."""

    n: Floats
    d: Floats
    y: Floats
    centre_n: float
    centre_d: float

    @classmethod
    def of(cls, runs: ScalingRuns) -> "_Problem":
        n, d = np.log(runs.params), np.log(runs.tokens)
        centre_n, centre_d = float(n.mean()), float(d.mean())
        return cls(
            n=n - centre_n,
            d=d - centre_d,
            y=np.log(runs.losses),
            centre_n=centre_n,
            centre_d=centre_d,
        )

    def law(self, theta: Floats) -> ChinchillaLaw:
        a, b, e, alpha, beta = (float(value) for value in theta)
        return ChinchillaLaw(
            A=float(np.exp(a + alpha * self.centre_n)),
            B=float(np.exp(b + beta * self.centre_d)),
            E=float(np.exp(e)),
            alpha=alpha,
            beta=beta,
        )

    def theta(self, law: ChinchillaLaw) -> Floats:
        a = np.log(law.A) - law.alpha * self.centre_n
        b = np.log(law.B) - law.beta * self.centre_d
        return np.array([a, b, np.log(max(law.E, 1e-300)), law.alpha, law.beta])


def fit_chinchilla(runs: ScalingRuns) -> ChinchillaFit:
    """Fit one law to all runs.

    Args:
        runs: At least six, with several sizes and several lengths that do not go together.

    Raises:
        ScalingFitError: Too few runs, sizes and lengths that do not determine the law, no
            convergence, or a loss that does not fall with size and tokens.
    """
    _require_runs(runs)
    problem = _Problem.of(runs)
    starts = _starts(problem)
    counts = np.ones((len(starts), len(runs.losses)))
    theta, value, slope = _minimise(problem, counts, starts)
    best = int(np.argmin(value))
    _require_fit(problem, theta[best], gradient=float(slope[best]))
    return ChinchillaFit(
        law=problem.law(theta[best]),
        objective=float(value[best]) * HUBER,
        gradient_norm=float(slope[best]),
        num_starts=len(starts),
        num_agreeing=int((value - value[best] < 1e-9 / HUBER).sum()),
    )


def refit_chinchilla(
    runs: ScalingRuns, counts: Floats, *, start: ChinchillaLaw
) -> list[ChinchillaLaw | None]:
    """Fit once per row of counts, from the law of all runs; None where a refit failed.

    Args:
        runs: N runs.
        counts: How often each run counts in each refit, shape (R, N), >= 0.
        start: Fitted on all runs.

    Raises:
        ValueError: The counts have another shape or a negative entry.
    """
    if counts.ndim != 2 or counts.shape[1] != len(runs.losses) or not (counts >= 0).all():
        raise ValueError(f"counts must be >= 0, shape (R, {len(runs.losses)}), got {counts.shape}")
    problem = _Problem.of(runs)
    laws: list[ChinchillaLaw | None] = []
    for chunk in np.split(counts, range(CHUNK, len(counts), CHUNK)):
        begin = np.repeat(problem.theta(start)[None], len(chunk), axis=0)
        theta, _, slope = _minimise(problem, chunk, begin)
        good = (slope <= GRADIENT_TOLERANCE) & (theta[:, 3:] > 0).all(axis=1)
        pairs = zip(theta, good.tolist(), strict=True)
        laws += [problem.law(row) if fine else None for row, fine in pairs]
    return laws


def chinchilla_objective(law: ChinchillaLaw, runs: ScalingRuns) -> float:
    """Sum of Huber losses (threshold 1e-3) of log predicted minus log observed loss."""
    size = np.abs(np.log(law.predict(runs.params, runs.tokens)) - np.log(runs.losses))
    return float(np.where(size <= HUBER, 0.5 * size**2, HUBER * (size - 0.5 * HUBER)).sum())


def _require_runs(runs: ScalingRuns) -> None:
    if len(runs.losses) < MIN_RUNS:
        raise ScalingFitError(
            f"5 parameters need at least {MIN_RUNS} runs, got {len(runs.losses)}: add runs"
        )
    for name, values in (("params", runs.params), ("tokens", runs.tokens)):
        if len(np.unique(values)) < 3:
            raise ScalingFitError(
                f"column {runs.columns[name]} has {len(np.unique(values))} different values: an "
                "exponent and a constant need at least 3"
            )


def _require_fit(problem: _Problem, theta: Floats, *, gradient: float) -> None:
    if not gradient <= GRADIENT_TOLERANCE:
        raise ScalingFitError(
            f"the fit did not converge (gradient {gradient:.2g} above {GRADIENT_TOLERANCE:g}): "
            "sizes and lengths may go together; vary them independently"
        )
    if not (theta[3:] > 0).all():
        raise ScalingFitError(
            f"the loss does not fall with size and tokens (alpha {theta[3]:.3g}, beta "
            f"{theta[4]:.3g}): these runs support no scaling law"
        )
    shares, _ = _terms(problem, theta[None])
    design = _design(problem, shares)[0]
    scaled = design / np.linalg.norm(design, axis=0)
    if np.linalg.cond(scaled) > 1e7:
        raise ScalingFitError(
            "sizes and lengths go together, or a term vanishes: the parameters are not "
            "determined; vary the tokens at equal size"
        )


def _starts(problem: _Problem) -> Floats:
    """For each pair of exponents the relative least squares in (E, A, B), kept positive."""
    rows = []
    level = np.exp(problem.y)
    for alpha, beta in itertools.product(GRID, GRID):
        columns = np.column_stack(
            [np.ones_like(level), np.exp(-alpha * problem.n), np.exp(-beta * problem.d)]
        )
        solution = np.linalg.lstsq(columns / level[:, None], np.ones_like(level), rcond=None)[0]
        e, a, b = np.log(np.maximum(solution, 1e-3 * level.min()))
        rows.append([a, b, e, alpha, beta])
    return np.array(rows)


def _terms(problem: _Problem, theta: Floats) -> tuple[Floats, Floats]:
    """Share of each term in the loss, shape (3, R, N), and log predicted loss, shape (R, N)."""
    u = np.empty((3, len(theta), len(problem.y)))
    u[0] = theta[:, :1] - theta[:, 3:4] * problem.n
    u[1] = theta[:, 1:2] - theta[:, 4:5] * problem.d
    u[2] = theta[:, 2:3]
    top = u.max(axis=0)
    np.exp(u - top, out=u)
    total = u.sum(axis=0)
    u /= total
    return u, top + np.log(total)


def _design(problem: _Problem, shares: Floats) -> Floats:
    """Derivative of log loss by (a, b, e, alpha, beta), shape (R, N, 5)."""
    return np.stack(
        [shares[0], shares[1], shares[2], -shares[0] * problem.n, -shares[1] * problem.d], axis=2
    )


def _value(problem: _Problem, counts: Floats, theta: Floats) -> Floats:
    """Huber objective divided by its threshold, shape (R,)."""
    _, predicted = _terms(problem, theta)
    size = np.abs(predicted - problem.y)
    huber = np.where(size <= HUBER, 0.5 * size**2 / HUBER, size - 0.5 * HUBER)
    total: Floats = np.einsum("rn,rn->r", counts, huber)
    return total


def _model(problem: _Problem, counts: Floats, theta: Floats) -> tuple[Floats, Floats]:
    """Exact Hessian, shape (R, 5, 5), and gradient, shape (R, 5), of the scaled objective."""
    shares, predicted = _terms(problem, theta)
    residual = predicted - problem.y
    slope = counts * np.clip(residual / HUBER, -1.0, 1.0)
    bend = np.where(np.abs(residual) <= HUBER, counts / HUBER, 0.0)
    design = _design(problem, shares)
    gradient = np.einsum("rnp,rn->rp", design, slope)
    hessian = np.matmul(design.transpose(0, 2, 1), design * (bend - slope)[:, :, None])
    for term, (level, exponent, x) in enumerate(((0, 3, problem.n), (1, 4, problem.d))):
        mass = slope * shares[term]
        hessian[:, level, level] += mass.sum(axis=1)
        cross = mass @ x
        hessian[:, level, exponent] -= cross
        hessian[:, exponent, level] -= cross
        hessian[:, exponent, exponent] += mass @ x**2
    hessian[:, 2, 2] += (slope * shares[2]).sum(axis=1)
    return hessian, gradient


def _minimise(problem: _Problem, counts: Floats, theta: Floats) -> tuple[Floats, Floats, Floats]:
    """Damped Newton for each refit: parameters (R, 5), scaled objective (R,), gradient (R,)."""
    theta = theta.copy()
    value = _value(problem, counts, theta)
    damping = np.full(len(theta), 1e-2)
    steepness = np.full(len(theta), np.inf)
    active = np.arange(len(theta))
    runs = counts.sum(axis=1)
    for _ in range(MAX_ITERATIONS):
        hessian, gradient = _model(problem, counts[active], theta[active])
        steepness[active] = np.abs(gradient).max(axis=1) / runs[active]
        going = (steepness[active] > GRADIENT_TOLERANCE) & (damping[active] < MAX_DAMPING)
        active, hessian, gradient = active[going], hessian[going], gradient[going]
        if not active.size:
            break
        values, vectors = np.linalg.eigh(hessian)
        lifted = np.abs(values) + damping[active][:, None] * runs[active][:, None]
        along = np.einsum("rij,ri->rj", vectors, gradient) / lifted
        new = theta[active] - np.einsum("rij,rj->ri", vectors, along)
        new_value = _value(problem, counts[active], new)
        better = new_value < value[active]
        theta[active[better]], value[active[better]] = new[better], new_value[better]
        damping[active] = np.maximum(damping[active] * np.where(better, 0.2, 6.0), 1e-9)
    return theta, value, steepness
