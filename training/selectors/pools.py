"""What the selectors with pools share: sizes, and the state that holds the kept rows.

Shapes: D domains, P rows of a pool, K kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats, Ints
from training.config import STRICT, Count
from training.permutation import permutation_key
from training.policies import Json, PolicyState
from training.selectors.selector import Pool, PoolMeasures, PoolSignal, SelectionTask


@config_dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PoolSettings:
    """Settings of every selector with pools."""

    pool_rows: Count = 256
    """P, rows judged at once; at most the rows of the domain."""
    keep_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """K / P, share of a pool that is drawn; at least one row."""

    def __post_init__(self) -> None:
        """Refuse pools so small that rounding keeps all of them: nothing would be selected."""
        if self.keep_share < 1 and kept_rows(self.pool_rows, self.keep_share) == self.pool_rows:
            raise ValueError(
                f"keep_share {self.keep_share:g} of pool_rows {self.pool_rows} is all of them; "
                "raise pool_rows"
            )


def kept_rows(pool_rows: Ints | int, keep_share: float) -> Ints:
    """Return K for pools of P rows: the nearest whole number, half up, at least 1."""
    return np.maximum(np.floor(keep_share * np.asarray(pool_rows) + 0.5).astype(np.int64), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolState(PolicyState):
    """All that changes."""

    numbers: Ints
    """Current pool of each domain, shape (D,); -1 before the first."""
    kept: Ints
    """Its kept rows as offsets in it, shape (D, largest K); the first K of the domain count."""
    pools: int
    """Pools judged so far."""
    candidates: int
    """Rows judged so far."""


class PoolSelector:
    """Base of the selectors with pools: a method says what it reads and which rows it keeps."""

    def __init__(self, settings: PoolSettings, task: SelectionTask) -> None:
        """Fix the sizes of the pools of each domain."""
        self.task = task
        self._sizes: Ints = np.minimum(settings.pool_rows, task.offered_rows).astype(np.int64)
        self._kept = kept_rows(self._sizes, settings.keep_share)

    @property
    def reads(self) -> frozenset[PoolSignal]:
        """What pick() needs."""
        raise NotImplementedError

    def pick(self, pool: PoolMeasures, count: int) -> Ints:
        """Choose `count` different rows of a pool, as offsets, in the order they are drawn."""
        raise NotImplementedError

    @property
    def projected_size(self) -> int:
        """No gradients are read."""
        return 0

    @property
    def pool_rows(self) -> Ints:
        """P of each domain, shape (D,)."""
        return self._sizes.copy()

    @property
    def draws_per_row(self) -> Floats:
        """K / P of each domain, shape (D,)."""
        return np.asarray(self._kept / self._sizes)

    def initial(self) -> PoolState:
        """Return the state before the first pool."""
        return PoolState(
            numbers=np.full(len(self._sizes), -1),
            kept=np.zeros((len(self._sizes), int(self._kept.max())), dtype=np.int64),
            pools=0,
            candidates=0,
        )

    def pool(self, domain: int, draws: int) -> Pool:
        """Return the pool that the next draw of a domain comes from."""
        size, kept = int(self._sizes[domain]), int(self._kept[domain])
        number, nth = divmod(draws, kept)
        return Pool(number=number, first=number * size, size=size, nth=nth, kept=kept)

    def kept(self, state: PolicyState, domain: int, number: int) -> Ints | None:
        """Rows kept of a pool, shape (K,); None: the state does not hold it."""
        state = _own(state)
        if state.numbers[domain] != number:
            return None
        return np.asarray(state.kept[domain, : self._kept[domain]])

    def choose(self, state: PolicyState, pool: PoolMeasures) -> PoolState:
        """Judge a pool.

        Raises:
            ValueError: A measurement is missing or not finite.
        """
        state = _own(state)
        size, count = int(self._sizes[pool.domain]), int(self._kept[pool.domain])
        offsets = self.pick(pool, count)
        assert len(set(offsets.tolist())) == count, "a row is kept twice"
        numbers, kept = state.numbers.copy(), state.kept.copy()
        numbers[pool.domain] = pool.number
        kept[pool.domain, :count] = offsets
        return replace(
            state,
            numbers=numbers,
            kept=kept,
            pools=state.pools + 1,
            candidates=state.candidates + size,
        )

    def describe(self, state: PolicyState) -> dict[str, Json]:
        """Return how many rows were judged."""
        state = _own(state)
        return {"pools": state.pools, "candidates": state.candidates}

    def draw(self, pool: PoolMeasures, weights: Floats, count: int) -> Ints:
        """Draw rows without replacement, each next one in proportion to its weight.

        The largest of log(w) + Gumbel noise are such a draw. The noise depends on the seed, the
        name of the domain and the pool alone.

        Args:
            pool: Whose rows.
            weights: Of each, shape (P,), >= 0; rows of weight 0 come last.
            count: How many.
        """
        name = self.task.domains[pool.domain]
        rng = np.random.default_rng(permutation_key(self.task.seed, name, "pool", pool.number))
        noise = rng.gumbel(size=len(weights))
        with np.errstate(divide="ignore"):
            keys = np.where(weights > 0, np.log(weights) + noise, -np.inf)
        return np.asarray(np.lexsort((-noise, -keys))[:count])


def in_stream_order(offsets: Ints) -> Ints:
    """Draw the kept rows in the random order that the stream has anyway, not best first."""
    return np.sort(offsets)


def require_measured(values: Floats | None, name: str, pool: PoolMeasures) -> Floats:
    """Return a measurement of the rows of a pool.

    Raises:
        ValueError: It is missing, or not finite everywhere.
    """
    if values is None or not np.isfinite(values).all():
        raise ValueError(
            f"step {pool.step}: pool {pool.number} of domain {pool.domain} needs finite {name}, "
            f"got {values}; a value that is not finite means that training diverged"
        )
    return values


def unit_rows(vectors: Floats) -> Floats:
    """Divide each row by its norm; zero stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1.0))


def target_domains(
    targets: Mapping[str, float] | None, task: SelectionTask, *, method: str
) -> list[int] | None:
    """Return the domains with a value above 0; None: each domain is its own target.

    Raises:
        ValueError: One is no domain, or there are none.
    """
    if targets is None:
        return None
    unknown = sorted(set(targets) - set(task.domains))
    found = [index for index, name in enumerate(task.domains) if targets.get(name, 0.0) > 0]
    if unknown or not found:
        raise ValueError(
            f"selector {method!r}: targets {dict(targets)} must give a value above 0 to some of "
            f"the domains {', '.join(task.domains)}"
        )
    return found


def _own(state: PolicyState) -> PoolState:
    if not isinstance(state, PoolState):
        raise TypeError(f"expected a PoolState, got {type(state).__name__}")
    return state
