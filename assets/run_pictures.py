"""Plots of one run from its metrics.jsonl, as PNG, for the UI and for pages."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from assets.plots import plot_sampling_weights, plot_training_losses

MOST_POINTS = 4000
"""Steps that are drawn; a longer run is thinned evenly, its last step is kept."""

Line = dict[str, dict[str, float]]


def draw_losses(metrics: Path) -> bytes:
    """Training loss over steps, in all and by domain, with the held-out losses on the way."""
    trained, heldout = _read(metrics)
    return plot_training_losses(
        [int(str(line["step"])) for line in trained],
        [float(str(line["loss"])) for line in trained],
        {
            domain: [line["train"].get(domain) for line in trained]
            for domain in trained[-1]["requested"]
        },
        heldout=heldout,
    )


def draw_weights(metrics: Path) -> bytes:
    """Sampling weights over steps."""
    trained, _ = _read(metrics)
    return plot_sampling_weights(
        [int(str(line["step"])) for line in trained],
        {
            domain: [line["requested"][domain] for line in trained]
            for domain in trained[-1]["requested"]
        },
    )


def read_heldout(metrics: Path) -> dict[int, dict[str, float]]:
    """Step -> domain -> held-out loss, nats per token, of every evaluation of a run."""
    return {
        int(str(line["step"])): line["heldout"] for line in _lines(metrics) if "heldout" in line
    }


def last_line(metrics: Path) -> Line | None:
    """What metrics.jsonl says of the last finished step; None before the first."""
    last = None
    for line in _lines(metrics) if metrics.exists() else ():
        last = line if "requested" in line else last
    return last


def _read(metrics: Path) -> tuple[list[Line], dict[int, dict[str, float]]]:
    trained: list[Line] = []
    heldout: dict[int, dict[str, float]] = {}
    for line in _lines(metrics):
        if "requested" in line:
            trained.append(line)
        if "heldout" in line:
            heldout[int(str(line["step"]))] = line["heldout"]
    return list(thinned(trained)), heldout


def thinned(lines: Sequence[Line]) -> Sequence[Line]:
    """At most MOST_POINTS of the lines, evenly spaced, the last one among them."""
    every = -(-len(lines) // MOST_POINTS)
    return lines[::-1][:: max(every, 1)][::-1]


def _lines(metrics: Path) -> Iterator[Line]:
    """Whole lines only: a run that was killed may have written half of its last one."""
    with metrics.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
