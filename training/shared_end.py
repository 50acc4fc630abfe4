"""How processes that train together end when one of them fails: one says why, all with its code.

A process that fails breaks the next exchange of all others, so each of them fails too, with an
error that explains nothing. So the first one leaves a note in the store of addresses before it goes
away; who finds a note ends quietly with the code in it. Who finds a broken exchange and no note
knows that a process was killed: the training can go on at its last checkpoint.
"""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from torch import distributed

from training.ranks import Ranks

EXIT_DEFECT = 1

_LOG = logging.getLogger(__name__)
# gloo raises plain RuntimeErrors, from exchanges of its own and from those of DDP and FSDP2.
_BROKEN_EXCHANGE = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection refused",
    "Broken pipe",
    "Timed out waiting",
    "gloo",
)


class SharedEnd(AbstractContextManager["SharedEnd"]):
    """Turns an error that is expected, or another process's, into an exit code and one line."""

    def __init__(
        self, ranks: Ranks, *, codes: Mapping[type[Exception], int], resumable: int
    ) -> None:
        """Prepare for what may happen inside.

        Args:
            ranks: The processes.
            codes: Exit code of every kind of error that has one; any other is a defect.
            resumable: Exit code if another process was killed.
        """
        self._ranks = ranks
        self._codes = codes
        self._resumable = resumable
        self.code: int | None = None
        """With which code this process ends; None: nothing failed, or a defect was raised."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Log an error unless another process has told its own; a defect passes through."""
        if error is None or not isinstance(error, Exception):
            return False
        known = next((code for kind, code in self._codes.items() if isinstance(error, kind)), None)
        lost = known is None and self._ranks.size > 1 and is_broken_exchange(error)
        own = self._resumable if lost else known
        self.code = self._ranks.first_failure(EXIT_DEFECT if own is None else own)
        if self.code is not None:
            return True
        if own is None:
            return False
        place = f"rank {self._ranks.rank} of {self._ranks.size}: " if self._ranks.size > 1 else ""
        if lost:
            _LOG.error(
                "%sanother process of this training was killed or cannot be reached; start again "
                "to go on at the last checkpoint",
                place,
            )
            _LOG.debug("the exchange that failed", exc_info=error)
        else:
            _LOG.error("%s%s", place, error)
        self.code = own
        return True


def is_broken_exchange(error: Exception) -> bool:
    """Whether an error says that another process did not take part in an exchange."""
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and any(part in str(error) for part in _BROKEN_EXCHANGE)
    )
