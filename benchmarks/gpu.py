"""Training speed on a GPU: 160 million parameters, 1024 tokens of context, bfloat16, compiled.

    python -m benchmarks.gpu             uniform and Aioli, under ten minutes on one H100 or H200;
                                         puts its section into benchmarks/RESULTS.md
    python -m benchmarks.gpu --tiny      a small model for a few steps, on a CPU too: does it run?
                                         Writes nothing.

It runs in a plain checkout: nothing has to be installed but what it imports, no network is asked,
no data are read. It imports numpy, pydantic, polars, pyarrow, pyyaml, safetensors, scipy, tiktoken,
torch, transformers and xxhash; compiling for a GPU also takes triton, which comes with torch there,
and a C compiler. On a machine without a network, wheels of what is missing can be unpacked into a
folder that PYTHONPATH names (pydantic needs pydantic-core, annotated-types, typing-inspection and
typing-extensions; polars needs polars-runtime-32).

The tokens are random: speed does not depend on what they say. Each method trains twice, by turns,
as a user would start it. Timed are the steps of one round of Aioli, its evaluations included,
on the wall clock between two reports, each of which comes after the device has finished a step. Not
timed are the first steps, in which the passes are compiled, and the last one, after which every run
evaluates.

    FLOPs of a token = 6 N + 12 L H T     N parameters without the input embedding, L layers,
                                          H width, T context; recomputation is not counted
    utilisation      = tokens/s * FLOPs of a token / peak FLOP/s of the card in dense bfloat16

The convention is that of Chowdhery et al. 2022, "PaLM", arXiv:2204.02311, appendix B.
"""

import argparse
import dataclasses
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.comparison import Comparison, Family, Inputs
from benchmarks.results_page import RESULTS, commit, read_sections, section, write_page

if TYPE_CHECKING:
    from training.config import MixerConfig, RunConfig

SECTION = "GPU"
NEEDED = {
    "numpy": "numpy",
    "pydantic": "pydantic",
    "polars": "polars",
    "pyarrow": "pyarrow",
    "yaml": "pyyaml",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "tiktoken": "tiktoken",
    "torch": "torch",
    "transformers": "transformers",
    "xxhash": "xxhash",
}
"""Module -> package that has it."""
PEAK_FLOPS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H200 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "4090": 165e12,
}
"""Dense bfloat16 by a part of the name of the card, from its data sheet; the first that fits."""
MAX_SECONDS = 540.0
METHODS = ("uniform", "aioli")
TURNS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What is trained, and for how long."""

    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    vocab_size: int
    context_tokens: int
    batch_rows: int
    micro_rows: int
    skipped_steps: int
    """First steps, which are not timed."""
    timed_steps: int
    """Steps of a round of Aioli."""
    domain_tokens: int
    compiled: bool

    @property
    def steps(self) -> int:
        """Of a training; the last one is not timed either."""
        return self.skipped_steps + self.timed_steps + 1

    @property
    def timed_tokens(self) -> int:
        """Tokens of the timed steps."""
        return self.timed_steps * self.batch_rows * self.context_tokens

    @property
    def flops_per_token(self) -> float:
        """FLOPs of forward and backward pass."""
        block = 4 * self.hidden_size**2 + 3 * self.hidden_size * self.intermediate_size
        parameters = self.num_layers * block + self.vocab_size * self.hidden_size
        attention = 12 * self.num_layers * self.hidden_size * self.context_tokens
        return 6.0 * parameters + attention


FULL = Scale(
    hidden_size=768,
    num_layers=12,
    num_heads=12,
    intermediate_size=2048,
    vocab_size=50_304,
    context_tokens=1024,
    batch_rows=256,
    micro_rows=32,
    skipped_steps=10,
    timed_steps=100,
    domain_tokens=6_000_000,
    compiled=True,
)
"""162 million parameters, embedding and output apart; 0.26 million tokens a step.

32 rows have 1.65e9 logits: fewer than 2**31, beyond which kernels count in 64 bits, and some 30 GB
with all that a pass keeps."""

TINY = Scale(
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    intermediate_size=32,
    vocab_size=128,
    context_tokens=16,
    batch_rows=16,
    micro_rows=8,
    skipped_steps=2,
    timed_steps=16,
    domain_tokens=8_000,
    compiled=False,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """What one training took."""

    seconds: float
    """Of the timed steps."""
    evaluation_share: float
    """What its evaluations cost as a share of its training, by their rows."""
    data_share: float
    """Waiting for batches, as a share of the seconds of all its steps."""


def measure(inputs: Inputs) -> Family:
    """Uniform weights against Aioli's on the GPU; nothing is measured without one."""
    import torch

    if not torch.cuda.is_available():
        return Family(rows=[], notes=["There is no CUDA device."])
    return compare(FULL, peak=None)


def compare(scale: Scale, *, peak: float | None, max_seconds: float = MAX_SECONDS) -> Family:
    """Train with each mixer by turns; what is known goes to stderr after each training.

    Args:
        scale: What is trained.
        peak: FLOP/s of the device in dense bfloat16; None: by its name, if it is known.
        max_seconds: No turn after the first begins that would not end by then.
    """
    began = time.perf_counter()
    peak = _peak() if peak is None else peak
    found: dict[str, list[Timed]] = {method: [] for method in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        config = _config(scale, Path(folder))
        for turn in range(TURNS):
            turn_began = time.perf_counter()
            for method, measured in found.items():
                mixed = dataclasses.replace(config, mixer=_mixer(method, scale))
                measured.append(_train(mixed, scale, Path(folder) / f"{method}-{turn}"))
                rate = _rate(scale, peak, measured[-1].seconds)
                print(f"{method}, turn {turn + 1}: {rate}", file=sys.stderr, flush=True)
            now = time.perf_counter()
            if now + (now - turn_began) > began + max_seconds:
                break
    row = Comparison(
        step="train on uniform weights",
        peer="Aioli",
        unit="ktokens/s",
        amount=scale.timed_tokens / 1e3,
        ours=[entry.seconds for entry in found["uniform"]],
        theirs=[entry.seconds for entry in found["aioli"]],
    )
    return Family(rows=[row], notes=_notes(scale, found, peak))


def _notes(scale: Scale, found: dict[str, list[Timed]], peak: float | None) -> list[str]:
    notes = [
        f"On {device_name()}; seconds of the wall clock, {scale.timed_steps} steps of "
        f"{scale.batch_rows * scale.context_tokens:,} tokens in passes of {scale.micro_rows} rows "
        f"a turn; {scale.flops_per_token / 1e9:.4g} GFLOP a token."
    ]
    for method, measured in found.items():
        seconds = statistics.median(entry.seconds for entry in measured)
        evaluations = statistics.median(entry.evaluation_share for entry in measured)
        waiting = statistics.median(entry.data_share for entry in measured)
        notes.append(
            f"{method}: {_rate(scale, peak, seconds)}; evaluations that the run declares "
            f"{evaluations:.2%} of its training; waiting for data {waiting:.2%}."
        )
    return notes


def _rate(scale: Scale, peak: float | None, seconds: float) -> str:
    rate = scale.timed_tokens / seconds
    share = "unknown, give --peak" if peak is None else f"{rate * scale.flops_per_token / peak:.1%}"
    return f"{rate:,.0f} tokens/s, model FLOP utilisation {share}"


def device_name() -> str:
    """Name of the card that a run would take."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"


def _peak() -> float | None:
    card = device_name()
    return next((value for name, value in PEAK_FLOPS.items() if name in card), None)


def _config(scale: Scale, folder: Path) -> "RunConfig":
    from benchmarks.random_shards import write_random_shards
    from training.config import (
        EvaluationConfig,
        ExecutionConfig,
        ModelConfig,
        RunConfig,
        ScheduleConfig,
    )

    domains = write_random_shards(folder, tokens=scale.domain_tokens, vocab_size=scale.vocab_size)
    return RunConfig(
        run_id="gpu",
        domains={path.name: str(path) for path in domains},
        model=ModelConfig(
            hidden_size=scale.hidden_size,
            num_layers=scale.num_layers,
            num_heads=scale.num_heads,
            intermediate_size=scale.intermediate_size,
            context_tokens=scale.context_tokens,
        ),
        schedule=ScheduleConfig(
            steps=scale.steps,
            batch_rows=scale.batch_rows,
            peak_lr=6e-4,
            warmup_steps=min(10, scale.steps),
        ),
        mixer=_mixer("uniform", scale),
        evaluation=EvaluationConfig(rows_per_domain=8),
        epoch_policy="allow",
        execution=ExecutionConfig(micro_rows=scale.micro_rows, compile=scale.compiled),
    )


def _mixer(method: str, scale: Scale) -> "MixerConfig":
    from training.config import MixerConfig

    if method == "uniform":
        return MixerConfig(method="uniform")
    # So many steps in a row hold one round, wherever they begin: two sweeps of probes.
    return MixerConfig(
        method="aioli", settings={"round_steps": scale.timed_steps, "probe_steps": 1, "sweeps": 2}
    )


def _train(config: "RunConfig", scale: Scale, out: Path) -> Timed:
    from training.loop import train

    marks: dict[int, float] = {}
    train(config, out, on_progress=lambda report: marks.update({report.step: time.perf_counter()}))
    gc.collect()  # a model and what calls it hold each other; their memory is wanted again
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    timings = [json.loads(text) for text in (out / "timings.jsonl").read_text().splitlines()]
    waited = sum(entry["data_seconds"] for entry in timings)
    worked = sum(entry["step_seconds"] for entry in timings)
    return Timed(
        seconds=marks[scale.skipped_steps + scale.timed_steps] - marks[scale.skipped_steps],
        evaluation_share=line["evaluation_share"],
        data_share=waited / (waited + worked),
    )


def what_is_missing(scale: Scale) -> str | None:
    """Say what this machine lacks to train at a scale; None: nothing."""
    absent = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if absent:
        return f"not installed: {', '.join(absent)}; pip install {' '.join(absent)}"
    if not scale.compiled:
        return None
    import torch

    if not torch.cuda.is_available():
        return "torch finds no CUDA device; --tiny runs on a CPU"
    if find_spec("triton") is None:
        return "not installed: triton, by which torch compiles for a GPU; pip install triton"
    compilers = (os.environ.get("CC"), "gcc", "clang", "cc")
    if not any(name and shutil.which(name) for name in compilers):
        return "no C compiler, which triton needs; install gcc or name one by CC"
    return None


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tiny", action="store_true", help="a small model, on a CPU too")
    parser.add_argument("--peak", type=float, help="FLOP/s of the card in dense bfloat16")
    parser.add_argument("--micro-rows", type=int, help="rows of a pass; lower it for a small card")
    parser.add_argument("--seconds", type=float, default=MAX_SECONDS, help="limit of all turns")
    parser.add_argument("--commit", help="name of the commit, where there is no repository")
    parser.add_argument("--page", type=Path, default=RESULTS, help="file to write the page to")
    given = parser.parse_args()
    scale = TINY if given.tiny else FULL
    if given.micro_rows is not None:
        scale = dataclasses.replace(scale, micro_rows=given.micro_rows)
    if missing := what_is_missing(scale):
        parser.error(missing)
    family = compare(scale, peak=given.peak, max_seconds=given.seconds)
    import torch

    body = section(
        family,
        f"{datetime.now(UTC):%Y-%m-%d}, commit {given.commit or commit()}, {device_name()}, "
        f"torch {torch.__version__}",
    )
    print(body)
    if not given.tiny:
        kept = read_sections(RESULTS.read_text() if RESULTS.exists() else "")
        given.page.write_text(write_page(kept | {SECTION: body}))


if __name__ == "__main__":
    main()
