"""The training loop beside a bare one, and methods that change the mixture beside fixed weights.

    step     5 million parameters: the whole loop against model, optimiser and one ready batch
    mixers   256 rows a step: ODM, Aioli, Skill-It and DoGE against fixed weights, equal steps

The trainings that are compared take a step in turn (benchmarks.alternation).
"""

import dataclasses
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.alternation import Training, alternate, in_groups
from benchmarks.comparison import Comparison
from benchmarks.random_shards import NUM_DOMAINS, write_random_shards

if TYPE_CHECKING:
    from training.config import MixerConfig, RunConfig

VOCAB_SIZE = 8192
_WARM_UP = 2
_ROUND = 50
"""Steps in which every method does once what it does now and then."""


def loop_config(folders: list[Path], *, steps: int, **changes: object) -> "RunConfig":
    """Return a run of 5 million parameters on one thread, 8 rows of 256 tokens a step."""
    from training.config import MixerConfig, ModelConfig, RunConfig, ScheduleConfig

    config = RunConfig(
        run_id="bench",
        domains={path.name: str(path) for path in folders},
        model=ModelConfig(
            hidden_size=256,
            num_layers=4,
            num_heads=8,
            intermediate_size=704,
            context_tokens=256,
            tied_embeddings=True,
        ),
        schedule=ScheduleConfig(steps=steps, batch_rows=8, peak_lr=1e-3, warmup_steps=4),
        mixer=MixerConfig(method="uniform"),
        device="cpu",
        num_threads=1,
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def whole_loop(config: "RunConfig", out: Path) -> Training:
    """Return the training that a user starts."""
    from training.loop import train

    return lambda stepped: train(config, out, on_progress=lambda _: stepped())


def bare_loop(config: "RunConfig", *, vocab_size: int) -> Training:
    """Return the same steps on one ready batch: model, loss, clipping and optimiser, nothing else.

    The batch is divided as the loop does it: small blocks of memory are faster on a CPU.
    """
    import torch

    from training.model import open_model, row_losses, split_rows
    from training.optimisation import build_optimiser

    def run(stepped: Callable[[], None]) -> None:
        model = open_model(config.model, vocab_size=vocab_size, eos_id=0, seed=0).train()
        optimiser = build_optimiser(model, config.schedule)
        batch_rows, tokens = config.schedule.batch_rows, config.model.context_tokens
        rows = torch.randint(
            vocab_size, (batch_rows, tokens + 1), generator=torch.Generator().manual_seed(0)
        )
        for _ in range(config.schedule.steps):
            optimiser.zero_grad(set_to_none=True)
            for part in split_rows(rows, vocab_size):
                (row_losses(model, part).sum() / (batch_rows * tokens)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            stepped()

    return run


def compare_step(folder: Path, *, steps: int = 33) -> tuple[list[Comparison], list[str]]:
    """The whole loop against a bare one."""
    import torch

    folders = write_random_shards(folder, tokens=200_000, vocab_size=VOCAB_SIZE)
    config = loop_config(folders, steps=steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = alternate(
            {
                "loop": whole_loop(config, folder / "run"),
                "bare": bare_loop(config, vocab_size=VOCAB_SIZE),
            }
        )
    finally:
        torch.set_num_threads(threads)
    parameters = json.loads((folder / "run/result.json").read_text())["num_parameters"]
    # The last step of the loop has the evaluation at the end of a run.
    ours, theirs = (in_groups(seconds[name][_WARM_UP:-1]) for name in ("loop", "bare"))
    row = Comparison(
        step=f"train a Llama of {parameters / 1e6:.1f} M parameters, whole loop",
        peer="bare loop, one batch",
        unit="ktokens/s",
        amount=config.schedule.batch_rows * config.model.context_tokens / 1e3,
        ours=ours,
        theirs=theirs,
    )
    return [row], [_data_wait(folder / "run")]


def _data_wait(run: Path) -> str:
    lines = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    waited = sum(line["data_seconds"] for line in lines)
    worked = sum(line["step_seconds"] for line in lines)
    return (
        "Whole loop and bare loop take a step in turn; a turn of the table is the median of a "
        f"fifth of {sum(line['steps'] for line in lines)} steps. Waiting for data took "
        f"{waited / (waited + worked):.3%} of the time of the steps."
    )


def _methods(domains: list[str]) -> dict[str, "MixerConfig"]:
    """Methods to measure, each so set that _ROUND steps are one round."""
    from training.config import MixerConfig

    probing = {"sweeps": 2, "probe_steps": 3, "round_steps": _ROUND}
    # A chain: with every edge there, Skill-It would say that no order helps and evaluate nothing.
    graph = {name: {other: float(name <= other) for other in domains} for name in domains}
    return {
        "fixed weights": MixerConfig(method="uniform"),
        "ODM at every step": MixerConfig(method="odm"),
        "Aioli": MixerConfig(method="aioli", settings={**probing}),
        "Aioli, training losses as the signal": MixerConfig(
            method="aioli", settings={**probing}, losses="training"
        ),
        "Skill-It": MixerConfig(
            method="skill_it",
            settings={"graph": graph, "round_steps": _ROUND, "evaluation_steps": 10},
        ),
        "DoGE, a measurement every 50 steps": MixerConfig(
            method="doge", settings={"every_steps": _ROUND}
        ),
    }


def compare_mixers(folder: Path, *, turns: int = 3) -> tuple[list[Comparison], list[str]]:
    """Methods that change the mixture against fixed weights, with 256 rows a step."""
    from training.config import EvaluationConfig, ModelConfig, ScheduleConfig

    folders = write_random_shards(folder, tokens=500_000, vocab_size=512)
    base = loop_config(
        folders,
        steps=_ROUND + _WARM_UP,
        model=ModelConfig(
            hidden_size=64, num_layers=2, num_heads=2, intermediate_size=176, context_tokens=32
        ),
        schedule=ScheduleConfig(
            steps=_ROUND + _WARM_UP, batch_rows=256, peak_lr=1e-3, warmup_steps=4
        ),
        evaluation=EvaluationConfig(rows_per_domain=4),
    )
    methods = _methods([path.name for path in folders])
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(turns):
        trainings = {
            name: whole_loop(dataclasses.replace(base, mixer=mixer), folder / f"{turn}-{name}")
            for name, mixer in methods.items()
        }
        for name, steps in alternate(trainings).items():
            seconds[name].append(_round_seconds(steps, _rare_steps(folder / f"{turn}-{name}")))
    fixed = seconds.pop("fixed weights")
    rows = [
        Comparison(
            step=f"train, {name}",
            peer="fixed weights",
            unit="ktokens/s",
            amount=_ROUND * base.schedule.batch_rows * base.model.context_tokens / 1e3,
            ours=ours,
            theirs=fixed,
        )
        for name, ours in seconds.items()
    ]
    return rows, [
        f"Methods: {NUM_DOMAINS} domains, {base.schedule.batch_rows} rows of "
        f"{base.model.context_tokens} tokens a step, equal steps in turn; a turn of the table is a "
        f"round of {_ROUND} steps from the median steps with and without a measurement.",
        *(_evaluation_share(name, folder / f"0-{name}") for name in seconds),
    ]


def _rare_steps(run: Path) -> set[int]:
    """Steps, from 1, after which a run evaluated or before which it measured gradients."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rare = {line["step"] for line in lines if "heldout" in line}
    settings = json.loads((run / "config.json").read_text())["mixer"]["settings"]
    if "every_steps" in settings:
        rare |= set(range(1, len(lines) + 1, settings["every_steps"]))
    return rare


def _round_seconds(steps: Sequence[float], rare: set[int]) -> float:
    """Typical seconds of a round: so many times the median step of each of the two kinds.

    Left out are the first step, which opens the run, and the last, which ends it. A sum of the
    steps would be decided by what else the machine did in a few of them.
    """
    kinds: dict[bool, list[float]] = {False: [], True: []}
    for step in range(_WARM_UP, len(steps)):
        kinds[step in rare].append(steps[step - 1])
    return sum(len(kind) * statistics.median(kind) for kind in kinds.values() if kind)


def _evaluation_share(name: str, run: Path) -> str:
    """Say what the run itself declares: its evaluations as a share of its training."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    shares = [line["evaluation_share"] for line in lines[:-1] if "evaluation_share" in line]
    declared = f"{shares[-1]:.2%} of the training" if shares else "none"
    return f"Evaluations that the run of {name} declares: {declared}."
