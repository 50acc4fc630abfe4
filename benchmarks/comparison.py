"""One step measured for this project and for a peer, by turns, and how such measurements read."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One step, measured for us and for a peer."""

    step: str
    """What was done."""
    peer: str
    """Who else did it."""
    unit: str
    """Of the rates."""
    amount: float
    """Work of one turn in that unit times seconds."""
    ours: list[float]
    """Processor seconds of each turn."""
    theirs: list[float]
    """The same for the peer."""

    def row(self) -> str:
        """One line of the table."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        ratios = [their / our for our, their in zip(self.ours, self.theirs, strict=True)]
        return (
            f"| {self.step} | {self.amount / ours:.3g} {self.unit} | {self.peer} "
            f"{self.amount / theirs:.3g} {self.unit} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a person gives to the benchmarks."""

    corpora: Path | None
    """Folder of Parquet files with `id` and `text`; None: the fixture corpora, where they serve."""
    peer_python: Path | None
    """Interpreter of an environment with the peers of preparation; None: there is none."""
    turns: int = 3
    """How often each step of preparation and deduplication runs."""
    documents: int = 250
    """Documents of each corpus that preparation takes."""
    reference: Path | None = None
    """Folder of published runs as CSV; None: runs are generated from known laws."""
    engine_pythons: tuple[Path, ...] = ()
    """Interpreters of environments with accelerate, mosaicml-streaming, litdata or grain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What one family of benchmarks measured."""

    rows: list[Comparison]
    """Lines of the table; empty: nothing could be measured."""
    notes: list[str]
    """Sentences beneath it, among them what was left out and why."""
    findings: list[str] = field(default_factory=list)
    """What was found where there is no peer to be faster than."""


def by_turns(
    ours: Callable[[], object], theirs: Callable[[], object], *, turns: int = 5
) -> tuple[list[float], list[float]]:
    """Processor seconds of both, alternating, after one turn of each that does not count."""
    ours()
    theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for side, call in enumerate((ours, theirs)):
            began = time.process_time()
            call()
            seconds[side].append(time.process_time() - began)
    return seconds
