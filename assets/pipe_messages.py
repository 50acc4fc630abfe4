"""Reads Pipes messages from a file, whole lines only.

The stock file reader takes what it finds up to the end of the file for a line; when a message
crosses a page while it is being written, half of it is parsed, the reading thread dies with a JSON
error and all later messages are lost. This one waits for the line's end.
"""

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import dagster as dg
from dagster_pipes import PipesDefaultMessageWriter, PipesParams

if TYPE_CHECKING:  # the type is not exported
    from dagster._core.pipes.context import PipesMessageHandler

POLL_SECONDS = 0.2


class WholeLineMessageReader(dg.PipesMessageReader):
    """Follows a temporary file that one process appends messages to."""

    @contextmanager
    def read_messages(self, handler: "PipesMessageHandler") -> Iterator[PipesParams]:
        """Hand messages over as they come; on leaving, what is still unread.

        Args:
            handler: Takes each message.
        """
        with tempfile.TemporaryDirectory() as folder:
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
        while not last_look:
            last_look = closed.wait(POLL_SECONDS)  # asked first: then nothing can be missed
            *lines, unfinished = (unfinished + stream.read()).split(b"\n")
            for line in lines:
                handler.handle_message(json.loads(line))

    def no_messages_debug_text(self) -> str:
        """Say where messages were expected."""
        return "Attempted to read messages from a temporary file."
