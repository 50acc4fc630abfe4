"""Exponential mixing laws whose shape all evaluation domains share.

    L_i(p) = c_i + k_i exp(a p_i + t . p)          k_i >= 0, c_i >= 0; p on the simplex

Two parameters for each evaluation domain (level and size of its reducible loss), one for the effect
a of a domain's own share, and one for each training domain's usefulness to all the others: for
swarms with too few runs for the D + 1 parameters of a law for each domain. An evaluation domain
that is not trained on has no own share. Convex in p.

Source: the form c + k exp(t . p) of Ye et al. 2024, "Data Mixing Laws", arXiv:2403.16952.
Deviation: they give every evaluation domain its own t; here t_i = a e_i + t, with e_i the unit
vector of the domain. t is identified up to a constant (p sums to one), which the k_i take up: the
mean of t is kept near zero by a vanishing ridge. Huber loss, threshold 0.02 nats, summed over
domains; starts: the own effect a and the c_i on a grid, t = 0, k_i in closed form, each followed to
its end (`training.robust_fit`). Nothing is random.
Shapes: N runs, D training domains, E evaluation domains, R refits, M = 2 E + 1 + D parameters.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats, Ints
from training.mixing_laws.interface import Runs, named_vector, require_runs
from training.robust_fit import RobustProblem, minimise_robustly

START_EFFECTS = (-20.0, -6.0, -1.0)
C_SHARES = (0.5, 0.8, 0.95, 1.0)
"""Starting values of c_i as shares of the lowest loss."""
SIZE_FACTOR = 10.0
"""k_i stays below this times the highest loss."""
DEPTH = 300.0
"""Bound of the size of a and t."""
GAUGE = 1e-9
"""Ridge on t."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    irreducible_loss: float
    size: float
    sensitivities: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentialLaw:
    """Fitted parameters of one evaluation domain."""

    irreducible_loss: float
    """c, nats per token, >= 0."""
    size: float
    """k, nats per token, >= 0."""
    sensitivities: Floats
    """a e_i + t, shape (D,)."""

    def predict(self, weights: Floats) -> Floats:
        """Map weights of shape (N, D) to losses of shape (N,), nats per token."""
        return self.irreducible_loss + self.size * np.exp(weights @ self.sensitivities)

    def gradient(self, weights: Floats) -> Floats:
        """Derivative at one mixture of shape (D,)."""
        return self.size * np.exp(weights @ self.sensitivities) * self.sensitivities

    def hessian(self, weights: Floats) -> Floats:
        """Second derivative at one mixture of shape (D,), shape (D, D)."""
        outer: Floats = np.outer(self.sensitivities, self.sensitivities)
        return self.size * np.exp(weights @ self.sensitivities) * outer

    def describe(self, domains: Sequence[str]) -> str:
        """The formula with its numbers, most helpful domain first."""
        order = np.argsort(self.sensitivities)
        terms = " ".join(f"{self.sensitivities[j]:+.3g} {domains[j]}" for j in order)
        return f"{self.irreducible_loss:.4g} + {self.size:.3g} exp({terms})"

    def to_json(self, domains: Sequence[str]) -> dict[str, object]:
        """Parameters keyed by the names of the training domains."""
        return {
            "irreducible_loss": self.irreducible_loss,
            "size": self.size,
            "sensitivities": dict(zip(domains, self.sensitivities.tolist(), strict=True)),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object], domains: Sequence[str]) -> "ExponentialLaw":
        """Read what `to_json` wrote, in the order of `domains`.

        Raises:
            ValueError: A field is missing, unknown or no number, or the domains differ.
        """
        record = _Record.model_validate(fields)
        return cls(
            irreducible_loss=record.irreducible_loss,
            size=record.size,
            sensitivities=named_vector("sensitivities", record.sensitivities, domains),
        )


def min_runs(num_domains: int) -> int:
    """Fewest runs of a fit, even of one evaluation domain: more than c, k, a and D - 1 of t."""
    return num_domains + 3


def interval_widening(num_runs: int, num_domains: int, num_targets: int) -> float:
    """How much wider than drawn runs say an interval has to be, in [1, sqrt 2].

    A fit of p numbers to n losses leaves residuals that are smaller than the noise, by
    sqrt(1 - p / n); drawing runs hands that on. (On 9 runs with three losses intervals of 90 %
    held 79 %.) With n close to p that is a guess, so at most half of the losses are counted.
    """
    share = (2 * num_targets + 1 + num_domains) / (num_runs * num_targets)
    return float((1 - min(share, 0.5)) ** -0.5)


def refit_exponential(runs: Runs, counts: Floats) -> list[tuple[ExponentialLaw, ...]]:
    """Fit every evaluation domain once per row of counts.

    Args:
        runs: Weights, losses, and which share is a domain's own.
        counts: How often each run counts in each refit, shape (R, N), >= 0; each row counts at
            least D + 3 different runs.

    Raises:
        ValueError: The runs or counts cannot be used (see `require_runs`).
    """
    num_domains = runs.weights.shape[1]
    for losses in runs.losses.T:
        require_runs(runs.weights, losses, counts, num_params=num_domains + 2)
    params, _ = minimise_robustly(_problem(runs, counts), _starts(runs, counts))
    own = _own_vectors(runs)
    num_targets = len(own)
    c, k, a, t = np.split(params, [num_targets, 2 * num_targets, 2 * num_targets + 1], axis=1)
    return [
        tuple(
            ExponentialLaw(
                irreducible_loss=float(c[refit, i]),
                size=float(k[refit, i]),
                sensitivities=a[refit, 0] * own[i] + t[refit],
            )
            for i in range(num_targets)
        )
        for refit in range(len(counts))
    ]


def _own_vectors(runs: Runs) -> Floats:
    """Unit vector of each evaluation domain among the training domains, shape (E, D)."""
    own = np.zeros((len(runs.own_columns), runs.weights.shape[1]))
    for target, column in enumerate(runs.own_columns):
        if column is not None:
            own[target, column] = 1.0
    return own


def _problem(runs: Runs, counts: Floats) -> RobustProblem:
    """Parameters c, k, a, t of each refit; observations run by run, evaluation domains inside."""
    num_targets = runs.losses.shape[1]
    own_share = runs.weights @ _own_vectors(runs).T

    def split(params: Floats) -> tuple[Floats, Floats, Floats]:
        a, t = params[:, 2 * num_targets, None, None], params[:, 2 * num_targets + 1 :]
        effect = np.exp(a * own_share + (t @ runs.weights.T)[:, :, None])
        return params[:, None, :num_targets], params[:, None, num_targets : 2 * num_targets], effect

    def predict(params: Floats, _: Ints) -> Floats:
        c, k, effect = split(params)
        predicted: Floats = (c + k * effect).reshape(len(params), -1)
        return predicted

    def linearise(params: Floats, _: Ints) -> tuple[Floats, Floats]:
        c, k, effect = split(params)
        unit = np.eye(num_targets)
        by_c = np.broadcast_to(unit, (*effect.shape, num_targets))
        by_exponent = k * effect
        design = np.concatenate(
            [
                by_c,
                effect[..., None] * unit,
                (by_exponent * own_share)[..., None],
                by_exponent[..., None] * runs.weights[:, None, :],
            ],
            axis=3,
        )
        return (c + k * effect).reshape(len(params), -1), design.reshape(
            len(params), -1, params.shape[1]
        )

    highest = runs.losses.max(axis=0)
    sides = np.full(1 + runs.weights.shape[1], DEPTH)
    high = np.tile(np.concatenate([highest, SIZE_FACTOR * highest, sides]), (len(counts), 1))
    low = np.tile(np.concatenate([np.zeros(2 * num_targets), -sides]), (len(counts), 1))
    ridge = np.zeros_like(low)
    ridge[:, 2 * num_targets + 1 :] = GAUGE
    return RobustProblem(
        predict=predict,
        linearise=linearise,
        losses=runs.losses.ravel(),
        counts=np.repeat(counts, num_targets, axis=1),
        low=low,
        high=high,
        ridge=ridge,
    )


def _starts(runs: Runs, counts: Floats) -> Iterator[Floats]:
    """No transfer, each own effect and level of the grid, sizes in closed form."""
    own_share = runs.weights @ _own_vectors(runs).T
    lowest = np.where(counts[:, :, None] > 0, runs.losses, np.inf).min(axis=1)
    for effect, share in product(START_EFFECTS, C_SHARES):
        c = share * lowest
        curve = np.exp(effect * own_share)
        above = np.einsum("rn,rni->ri", counts, curve * (runs.losses - c[:, None]))
        size = np.maximum(above / (counts @ curve**2), 1e-6)
        tail = np.zeros((len(counts), 1 + runs.weights.shape[1]))
        tail[:, 0] = effect
        yield np.concatenate([c, size, tail], axis=1)
