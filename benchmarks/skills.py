"""The idea of Skill-It on a task with known prerequisites: `python -m benchmarks.skills`.

Trains a small model on every skill of two planted chains alone and on every two, half and half,
over several seeds, and answers two questions:

    graph    does the brute-force skill graph of these runs have the planted edges?   F1
    target   is the hardest skill learnt in fewer steps with its prerequisite in the mixture than
             alone, although it then has half the data?       paired difference, 95 % interval

A skill counts as learnt at the first evaluation below the loss half-way between knowing no answer
and all. A run that never gets there counts with all its steps, which understates the difference.
"""

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.comparison import Family, Inputs
from training.arrays import Floats
from training.config import (
    EvaluationConfig,
    MixerConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
)
from training.loop import train
from training.planted_chain import PlantedChain, write_planted_chain
from training.seed_intervals import seed_intervals
from training.skill_graph import SkillGraph, learn_skill_graph
from training.skill_runs import arrange_skill_runs

BATCH_ROWS = 32
EVALUATED_ROWS = 64
EVALUATION_STEPS = 25
MIN_WEIGHT = 0.01
"""Smallest edge, as a share of the loss before training. Repeats make any effect certain: with
eight seeds sums helped facts by .0003, for sure, which orders nothing."""
NUM_CHAINS = 2
NUM_SEEDS = 5
NUM_STEPS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What came out."""

    graph: SkillGraph
    """Learnt from the runs."""
    edge_f1: float
    """Of its positive edges against the planted ones."""
    certain_edge_f1: float
    """The same if every certain edge counts, however small."""
    saved_steps: Floats
    """Steps of the hardest skill alone less those with its prerequisite, one for each seed."""
    processor_seconds: float
    """Of all trainings."""

    def lines(self) -> list[str]:
        """The answer in words."""
        gain = seed_intervals(self.saved_steps, level=0.95)
        found = [
            f"{edge.train}->{edge.evaluated} {edge.weight:.3f} {edge.sign}"
            for edge in self.graph.edges
        ]
        return [
            f"edges: {', '.join(found)}",
            f"edge F1 {self.edge_f1:.2f}, verdict {self.graph.diagnosis.verdict} (edges of at least "
            f"{self.graph.min_weight:g} of the loss before training; {self.certain_edge_f1:.2f} with "
            "all that are certain, however small)",
            f"steps saved by the prerequisite: {self.saved_steps.tolist()}, mean {gain.mean:.0f}, "
            f"95 % interval {gain.low:.0f} to {gain.high:.0f}",
            f"{self.processor_seconds:.0f} processor seconds, {len(self.graph.used)} runs of "
            f"{self.graph.steps} steps",
        ]


def measure(_: Inputs) -> Family:
    """Measure the family for `make bench`: no peer, so what is found stands alone."""
    with tempfile.TemporaryDirectory() as folder:
        finding = experiment(
            PlantedChain(num_chains=NUM_CHAINS),
            seeds=range(1, 1 + NUM_SEEDS),
            steps=NUM_STEPS,
            folder=Path(folder),
            num_workers=1,
        )
    return Family(rows=[], notes=[], findings=finding.lines())


def edge_f1(graph: SkillGraph, planted: frozenset[tuple[str, str]]) -> float:
    """F1 of the positive edges between different skills."""
    found = {
        (edge.train, edge.evaluated)
        for edge in graph.edges
        if edge.sign == "positive" and edge.train != edge.evaluated
    }
    return 2 * len(found & planted) / (len(found) + len(planted))


def run_config(
    shards: dict[str, Path], chosen: tuple[str, ...], seed: int, *, tokens: int, steps: int
) -> RunConfig:
    """One training on some skills in equal shares, with all of them evaluated on the way."""
    weights = {skill: float(skill in chosen) / len(chosen) for skill in shards}
    return RunConfig(
        run_id=f"{'-'.join(chosen)}-{seed}",
        domains={skill: str(folder) for skill, folder in shards.items()},
        model=ModelConfig(
            hidden_size=48, num_layers=2, num_heads=4, intermediate_size=96, context_tokens=tokens
        ),
        schedule=ScheduleConfig(
            steps=steps,
            batch_rows=BATCH_ROWS,
            peak_lr=4e-3,
            warmup_steps=50,
            final_lr_share=1.0,
            weight_decay=0.01,
            beta2=0.98,
        ),
        mixer=MixerConfig(method="fixed", settings={"weights": weights}),
        evaluation=EvaluationConfig(rows_per_domain=EVALUATED_ROWS, every_steps=EVALUATION_STEPS),
        seed=seed,
        num_threads=1,
        device="cpu",
    )


def losses_on_the_way(folder: Path) -> pl.DataFrame:
    """Columns step and one held-out loss for each skill, of a finished run."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return pl.DataFrame(
        [{"step": line["step"], **line["heldout"]} for line in lines if "heldout" in line]
    )


def learnt_at(losses: pl.DataFrame, skill: str, chain: PlantedChain) -> int:
    """First evaluated step at which a skill counts as learnt; the last one if none does."""
    limit = chain.half_learnt_nats(chain.skills.index(skill) % chain.depth + 1)
    learnt = losses.filter(pl.col(skill) < limit)
    return int((learnt if learnt.height else losses)["step"][0 if learnt.height else -1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """One finished run."""

    row: dict[str, str | int | float]
    """Of the table of runs."""
    learnt_at: int
    """Step at which the hardest skill of the first chain was learnt."""
    processor_seconds: float
    """Of the training."""


def train_one(
    chain: PlantedChain,
    shards: dict[str, Path],
    chosen: tuple[str, ...],
    *,
    seed: int,
    steps: int,
    folder: Path,
) -> Trained:
    """Train on some skills and read off what the graph needs."""
    config = run_config(shards, chosen, seed, tokens=chain.context_tokens, steps=steps)
    began = time.process_time()
    train(config, folder / config.run_id)
    seconds = time.process_time() - began
    losses = losses_on_the_way(folder / config.run_id)
    last, first = losses.row(-1, named=True), losses.row(0, named=True)
    reached = learnt_at(losses, chain.skills[chain.depth - 1], chain)
    ends = ", ".join(f"{skill} {last[skill]:.3f}" for skill in shards)
    print(f"{config.run_id}: {seconds:.0f} s, learnt at {reached}, losses {ends}", flush=True)
    row: dict[str, str | int | float] = {"run_id": config.run_id, "seed": seed, "steps": steps}
    for skill in shards:
        row[f"p_{skill}"] = float(skill in chosen) / len(chosen)
        row[f"loss_{skill}"], row[f"initial_loss_{skill}"] = last[skill], first[skill]
    return Trained(
        row=row,
        learnt_at=reached,
        processor_seconds=seconds,
    )


def experiment(
    chain: PlantedChain, *, seeds: range, steps: int, folder: Path, num_workers: int
) -> Finding:
    """Train all runs and learn the graph.

    Args:
        chain: The task.
        seeds: Repeats of every run, at least 3.
        steps: Of every run, a multiple of EVALUATION_STEPS.
        folder: For shards and runs.
        num_workers: Trainings at a time.
    """
    shards = write_planted_chain(
        chain, folder / "shards", num_train=BATCH_ROWS * steps + 1, num_heldout=1000, seed=0
    )
    mixtures = [*((skill,) for skill in chain.skills), *combinations(chain.skills, 2)]
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        futures = {
            (chosen, seed): pool.submit(
                train_one, chain, shards, chosen, seed=seed, steps=steps, folder=folder
            )
            for seed in seeds
            for chosen in mixtures
        }
        runs = {key: future.result() for key, future in futures.items()}
    table = pl.DataFrame([run.row for run in runs.values()])
    table.write_csv(folder / "runs.csv")
    arranged = arrange_skill_runs(table)
    graph = learn_skill_graph(arranged, min_weight=MIN_WEIGHT)
    hardest = chain.skills[chain.depth - 1]
    target, helped = (hardest,), (chain.skills[0], hardest)
    saved = [runs[target, seed].learnt_at - runs[helped, seed].learnt_at for seed in seeds]
    return Finding(
        graph=graph,
        edge_f1=edge_f1(graph, chain.edges),
        certain_edge_f1=edge_f1(learn_skill_graph(arranged), chain.edges),
        saved_steps=np.array(saved, dtype=np.float64),
        processor_seconds=sum(run.processor_seconds for run in runs.values()),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=256)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--chains", type=int, default=NUM_CHAINS)
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    parser.add_argument("--out", type=Path, help="new folder for shards, runs and runs.csv")
    options = parser.parse_args()
    chain = PlantedChain(num_keys=options.keys, depth=options.depth, num_chains=options.chains)
    with tempfile.TemporaryDirectory() as temporary:
        finding = experiment(
            chain,
            seeds=range(options.first_seed, options.first_seed + options.seeds),
            steps=options.steps,
            folder=options.out or Path(temporary),
            num_workers=options.workers,
        )
    print("\n".join(finding.lines()))


if __name__ == "__main__":
    main()
