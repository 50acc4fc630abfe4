"""Replaces the rows that a batch plan would draw by those that a selector keeps.

Shapes: D domains, B rows of a batch.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from training.arrays import Ints
from training.policies import PolicyState
from training.sampler import BatchPlan, Sampler
from training.selectors.selector import PoolMeasures, Selector

MeasurePool = Callable[[int, int, Ints], PoolMeasures]
"""Measures a pool: domain, number of the pool, its rows within the domain, shape (P,)."""


def select_rows(
    plan: BatchPlan,
    cursors: Ints,
    *,
    sampler: Sampler,
    selector: Selector,
    state: PolicyState,
    measure: MeasurePool,
) -> tuple[BatchPlan, PolicyState]:
    """Return the plan with the rows that the selector keeps, and the selector's new state.

    Args:
        plan: What the sampler planned; the domain of each slot stays.
        cursors: Rows drawn from each domain before this batch, shape (D,).
        sampler: Knows which row stands at a place of a domain's stream.
        selector: Chooses places.
        state: Its state.
        measure: Called once for each pool that is entered.
    """
    if not selector.reads:
        return plan, state
    places = np.empty(len(plan.rows), dtype=np.int64)
    for domain in np.flatnonzero(plan.counts).tolist():
        parts, missing = [], int(plan.counts[domain])
        while missing:
            drawn = int(cursors[domain] + plan.counts[domain]) - missing
            pool = selector.pool(domain, drawn)
            kept = selector.kept(state, domain, pool.number)
            if kept is None:
                stretch = pool.first + np.arange(pool.size)
                rows, _ = sampler.locate(np.full(pool.size, domain), stretch)
                state = selector.choose(state, measure(domain, pool.number, rows))
                kept = selector.kept(state, domain, pool.number)
                assert kept is not None
            part = pool.first + kept[pool.nth : pool.nth + missing]
            parts.append(part)
            missing -= len(part)
        places[plan.domain_index == domain] = np.concatenate(parts)
    rows, epochs = sampler.locate(plan.domain_index, places)
    return replace(plan, rows=rows, epochs=epochs), state
