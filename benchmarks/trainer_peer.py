"""5 million parameters with bfloat16 and torch.compile, beside the Trainer of transformers.

Two threads, 16 rows of 256 tokens a step, on the clock: that is what a person waits for. The
Trainer runs in bfloat16 and in float32, without compiling, in an environment with accelerate.
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.comparison import Comparison
from benchmarks.loops import loop_config
from benchmarks.peer_environments import Environments, run_peer
from benchmarks.random_shards import write_random_shards

if TYPE_CHECKING:
    from training.config import RunConfig
    from training.step_report import StepReport

_VOCAB_SIZE = 8192
_STEPS = 24
_WARM_UP = 6
_THREADS = 2


def compare_trainer(
    folder: Path, environments: Environments, *, turns: int = 3
) -> tuple[list[Comparison], list[str]]:
    """Ours by turns with the Trainer in bfloat16 and in float32."""
    python = environments.find("accelerate")
    if python is None:
        return [], [
            "The Trainer of transformers was not measured: it needs accelerate. Make an "
            "environment (pip install torch transformers accelerate) and name its Python: "
            "--engine-python PATH."
        ]
    from training.config import ExecutionConfig, ScheduleConfig

    folders = write_random_shards(folder, tokens=200_000, vocab_size=_VOCAB_SIZE)
    config = loop_config(
        folders,
        steps=_STEPS,
        schedule=ScheduleConfig(steps=_STEPS, batch_rows=16, peak_lr=1e-3, warmup_steps=4),
        precision="bfloat16",
        execution=ExecutionConfig(compile=True),
        num_threads=_THREADS,
    )
    ours: list[_Spent] = []
    theirs: dict[str, list[_Spent]] = {"bfloat16": [], "float32": []}
    for turn in range(turns):
        ours.append(_spent_by_loop(config, folder / f"run-{turn}"))
        for precision, spent in theirs.items():
            spent.append(_spent_by_trainer(python, config, bf16=precision == "bfloat16"))
    tokens = config.schedule.batch_rows * config.model.context_tokens
    busy = statistics.median(spent.processor for spent in ours)
    rows = [
        Comparison(
            step="train 5 M parameters, bfloat16, compiled, on the clock of two threads",
            peer=f"transformers.Trainer, {precision}",
            unit="ktokens/s",
            amount=(_STEPS - _WARM_UP) * tokens / 1e3,
            ours=[spent.clock for spent in ours],
            theirs=[spent.clock for spent in others],
        )
        for precision, others in theirs.items()
    ]
    ratios = ", ".join(
        f"{statistics.median(spent.processor for spent in others) / busy:.2f} ({precision})"
        for precision, others in theirs.items()
    )
    return rows, [f"In processor seconds the Trainer takes as many times ours: {ratios}."]


@dataclass(frozen=True, slots=True)
class _Spent:
    """Seconds of as many steps."""

    clock: float
    processor: float


def _spent_by_loop(config: "RunConfig", out: Path) -> _Spent:
    """Measure the steps after those in which the model is compiled; the last one evaluates."""
    from training.loop import train

    marks: dict[int, _Spent] = {}

    def mark(report: "StepReport") -> None:
        marks[report.step] = _Spent(time.perf_counter(), time.process_time())

    train(config, out, on_progress=mark)
    first, last = marks[_WARM_UP - 1], marks[_STEPS - 1]
    return _Spent(last.clock - first.clock, last.processor - first.processor)


def _spent_by_trainer(python: Path, config: "RunConfig", *, bf16: bool) -> _Spent:
    from training.config import ModelConfig

    model = config.model
    assert isinstance(model, ModelConfig)
    settings = {
        "llama": {
            "vocab_size": _VOCAB_SIZE,
            "hidden_size": model.hidden_size,
            "num_hidden_layers": model.num_layers,
            "num_attention_heads": model.num_heads,
            "num_key_value_heads": model.num_heads,
            "intermediate_size": model.intermediate_size,
            "max_position_embeddings": model.context_tokens,
            "tie_word_embeddings": model.tied_embeddings,
        },
        "batch_rows": config.schedule.batch_rows,
        "context_tokens": model.context_tokens,
        "steps": _STEPS,
        "warm_up": _WARM_UP,
        "num_threads": _THREADS,
        "bf16": bf16,
    }
    found = run_peer(python, "transformers_trainer.py", json.dumps(settings))
    return _Spent(found["wall_seconds"], found["seconds"])
