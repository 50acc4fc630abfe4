"""Runs several trainings of as many steps side by side, a step of each in turn.

Each training has a thread of its own, but only the one whose turn it is runs; so what else the
machine does at a moment falls on all of them alike, and processor seconds of the process are those
of one training.
"""

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

Training = Callable[[Callable[[], None]], object]
"""Trains, and calls what it is given after every step."""


class _Turns:
    """Hands the turn from one training to the next."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._holder = names[0]
        self._changed = threading.Condition()
        self._began = 0.0
        self.seconds: dict[str, list[float]] = {name: [] for name in names}

    def wait(self, name: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._holder == name)
        self._began = time.process_time()

    def pass_on(self, name: str) -> None:
        """End the turn of a training after a step and come back with its next one."""
        self.seconds[name].append(time.process_time() - self._began)
        self._give(self._next(name))
        self.wait(name)

    def leave(self, name: str) -> None:
        following = self._next(name)
        self._names.remove(name)
        self._give(following)

    def _next(self, name: str) -> str:
        return self._names[(self._names.index(name) + 1) % len(self._names)]

    def _give(self, name: str) -> None:
        with self._changed:
            self._holder = name
            self._changed.notify_all()


def alternate(trainings: Mapping[str, Training]) -> dict[str, list[float]]:
    """Run trainings step by step in turn; return the processor seconds of the steps of each.

    What comes before the first step counts to it, and what comes after the last counts nowhere.
    The error of a training is raised when all have ended.
    """
    turns = _Turns(list(trainings))

    def run(name: str, training: Training) -> None:
        turns.wait(name)
        try:
            training(lambda: turns.pass_on(name))
        finally:
            turns.leave(name)

    with ThreadPoolExecutor(len(trainings)) as threads:
        running = [threads.submit(run, *entry) for entry in trainings.items()]
    for training in running:
        training.result()
    return turns.seconds


def in_groups(seconds: Sequence[float], groups: int = 5) -> list[float]:
    """Divide steps among groups like cards and return the typical step of each, its median.

    So a burst of other work on the machine, which slows a few steps, does not decide a group.
    """
    return [statistics.median(seconds[group::groups]) for group in range(groups)]
