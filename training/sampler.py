"""Which rows a batch holds: a pure function of seed, weights so far and step.

    counts, carry = apportion(weights, B, carry)
    the k-th row ever drawn from a domain with n rows:  epoch, place = divmod(k, n)
    row = subset(permutation(seed, domain, epoch)(place))      subset: identity if all is offered

Every row of a domain comes once in each epoch, in a new order in each. Nothing depends on the
number of devices: they divide the slots of the batch among themselves.

Simulated epoching (epoch_share < 1): a domain offers only the first floor(share * rows) entries, at
least one, of a fixed permutation. That subset depends on seed, domain name and share alone, and a
smaller share gives a subset of it.

Shapes: D domains, B rows of a batch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.apportionment import apportion
from training.arrays import Floats, Ints
from training.permutation import permutation_key, permute

_STRETCH = 1024
_ROUNDING = 1e-12
_NO_PLACES: Ints = np.empty((2, 0), dtype=np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerState:
    """All that the next batch depends on besides the weights."""

    cursors: Ints
    """Rows drawn from each domain so far, shape (D,)."""
    carry: Floats
    """Rows owed to each domain, shape (D,), bounded as training.apportionment says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchPlan:
    """One batch, before any token is read."""

    domain_index: Ints
    """Domain of each slot, shape (B,). The domains are spread evenly over the slots."""
    rows: Ints
    """Row of each slot within its domain's shards, shape (B,)."""
    epochs: Ints
    """Epoch of its domain that each slot belongs to, from 0, shape (B,)."""
    requested: Floats
    """The weights that were asked for, shape (D,)."""
    applied: Floats
    """The weights used: the requested ones without the domains that are used up, shape (D,)."""
    counts: Ints
    """Rows of each domain, shape (D,), summing to B."""


class Sampler:
    """Plans batches; holds only constants, and results that it would otherwise work out again."""

    def __init__(
        self,
        domains: tuple[str, ...],
        num_rows: Ints,
        *,
        seed: int,
        batch_rows: int,
        epoch_share: float = 1.0,
        max_epochs: float | None = None,
        epoch_policy: Literal["error", "drop", "allow"] = "error",
        draws_per_row: Floats | None = None,
        pool_rows: Ints | None = None,
    ) -> None:
        """Set what stays the same during a run.

        Args:
            domains: Their names.
            num_rows: Rows of each domain's shards, shape (D,), >= 1.
            seed: Of all orders.
            batch_rows: B.
            epoch_share: Share of the rows that is offered, in (0, 1].
            max_epochs: Epochs (of what is offered) at which the policy acts; None: never.
            epoch_policy: "error" stops. "drop" leaves out a domain whose share of the batch would
                pass the limit and gives its weight to the others, in proportion. "allow" goes on.
            draws_per_row: Share of its stream that each domain draws, shape (D,), in (0, 1]: what a
                selector leaves. The draws of an epoch are so many fewer. None: all of it.
            pool_rows: Rows of each domain's stream that a selector judges together, shape (D,).
                A pool that reaches beyond max_epochs is not begun. None: 1.

        Raises:
            ValueError: A domain without rows or twice, or a number out of range.
        """
        if len(set(domains)) != len(domains) or num_rows.shape != (len(domains),):
            raise ValueError(f"need one number of rows per domain, got {domains}, {num_rows}")
        if not domains or (num_rows < 1).any():
            empty = [name for name, rows in zip(domains, num_rows, strict=True) if rows < 1]
            raise ValueError(f"domains without a row: {empty}; add text or leave them out")
        if (
            batch_rows < 1
            or not 0 < epoch_share <= 1
            or (max_epochs is not None and max_epochs <= 0)
        ):
            raise ValueError(
                "need batch_rows >= 1, 0 < epoch_share <= 1, max_epochs > 0 or None, got "
                f"{batch_rows}, {epoch_share}, {max_epochs}"
            )
        self.domains = domains
        self.batch_rows = batch_rows
        self.offered_rows: Ints = np.maximum(np.floor(epoch_share * num_rows), 1).astype(np.int64)
        """Rows of each domain's epoch, shape (D,)."""
        self.epoch_draws: Floats = self.offered_rows * (
            1.0 if draws_per_row is None else draws_per_row
        )
        """Draws of each domain until its rows begin again, shape (D,)."""
        self._num_rows = num_rows.astype(np.int64)
        self._stretches: dict[int, tuple[int, Ints]] = {}
        self._seed = seed
        self._max_epochs = max_epochs
        self._limits = self._count_limits(pool_rows)
        self._policy = epoch_policy
        self._subset_keys = np.array(
            [permutation_key(seed, name, "subset") for name in domains], dtype=np.uint64
        )

    def initial(self) -> SamplerState:
        """Return the state before the first batch."""
        return SamplerState(
            cursors=np.zeros(len(self.domains), dtype=np.int64), carry=np.zeros(len(self.domains))
        )

    def plan(self, state: SamplerState, weights: Floats) -> tuple[BatchPlan, SamplerState]:
        """Plan the next batch; return it and the state after it.

        Raises:
            ValueError: The weights are no mixture over the domains, or max_epochs is reached and
                the policy is "error", or no domain is left.
        """
        if weights.shape != (len(self.domains),):
            raise ValueError(f"weights must have shape ({len(self.domains)},), got {weights.shape}")
        applied, counts, carry = self._apportion(state, weights)
        domain_index, order = _interleave(counts)
        # By domain first: the rows after its cursor; then in the order of the slots.
        drawn = [
            self._upcoming(domain, cursor, count)
            for domain, (cursor, count) in enumerate(
                zip(state.cursors.tolist(), counts.tolist(), strict=True)
            )
            if count
        ]
        rows, epochs = np.concatenate(drawn, axis=1)[:, order]
        plan = BatchPlan(
            domain_index=domain_index,
            rows=rows,
            epochs=epochs,
            requested=weights,
            applied=applied,
            counts=counts,
        )
        return plan, SamplerState(cursors=state.cursors + counts, carry=carry)

    def locate(self, domain_index: Ints, places: Ints) -> tuple[Ints, Ints]:
        """Return row and epoch of places in the streams of rows of their domains, shape (n,) each.

        Args:
            domain_index: Domain of each, shape (n,).
            places: From 0, in the stream that goes through all offered rows in each epoch.
        """
        rows, epochs = np.empty_like(places), np.empty_like(places)
        for domain in np.unique(domain_index).tolist():
            here = domain_index == domain
            rows[here], epochs[here] = self._locate(domain, places[here])
        return rows, epochs

    def _upcoming(self, domain: int, first: int, count: int) -> Ints:
        """Rows and epochs, shape (2, count), of the places from `first` in one domain's stream.

        They depend on the place alone, so a stretch is worked out at once and remembered.
        """
        begin, known = self._stretches.get(domain, (0, _NO_PLACES))
        if first < begin or first + count > begin + known.shape[1]:
            places = first + np.arange(max(count, _STRETCH), dtype=np.int64)
            begin, known = first, np.stack(self._locate(domain, places))
            self._stretches[domain] = (begin, known)
        return known[:, first - begin : first - begin + count]

    def _apportion(self, state: SamplerState, weights: Floats) -> tuple[Floats, Ints, Floats]:
        applied = weights
        while True:
            counts, carry = apportion(applied, self.batch_rows, state.carry)
            if self._limits is None or self._policy == "allow":
                return applied, counts, carry
            over = (state.cursors + counts > self._limits) & (counts > 0)
            if not over.any():
                return applied, counts, carry
            names = [name for name, flag in zip(self.domains, over, strict=True) if flag]
            if self._policy == "error":
                raise ValueError(
                    f"domains {names} would pass max_epochs {self._max_epochs}: they may be drawn "
                    f"{self._limits[over].tolist()} times; lower their weights, raise "
                    "max_epochs or set epoch_policy to drop or allow"
                )
            left = np.where(over, 0.0, applied)
            if left.sum() == 0:
                raise ValueError(
                    f"no domain with a weight has rows left below max_epochs {self._max_epochs}; "
                    "train fewer steps, raise max_epochs or set epoch_policy to allow"
                )
            applied = left / left.sum()

    def _count_limits(self, pool_rows: Ints | None) -> Ints | None:
        """Draws of each domain that max_epochs allows, shape (D,): those of whole pools."""
        if self._max_epochs is None:
            return None
        sizes = np.ones_like(self.offered_rows) if pool_rows is None else pool_rows
        # A product such as 4.35 * 100 may lie a rounding error below its whole number.
        pools = np.floor(self._max_epochs * self.offered_rows / sizes * (1 + _ROUNDING))
        return np.rint(pools * sizes * (self.epoch_draws / self.offered_rows)).astype(np.int64)

    def _locate(self, domain: int, places: Ints) -> tuple[Ints, Ints]:
        """Rows and epochs of places in the stream of one domain, in any order."""
        offered, available = self.offered_rows[domain], self._num_rows[domain]
        epochs, offsets = np.divmod(places, offered)
        named, which = np.unique(epochs, return_inverse=True)
        keys = np.array(
            [permutation_key(self._seed, self.domains[domain], epoch) for epoch in named.tolist()],
            dtype=np.uint64,
        )
        rows = permute(offsets, np.full_like(offsets, offered), keys[which])
        if offered != available:
            subset = np.full(len(rows), self._subset_keys[domain])
            rows = permute(rows, np.full_like(rows, available), subset)
        return rows, epochs


def _interleave(counts: Ints) -> tuple[Ints, Ints]:
    """Spread the domains over the slots: the k-th of n rows stands at (k + 1/2) / n.

    Return the domain of each slot, and which it is if the rows are counted domain by domain.
    """
    domain_index = np.repeat(np.arange(len(counts)), counts)
    firsts = counts.cumsum() - counts
    nth = np.arange(len(domain_index)) - firsts[domain_index]
    order = ((nth + 0.5) / counts[domain_index]).argsort(kind="stable")
    return domain_index[order], order
