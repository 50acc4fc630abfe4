"""What a proposal minimises, as values of many mixtures and as a convex function of one.

    F(p) = sum_n w_n L_n(p) + repetition(p) + kl * KL(p || q)

The first term may be a bound instead of the law's own figure. With F_b from refits on resampled
runs, sorted, and a share s of the refits,

    upper    mean of the worst s of the F_b   (conditional value at risk; convex where the laws are)
    lower    mean of the best s of the F_b    (optimism: what could turn out best; not convex)

The upper bound prefers mixtures of which all refits speak well. Its convex form replaces the kink
at each F_b by a softplus of a tenth of their spread at the prior (Rockafellar and Uryasev 2000,
"Optimization of Conditional Value-at-Risk"). Shapes: N mixtures, D domains, E evaluation domains,
R refits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, rel_entr

from training.arrays import Floats
from training.fitted_laws import FittedLaws
from training.repetition_cost import RepetitionCost
from training.simplex_minimiser import ConvexFunction

Risk = Literal["mean", "upper", "lower"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """F, in the order of the laws' domains."""

    laws: FittedLaws
    """Fitted on all runs, or one of the refits."""
    importance: Floats
    """w, shape (E,), sum 1."""
    prior: Floats
    """q, shape (D,); a domain with 0 must have share 0."""
    kl: float
    """Price of the divergence, >= 0."""
    repetition: RepetitionCost | None = None
    """Price of worthless repeats. None: repeats are as good as fresh tokens."""
    risk: Risk = "mean"
    """Which figure of the laws."""
    tail: float = 0.1
    """s, in (0, 1]."""
    refits: Sequence[FittedLaws] = ()
    """Needed for the bounds."""

    def losses(self, weights: Floats) -> Floats:
        """Weighted loss with repetition of mixtures (N, D), by the law itself, shape (N,)."""
        loss: Floats = self.laws.predict(weights) @ self.importance
        if self.repetition is not None:
            loss = loss + self.repetition.values(weights)
        return loss

    def values(self, weights: Floats) -> Floats:
        """F of mixtures (N, D), shape (N,)."""
        terms = rel_entr(weights, np.where(weights > 0, self.prior, 1.0)).sum(axis=1)
        found: Floats = self.losses(weights) + self.kl * terms
        if self.risk != "mean":
            found += self._bound(weights) - self.laws.predict(weights) @ self.importance
        return found

    def convex(self) -> ConvexFunction:
        """F of one mixture with its derivatives.

        Raises:
            ValueError: The laws, or the bound, are not convex.
        """
        if self.risk == "lower":
            raise ValueError(
                "the lower bound is not convex, so no optimum can be proven: choose the solver "
                "'candidates', or the risk 'mean' or 'upper'"
            )
        if self.risk == "upper":
            parts = [self._upper(), self._penalties()]
        else:
            parts = [weighted_loss(self.laws, self.importance), self._penalties()]
        return ConvexFunction(
            value=lambda p: sum(part.value(p) for part in parts),
            gradient=lambda p: sum((part.gradient(p) for part in parts), np.zeros_like(p)),
            hessian=lambda p: sum((part.hessian(p) for part in parts), np.zeros((len(p), len(p)))),
        )

    def _bound(self, weights: Floats) -> Floats:
        each = np.sort([refit.predict(weights) @ self.importance for refit in self.refits], axis=0)
        count = max(1, round(self.tail * len(each)))
        bound: Floats = (each[-count:] if self.risk == "upper" else each[:count]).mean(axis=0)
        return bound

    def _penalties(self) -> ConvexFunction:
        allowed = self.prior > 0
        safe = np.where(allowed, self.prior, 1.0)
        cost, kl = self.repetition, self.kl

        def value(p: Floats) -> float:
            divergence = float(rel_entr(p[allowed], safe[allowed]).sum())
            return kl * divergence + (0.0 if cost is None else float(cost.values(p[None])[0]))

        def gradient(p: Floats) -> Floats:
            log_ratio = np.where(allowed, np.log(np.maximum(p, 1e-300) / safe) + 1, 0.0)
            return kl * log_ratio + (0.0 if cost is None else cost.gradient(p))

        def hessian(p: Floats) -> Floats:
            bend = np.diag(np.where(allowed, kl / np.maximum(p, 1e-300), 0.0))
            return bend + (0.0 if cost is None else cost.hessian(p))

        return ConvexFunction(value=value, gradient=gradient, hessian=hessian)

    def _upper(self) -> ConvexFunction:
        """Conditional value at risk with soft kinks; its inner minimum over t is solved exactly."""
        each = [weighted_loss(refit, self.importance) for refit in self.refits]
        at_prior = np.array([one.value(self.prior) for one in each])
        width = max(1e-5, 0.1 * float(at_prior.std()))
        mass = self.tail * len(each)

        def weigh(p: Floats) -> tuple[Floats, float, Floats]:
            """The F_b, t, and how far each counts (0 to 1); these sum to s R."""
            found = np.array([one.value(p) for one in each])
            low, high = found.min() - 40 * width, found.max() + 40 * width
            for _ in range(100):
                t = (low + high) / 2
                heavy = float(expit((found - t) / width).sum()) > mass
                low, high = (t, high) if heavy else (low, t)
            return found, t, expit((found - t) / width)

        def value(p: Floats) -> float:
            found, t, _ = weigh(p)
            return t + width * float(np.logaddexp(0, (found - t) / width).sum()) / mass

        def gradient(p: Floats) -> Floats:
            _, _, counted = weigh(p)
            slope: Floats = counted @ np.array([one.gradient(p) for one in each]) / mass
            return slope

        def hessian(p: Floats) -> Floats:
            _, _, counted = weigh(p)
            slopes = np.array([one.gradient(p) for one in each])
            turning = counted * (1 - counted)
            away = slopes - turning @ slopes / max(turning.sum(), 1e-300)
            bend = np.einsum("b,bij->ij", counted, [one.hessian(p) for one in each])
            full: Floats = (bend + (away * turning[:, None]).T @ away / width) / mass
            return full

        return ConvexFunction(value=value, gradient=gradient, hessian=hessian)


def weighted_loss(laws: FittedLaws, importance: Floats) -> ConvexFunction:
    """Weighted mean of the laws.

    Raises:
        ValueError: The laws are not convex.
    """
    parts = [(w, law) for w, law in zip(importance, laws.convex_laws(), strict=True) if w > 0]

    def hessian(p: Floats) -> Floats:
        bend: Floats = sum((w * law.hessian(p) for w, law in parts), np.zeros((len(p), len(p))))
        return bend

    return ConvexFunction(
        value=lambda p: float(sum(w * law.predict(p[None])[0] for w, law in parts)),
        gradient=lambda p: sum((w * law.gradient(p) for w, law in parts), np.zeros_like(p)),
        hessian=hessian,
    )
