"""Writes checkpoints while the training goes on.

The training waits only until its tensors are copied; hashing, writing and flushing happen in a
thread. One checkpoint is written at a time: the next one, the end of the run and every message
about the last good checkpoint wait for it. An error of the thread reaches whoever waits.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from training.checkpoint import Checkpoint, save_checkpoint


class CheckpointWriter:
    """The writer of one run."""

    def __init__(self, folder: Path, *, keep_last: int) -> None:
        """Write into a folder that is held through lock_folder()."""
        self._folder = folder
        self._keep_last = keep_last
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[Path] | None = None
        self.buffers: dict[str, Tensor] = {}
        """Memory for the copies, used again by every checkpoint; wait() before changing it."""

    def write(self, checkpoint: Checkpoint) -> None:
        """Start to write a checkpoint, whose tensors must not change before wait().

        Raises:
            OSError: The one before could not be written.
        """
        self.wait()
        self._writing = self._thread.submit(
            save_checkpoint, checkpoint, self._folder, keep_last=self._keep_last
        )

    def wait(self) -> None:
        """Return when nothing is being written.

        Raises:
            OSError: The last one could not be written; told once.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        if error is None:
            self.wait()
