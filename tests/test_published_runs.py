"""Every bar on published runs: MIXWRIGHT_REFERENCE names the folder that holds their CSV files."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import known_data

# Set for six runs that the folder may lack; here the log-linear law meets a fifth of the others,
# and fresh noise on laws that were themselves fitted to noise, which made some of them steeper.
HARDER_HERE = ("log_linear, left-out error of the weighted loss", "mean absolute error to the law")
ROOM = 1.4
COVERAGE_ROOM = 0.05
"""A share is estimated from 8 to 40 draws: its standard error is up to .042."""


@pytest.mark.parametrize("name", list(known_data.PROCEDURES))
def test_bars_on_published_runs_hold(name):
    folder = os.environ.get("MIXWRIGHT_REFERENCE")
    if folder is None:
        pytest.skip("set MIXWRIGHT_REFERENCE to a folder of published runs as CSV")
    bars = known_data.PROCEDURES[name](Path(folder))
    assert bars
    for bar in bars:
        if any(what in bar.what for what in HARDER_HERE):
            assert bar.measured <= ROOM * bar.limit, bar.line()
        elif "share of the law inside" in bar.what:
            room = -COVERAGE_ROOM if bar.at_least else COVERAGE_ROOM
            assert replace(bar, limit=bar.limit + room).holds, bar.line()
        else:
            assert bar.holds, bar.line()
