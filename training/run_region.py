"""The region that the runs cover: mixtures that are, or nearly are, a blend of the runs.

    distance(p) = min over a of TV(p, sum_n a_n W_n),     a on the simplex of the runs
    region      = { p : distance(p) <= limit },           TV(p, q) = sum_j |p_j - q_j| / 2

W are the mixtures of the runs. A limit of 0 is their convex hull itself. By duality of the linear
programme behind the distance

    distance(p) = max over y, |y_j| <= 1/2, of  y . p - max_n y . W_n

so every p outside comes with a halfspace (y, limit + max_n y . W_n) that contains the whole region
and excludes p. A minimum over the halfspaces found so far that lies in the region is the minimum
over the region, and its certificate holds there too, for the halfspaces only ever allow more
(cutting planes: Kelley 1960, "The Cutting-Plane Method for Solving Convex Programs"). There are
finitely many of them, and they do not depend on what is minimised: refits share them.

The solvers aim at the limit minus a margin of 1e-6, so that what they call inside passes a gate
with the same limit; hulls without an inside (a limit of 0, runs that all lack a domain) are
widened to that margin instead, for a barrier needs room.
Shapes: N runs, D domains, V coordinates, M halfspaces.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog

from training.arrays import Floats, require_simplex

MARGIN = 1e-6
ACTIVE = 1e-5


def hull_distance(weights: Floats, mixture: Floats) -> float:
    """Total variation distance of a mixture from the convex hull of the runs, in [0, 1].

    Args:
        weights: Runs, shape (N, D), on the simplex.
        mixture: Shape (D,), on the simplex.
    """
    return _separate(weights, mixture)[0]


def _separate(weights: Floats, mixture: Floats) -> tuple[float, Floats]:
    """Distance, and the dual y, shape (D,), with y . mixture - max_n y . W_n equal to it."""
    num_runs, num_domains = weights.shape
    slack = np.eye(num_domains)
    solution = linprog(
        np.concatenate([np.zeros(num_runs), np.full(num_domains, 0.5)]),
        A_ub=np.block([[weights.T, -slack], [-weights.T, -slack]]),
        b_ub=np.concatenate([mixture, -mixture]),
        A_eq=np.concatenate([np.ones(num_runs), np.zeros(num_domains)])[None],
        b_eq=[1.0],
        method="highs",
    )
    assert solution.success, solution.message
    above, below = np.split(np.asarray(solution.ineqlin.marginals), 2)
    assert solution.fun is not None
    return max(0.0, float(solution.fun)), np.clip(above - below, -0.5, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRegion:
    """Where the runs give evidence."""

    weights: Floats
    """Runs, shape (N, D), on the simplex."""
    limit: float
    """Largest distance from their hull, total variation, in [0, 1]."""
    cuts: list[tuple[Floats, float]] = field(default_factory=list)
    """Halfspaces y . p <= b that contain the region, as found so far."""

    def __post_init__(self) -> None:
        """Refuse what is no region.

        Raises:
            ValueError: The runs are no mixtures, or the limit is not in [0, 1].
        """
        require_simplex(self.weights, name="mixtures of the runs")
        if self.weights.ndim != 2:
            raise ValueError(f"runs must have shape (N, D), got {self.weights.shape}")
        if not 0 <= self.limit <= 1:
            raise ValueError(f"within_runs must lie in [0, 1], got {self.limit}")

    @property
    def aim(self) -> float:
        """What the solvers keep to."""
        return max(self.limit - MARGIN, MARGIN)

    def distance(self, mixture: Floats) -> float:
        """Of a mixture, shape (D,), from the hull."""
        return hull_distance(self.weights, mixture)

    def admits(self, mixture: Floats) -> bool:
        """Whether a mixture, shape (D,), lies inside; if not, learns a halfspace without it."""
        distance, normal = _separate(self.weights, mixture)
        if distance <= self.aim + MARGIN:
            return True
        self.cuts.append((normal, self.aim + float((self.weights @ normal).max())))
        return False

    def touches(self, mixture: Floats) -> bool:
        """Whether a mixture, shape (D,), that was found inside lies at one of the halfspaces."""
        normals, bounds = self.halfspaces(np.eye(len(mixture)))
        return bool((normals @ mixture > bounds - ACTIVE).any())

    def halfspaces(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Normals (M, V) and bounds (M,) of the halfspaces in coordinates, p = matrix x."""
        normals = np.array([normal for normal, _ in self.cuts]).reshape(-1, len(matrix))
        return normals @ matrix, np.array([bound for _, bound in self.cuts])

    def nearest(self, matrix: Floats, low: Floats, high: Floats) -> tuple[float, Floats]:
        """Least distance of any mixture matrix x with low <= x <= high, and that mixture.

        Args:
            matrix: Shape (D, V); columns sum to 1.
            low: Shape (V,), sum <= 1.
            high: Shape (V,), sum >= 1.
        """
        num_runs, num_domains = self.weights.shape
        size = matrix.shape[1]
        slack = np.eye(num_domains)
        kinds = [np.zeros(num_runs), np.zeros(size), np.full(num_domains, 0.5)]
        runs, shares, _ = np.eye(3)
        sizes = [num_runs, size, num_domains]
        solution = linprog(
            np.concatenate(kinds),
            A_ub=np.block([[self.weights.T, -matrix, -slack], [-self.weights.T, matrix, -slack]]),
            b_ub=np.zeros(2 * num_domains),
            A_eq=np.array([np.repeat(runs, sizes), np.repeat(shares, sizes)]),
            b_eq=[1.0, 1.0],
            bounds=[(0, None)] * num_runs
            + list(zip(low, high, strict=True))
            + [(0, None)] * num_domains,
            method="highs",
        )
        assert solution.success, solution.message
        assert solution.fun is not None
        assert solution.x is not None
        point: Floats = matrix @ solution.x[num_runs : num_runs + size]
        return max(0.0, float(solution.fun)), point
