"""What a selector is: a rule that chooses which rows of a domain are drawn. Pure; no torch.

A domain offers an endless stream of rows: all of them in a new order in each epoch
(training.sampler). A selector divides the stream into pools of P rows and keeps K of each pool, so
that the k-th row drawn is

    pool, nth = divmod(k, K)          place in the stream = pool * P + kept[pool][nth]

A pool is judged with the model as it is when its first row is drawn. So nothing is looked at that
is not about to be used, a pass over the domain judges every row once, and the rows of any step
follow from the state alone: the number of the current pool of each domain, and what it keeps.

    for each domain in the batch, as long as rows are missing:
        pool = selector.pool(domain, draws so far)
        if state does not hold it: state = selector.choose(state, measurements of the pool's rows)
        take the kept rows of the pool

Per row drawn the model is run on P / K candidate rows, a third of a training step each.

Shapes: D domains, P rows of a pool, K kept, R held-out rows, H width, M projected size.
"""

import dataclasses
from typing import Literal, Protocol

from training.arrays import Floats, Ints
from training.policies import HeldoutEmbeddings, Json, PolicyState

PoolSignal = Literal["losses", "initial_losses", "embeddings", "gradients"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SelectionTask:
    """What a selector may know of the run it serves."""

    domains: tuple[str, ...]
    """Names; all vectors are in this order."""
    offered_rows: Ints
    """Rows of an epoch of each domain, shape (D,), >= 1."""
    steps: int
    """Optimiser steps of the run."""
    batch_rows: int
    """Rows of a batch."""
    seed: int
    """Of the run."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PoolGradients:
    """Random projections of gradients (training.row_features)."""

    rows: Floats
    """Of the rows of the pool, preconditioned as Adam would, shape (P, M)."""
    heldout: Floats
    """Of the mean held-out loss of each domain, shape (D, M)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PoolMeasures:
    """A pool and what was measured of it; what the selector does not read is None."""

    domain: int
    """Which domain."""
    number: int
    """Which pool of its stream, from 0."""
    step: int
    """Step that is about to run, from 0."""
    losses: Floats | None
    """Loss of each row under the model as it is, shape (P,), nats per token."""
    initial_losses: Floats | None
    """Loss of each row under the model before the first step, shape (P,), nats per token."""
    embeddings: Floats | None
    """Shape (P, H)."""
    heldout_embeddings: HeldoutEmbeddings | None
    """Of the held-out rows, by the same model; there if embeddings are."""
    gradients: PoolGradients | None
    """Of the rows, and of the held-out rows."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """A stretch of a domain's stream."""

    number: int
    """From 0."""
    first: int
    """Place of its first row in the stream."""
    size: int
    """P of the domain."""
    nth: int
    """How many of its kept rows are drawn already."""
    kept: int
    """K of the domain."""


class Selector(Protocol):
    """Chooses the rows that are drawn."""

    @property
    def reads(self) -> frozenset[PoolSignal]:
        """What choose() needs; empty: rows are drawn as the stream has them, without pools."""
        ...

    @property
    def projected_size(self) -> int:
        """M; 0 where gradients are not read."""
        ...

    @property
    def pool_rows(self) -> Ints:
        """P of each domain, shape (D,)."""
        ...

    @property
    def draws_per_row(self) -> Floats:
        """K / P of each domain, shape (D,): rows drawn from each row of the stream."""
        ...

    def initial(self) -> PolicyState:
        """Return the state before the first pool."""
        ...

    def pool(self, domain: int, draws: int) -> Pool:
        """Return the pool that the next draw of a domain comes from, after so many draws."""
        ...

    def kept(self, state: PolicyState, domain: int, number: int) -> Ints | None:
        """Rows kept of a pool, as offsets in it, shape (K,); None: the state does not hold it."""
        ...

    def choose(self, state: PolicyState, pool: PoolMeasures) -> PolicyState:
        """Judge a pool; the state holds it afterwards, instead of the domain's last one."""
        ...

    def describe(self, state: PolicyState) -> dict[str, Json]:
        """Return what the metrics record of the state."""
        ...
