"""What a stored proxy or training run was, as far as results and report need it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from assets.lake import Artifact


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What a finished run was: some fields of its result.json."""

    run_id: str
    """Name."""
    num_parameters: int
    """Of the model."""
    seed: int
    """Of parameters and order."""
    steps: int
    """Finished."""
    tokens: int
    """Trained on."""
    realised_shares: dict[str, float]
    """Domain -> share of the rows drawn."""
    epochs: dict[str, float]
    """Domain -> passes over what it offers."""


def read_run(run: Artifact) -> RunFacts:
    """Facts of one proxy or training run."""
    return TypeAdapter(RunFacts).validate_python(run.json("result.json"))


def read_weights(run: Artifact) -> tuple[list[int], Mapping[str, list[float]]]:
    """Steps of a training run, and the weight asked for in each, by domain."""
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    trained = [line for line in map(json.loads, lines) if "requested" in line]
    domains = sorted({name for line in trained for name in line["requested"]})
    weights = {name: [float(line["requested"][name]) for line in trained] for name in domains}
    return [int(line["step"]) for line in trained], weights
