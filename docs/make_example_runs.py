"""Make the example runs for the gate: `python docs/make_example_runs.py`.

Both files have the mixtures of one swarm over seven domains. In `known_law.csv` the losses come
from log-linear laws with little noise: the gate must pass. In `noise.csv` mixtures do not matter at
all, and the losses spread as those of a finished swarm may: the gate must block.
"""

from pathlib import Path

import numpy as np
import polars as pl

from training.swarm import SwarmConfig, design_swarm

FOLDER = Path(__file__).parents[1] / "examples" / "runs"
DOMAINS = ("web", "code", "math", "law", "talk", "books", "po")
NATURAL = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05])


def tables() -> dict[str, pl.DataFrame]:
    """File name -> its rows."""
    rng = np.random.default_rng(11)
    swarm = design_swarm(DOMAINS, NATURAL, SwarmConfig())
    weights = swarm.weights.round(4)
    slopes = rng.normal(0.2, 0.15, (7, 7)) - np.eye(7)
    lawful = 2 + np.exp(weights @ slopes.T) + rng.normal(0, 0.01, (len(weights), 7))
    noise = 4 + rng.normal(0, 0.05, (len(weights), 7))
    shares = {f"p_{name}": weights[:, at] for at, name in enumerate(DOMAINS)}
    return {
        file: pl.DataFrame(
            {
                "run_id": list(swarm.run_ids),
                **shares,
                **{f"loss_{name}": losses[:, at].round(5) for at, name in enumerate(DOMAINS)},
            }
        )
        for file, losses in (("known_law.csv", lawful), ("noise.csv", noise))
    }


def main() -> None:
    """Write both files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, table in tables().items():
        table.write_csv(FOLDER / file)


if __name__ == "__main__":
    main()
