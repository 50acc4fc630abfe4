"""The training engine beside bare loops, other loaders and another trainer, in one run.

    loader       rows of seven domains, against five other ways to load them
    step         the whole loop against model, optimiser and one ready batch
    mixers       methods that change the mixture against fixed weights, at equal steps
    checkpoint   how long a step is held up, against torch.save; resuming, against reading the file
    trainer      5 million parameters, bfloat16 and compiled, against the Trainer of transformers

`python -m benchmarks.engine --only loader` measures one of them. Peers that pin other versions of
torch or numpy have environments of their own: `--engine-python PATH`, once for each, names them.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.checkpoints import compare_checkpoints
from benchmarks.comparison import Comparison, Family, Inputs
from benchmarks.loading import compare_loaders
from benchmarks.loops import compare_mixers, compare_step
from benchmarks.peer_environments import Environments
from benchmarks.trainer_peer import compare_trainer

Part = Callable[[Path, Environments], tuple[list[Comparison], list[str]]]

PARTS: dict[str, Part] = {
    "loader": compare_loaders,
    "step": lambda folder, _: compare_step(folder),
    "mixers": lambda folder, _: compare_mixers(folder),
    "checkpoint": lambda folder, _: compare_checkpoints(folder),
    "trainer": compare_trainer,
}


def measure(inputs: Inputs) -> Family:
    """All parts; the given corpora are not used, speed does not depend on what tokens say."""
    environments = Environments(inputs.engine_pythons)
    rows: list[Comparison] = []
    notes: list[str] = []
    for part in PARTS.values():
        with tempfile.TemporaryDirectory() as folder:
            more, said = part(Path(folder), environments)
        rows += more
        notes += said
    return Family(rows=rows, notes=notes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="repeat for several")
    parser.add_argument(
        "--engine-python",
        action="append",
        type=Path,
        default=[],
        help="Python of an environment with accelerate, streaming, litdata or grain; repeat",
    )
    given = parser.parse_args()
    environments = Environments(given.engine_python)
    for name in given.only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            rows, notes = PARTS[name](Path(folder), environments)
        print("\n".join([*(row.row() for row in rows), *notes]), flush=True)


if __name__ == "__main__":
    main()
