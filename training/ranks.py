"""The processes that train one model together, and the few numbers they exchange.

Each process ("rank") runs the same loop. The rows of a batch are divided among them in the order of
its slots, so the batch does not depend on their number. What a decision rests on is summed over all
ranks first, and the decision of the first rank, the leader, is handed to the others: they cannot
drift apart. Numbers for decisions travel between CPUs (gloo), gradients between devices.

torchrun starts the processes and, after a failure, starts all of them again with the same store of
addresses, in which those of the dead ones still stand. So every attempt uses names of its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from training.arrays import Floats

_TIMEOUT = timedelta(minutes=10)
_FAILURE = "failure"


class RanksRejected(ValueError):
    """The environment does not say which of the processes this is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """The place of this process among them."""

    rank: int = 0
    """Its number, from 0."""
    size: int = 1
    """How many there are."""
    local_rank: int = 0
    """Its number on this machine: which of its devices it uses."""
    store: PrefixStore | None = field(default=None, repr=False, compare=False)
    """Where they leave notes for each other in this attempt; None if alone."""

    @property
    def leads(self) -> bool:
        """Whether this process decides and writes the files."""
        return self.rank == 0

    def share(self, num_rows: int) -> slice:
        """Return which of the rows of a batch are this process's; shares differ by at most one."""
        return slice(self.rank * num_rows // self.size, (self.rank + 1) * num_rows // self.size)

    def total(self, values: Floats) -> Floats:
        """Sum over the ranks; all of them get the same bits."""
        if self.size == 1:
            return values
        summed = torch.from_numpy(values.astype(np.float64))  # a copy: it is changed in place
        distributed.all_reduce(summed)
        return np.asarray(summed.numpy())

    def from_leader(self, values: Floats) -> Floats:
        """Return the leader's values; those of the others only give the shape."""
        if self.size == 1:
            return values
        sent = torch.from_numpy(values.astype(np.float64))
        distributed.broadcast(sent, src=0)
        return np.asarray(sent.numpy())

    def any(self, flag: bool) -> bool:
        """Return whether it is so on any rank."""
        return bool(self.total(np.array([float(flag)]))[0] > 0)

    def wait(self) -> None:
        """Go on when all ranks are here."""
        self.total(np.zeros(1))

    def first_failure(self, code: int) -> int | None:
        """Leave a note that this process fails, unless there is one; nobody waits for it.

        Args:
            code: Exit code of this process.

        Returns:
            None if this process is the first to fail, else the exit code of the one that was.
        """
        if self.store is None:
            return None
        # Torchrun's agent keeps the store. Where it is gone too, each process speaks for itself.
        with suppress(distributed.DistError):
            mine = f"{self.rank} {code}"
            found = self.store.compare_set(_FAILURE, "", mine).decode()
            return None if found == mine else int(found.split()[1])
        return None


ALONE = Ranks()
"""One process that trains by itself."""


@contextmanager
def join_ranks(environment: Mapping[str, str], *, device: str) -> Iterator[Ranks]:
    """Meet the other processes that torchrun started; alone if there are none.

    Args:
        environment: Of the process; torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
            MASTER_PORT and TORCHELASTIC_RESTART_COUNT.
        device: "auto", "cpu" or "cuda": which of them exchange gradients.

    Raises:
        RanksRejected: WORLD_SIZE is set, but the rest is not, or something is no number.
    """
    place = _place(environment)
    if place.size == 1:
        yield ALONE
        return
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda and place.local_rank < torch.cuda.device_count():  # else choose_device() says so
        torch.cuda.set_device(place.local_rank)
    store, _, _ = next(rendezvous("env://", timeout=_TIMEOUT))
    attempt = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
    own_store = PrefixStore(f"attempt-{attempt}", store)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=own_store,
        rank=place.rank,
        world_size=place.size,
        timeout=_TIMEOUT,
    )
    try:
        yield replace(place, store=own_store)
    finally:
        distributed.destroy_process_group()


def _place(environment: Mapping[str, str]) -> Ranks:
    try:
        size = int(environment.get("WORLD_SIZE", "1"))
        if size == 1:
            return ALONE
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            environment[name]
        return Ranks(
            rank=int(environment["RANK"]), size=size, local_rank=int(environment["LOCAL_RANK"])
        )
    except (KeyError, ValueError) as error:
        raise RanksRejected(
            f"WORLD_SIZE is {environment['WORLD_SIZE']!r}, but {error} does not fit: start several "
            "processes with torchrun, or remove WORLD_SIZE from the environment to train alone"
        ) from error
