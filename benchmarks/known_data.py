"""Every bar that laws have to clear on published runs: measured, and whether it holds.

The runs are CSV files in the folder given with `--reference`; they are not part of the project.
Where the folder holds only a part of the published runs (no models of a billion parameters, no late
steps), the same procedure is asked for what is there, one size or some steps earlier, and the line
says so. Losses of the parts of a validation set are averaged with the published weights.
"""

from benchmarks.comparison import Family, Inputs
from benchmarks.known_bar import Bar
from benchmarks.known_intervals import intervals
from benchmarks.known_mixing import MIXING
from benchmarks.known_scaling import SCALING
from benchmarks.laws import NO_REFERENCE

PROCEDURES = {**MIXING, **SCALING, "intervals": intervals}
"""Name of a set of runs -> what measures its bars in a folder."""


def measure(inputs: Inputs) -> Family:
    """Measure the family for `make bench`."""
    if inputs.reference is None:
        return Family(rows=[], notes=[NO_REFERENCE])
    bars: list[Bar] = []
    for procedure in PROCEDURES.values():
        bars += procedure(inputs.reference)
    missed = sum(not bar.holds for bar in bars)
    head = f"{len(bars) - missed} of {len(bars)} bars hold."
    return Family(rows=[], notes=[], findings=[head, *(bar.line() for bar in bars)])
