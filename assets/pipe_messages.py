"""Reads Pipes messages from a file, whole lines only.

The stock file reader takes what it finds up to the end of the file for a line; when a message
crosses a page while it is being written, half of it is parsed, the reading thread dies with a JSON
error and all later messages are lost. This one waits for the line's end.

A file works for a process on another machine too, where both see its folder. There it is safer than
the log of a job: processes that share a log can write into each other's lines, and a follower of a
log stops at the first broken connection.
"""

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import dagster as dg
from dagster_pipes import PipesDefaultMessageWriter, PipesMessage, PipesParams

if TYPE_CHECKING:  # the type is not exported
    from dagster._core.pipes.context import PipesMessageHandler

POLL_SECONDS = 0.2


class WholeLineMessageReader(dg.PipesMessageReader):
    """Follows a temporary file that one process appends messages to.

    torchrun may start the process again, which then opens and closes its end once more; all that is
    one conversation, which is closed when nothing more can come.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        observe: Callable[[Sequence[object]], None] | None = None,
    ) -> None:
        """Read for one session.

        Args:
            folder: Where the file is made, visible to the process under the same path; None: in
                the folder for temporary files of this machine.
            observe: Given all custom messages so far, by the thread that reads, after new ones.
        """
        self._folder = folder
        self._observe = observe
        self.messages: Sequence[object] = ()
        """All custom messages so far."""

    @contextmanager
    def read_messages(self, handler: "PipesMessageHandler") -> Iterator[PipesParams]:
        """Hand messages over as they come; on leaving, what is still unread.

        Args:
            handler: Takes each message.
        """
        with tempfile.TemporaryDirectory(prefix="messages-", dir=self._folder) as folder:
            path = Path(folder, "messages.jsonl")
            path.touch()
            closed = threading.Event()
            with path.open("rb") as stream:
                follower = threading.Thread(
                    target=self._follow, args=(stream, handler, closed), daemon=True
                )
                follower.start()
                try:
                    yield {PipesDefaultMessageWriter.FILE_PATH_KEY: str(path)}
                finally:
                    closed.set()
                    follower.join()

    def _follow(
        self, stream: BinaryIO, handler: "PipesMessageHandler", closed: threading.Event
    ) -> None:
        unfinished = b""
        last_look = False
        closing: PipesMessage | None = None
        while not last_look:
            last_look = closed.wait(POLL_SECONDS)  # asked first: then nothing can be missed
            *lines, unfinished = (unfinished + stream.read()).split(b"\n")
            for message in map(json.loads, lines):
                if message["method"] == "closed":
                    closing = message
                else:
                    handler.handle_message(message)
            if lines:
                self._look(handler)
        if closing is not None:
            handler.handle_message(closing)

    def _look(self, handler: "PipesMessageHandler") -> None:
        self.messages = handler.get_custom_messages()
        if self._observe is not None:
            self._observe(self.messages)

    def no_messages_debug_text(self) -> str:
        """Say where messages were expected."""
        return "Attempted to read messages from a temporary file."
