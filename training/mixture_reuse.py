"""Mixture reuse: keep the ratios of domains that did not change, and choose again for the others.

The unchanged domains with the ratios r of an earlier mixture are one virtual domain of share v:

    p_j = v r_j  (unchanged),     p_j = x_j  (changed),     v + sum(x) = 1

so p is linear in (v, x), a convex problem stays convex, and a swarm that varies v and x alone fits
a law with fewer parameters. Unchanged domains whose best share depends on the changed ones are
better chosen again with them (partial reuse); `coupled_domains` finds them: with H the Hessian of
the objective within the simplex, j is coupled to a changed c where |H_jc| / sqrt(H_jj H_cc) is
large. Source: Olmix, arXiv:2602.12237; the measure of coupling is our own.
Shapes: D domains, V coordinates: the virtual one (where there is one), then the free domains.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from training.arrays import Floats
from training.fitted_laws import FittedLaws
from training.simplex_minimiser import ConvexFunction


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class MixtureReuse:
    """What is kept of an earlier mixture."""

    weights: Mapping[str, float]
    """Earlier shares, >= 0; only the ratios of the kept domains matter."""
    changed: tuple[str, ...]
    """Domains that are new or different: chosen again, at least one."""
    coupled: tuple[str, ...] = ()
    """Unchanged domains that are chosen again nevertheless."""

    def kept(self) -> tuple[str, ...]:
        """Domains whose ratios stay, in the order of `weights`."""
        free = {*self.changed, *self.coupled}
        return tuple(domain for domain in self.weights if domain not in free)


def coordinates(
    domains: Sequence[str], reuse: MixtureReuse | None
) -> tuple[tuple[str, ...], Floats]:
    """Names of the V coordinates and the matrix, shape (D, V), that turns them into shares.

    Args:
        domains: D names.
        reuse: None: every domain is free.

    Raises:
        ValueError: The reuse names unknown domains, misses one, or keeps fewer than two.
    """
    if reuse is None:
        return tuple(domains), np.eye(len(domains))
    unknown = sorted({*reuse.weights, *reuse.changed, *reuse.coupled} - set(domains))
    if unknown:
        raise ValueError(f"reuse names unknown domains {unknown}: choose among {sorted(domains)}")
    kept = reuse.kept()
    free = [domain for domain in domains if domain not in kept]
    missing = sorted(set(free) - {*reuse.changed, *reuse.coupled})
    if missing:
        raise ValueError(f"reuse gives no earlier weight for {missing}: name them as changed")
    ratios = np.array([reuse.weights[domain] for domain in kept], dtype=np.float64)
    if len(kept) < 2 or not free:
        raise ValueError(
            f"reuse keeps {sorted(kept)} of {sorted(domains)}: it needs at least two kept domains "
            "and one changed"
        )
    if not np.isfinite(ratios).all() or (ratios < 0).any() or ratios.sum() <= 0:
        raise ValueError(f"earlier weights must be >= 0 with a sum > 0, got {dict(reuse.weights)}")
    matrix = np.zeros((len(domains), 1 + len(free)))
    for domain, ratio in zip(kept, ratios / ratios.sum(), strict=True):
        matrix[domains.index(domain), 0] = ratio
    for column, domain in enumerate(free, start=1):
        matrix[domains.index(domain), column] = 1.0
    return ("+".join(kept), *free), matrix


def pull_back(function: ConvexFunction, matrix: Floats) -> ConvexFunction:
    """The same function of the V coordinates."""
    return ConvexFunction(
        value=lambda x: function.value(matrix @ x),
        gradient=lambda x: matrix.T @ function.gradient(matrix @ x),
        hessian=lambda x: matrix.T @ function.hessian(matrix @ x) @ matrix,
    )


def coupled_domains(
    laws: FittedLaws,
    changed: Sequence[str],
    *,
    mixture: Mapping[str, float],
    threshold: float = 0.5,
) -> tuple[str, ...]:
    """Unchanged domains whose best share depends on the changed ones.

    Args:
        laws: Of a convex family.
        changed: Domains that are new or different.
        mixture: Where the coupling is measured: share of every training domain.
        threshold: Least coupling, in (0, 1].

    Raises:
        ValueError: Unknown domains, a threshold out of range, or laws that are not convex.
    """
    if set(mixture) != set(laws.domains) or not set(changed) <= set(laws.domains):
        raise ValueError(
            f"changed {sorted(changed)}, mixture of {sorted(mixture)}, laws of "
            f"{sorted(laws.domains)}"
        )
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1], got {threshold}")
    point = np.array([mixture[domain] for domain in laws.domains], dtype=np.float64)
    bend = np.mean([law.hessian(point) for law in laws.convex_laws()], axis=0)
    within = np.eye(len(point)) - 1 / len(point)
    bend = within @ bend @ within
    size = np.sqrt(np.maximum(np.diag(bend), 1e-300))
    strength = np.abs(bend) / np.outer(size, size)
    columns = [laws.domains.index(domain) for domain in changed]
    return tuple(
        domain
        for row, domain in enumerate(laws.domains)
        if domain not in changed and strength[row, columns].max() >= threshold
    )
