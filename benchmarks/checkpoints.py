"""Checkpoints of 100 million parameters: how long one holds training up, and how soon it goes on.

save      seconds of the thread that trains, against torch.save
resume    a whole run from the call to its first step, against reading the file out of the page
          cache; on the clock, since both wait for the same memory and several threads read
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.comparison import Comparison
from benchmarks.loops import loop_config
from benchmarks.random_shards import write_random_shards

if TYPE_CHECKING:
    from training.config import RunConfig

_TURNS = 5


def _hundred_million(folder: Path) -> "RunConfig":
    """A Llama of 100 million parameters whose steps are as small as can be."""
    from training.config import CheckpointConfig, EvaluationConfig, ModelConfig, ScheduleConfig

    folders = write_random_shards(folder, tokens=4096, vocab_size=8192)
    return loop_config(
        folders,
        steps=4,
        model=ModelConfig(
            hidden_size=768,
            num_layers=12,
            num_heads=12,
            intermediate_size=2304,
            context_tokens=8,
        ),
        schedule=ScheduleConfig(steps=4, batch_rows=1, peak_lr=1e-4),
        evaluation=EvaluationConfig(rows_per_domain=1),
        checkpoint=CheckpointConfig(every_steps=1, keep_last=1),
        num_threads=None,
    )


def compare_checkpoints(folder: Path) -> tuple[list[Comparison], list[str]]:
    """Saving and resuming a run; its checkpoint holds parameters and both moments."""
    import torch

    from training.loop import train

    config = _hundred_million(folder)
    out = folder / "run"
    asked: list[float] = []

    def before_second_step() -> bool:
        asked.append(time.perf_counter())
        return len(asked) > 1

    train(config, out, should_stop=before_second_step)
    path = next(out.glob("checkpoints/step-*/tensors.safetensors"))

    def resume() -> float:
        reached: list[float] = []

        def before_first_step() -> bool:
            reached.append(time.perf_counter())
            return True

        began = time.perf_counter()
        train(config, out, should_stop=before_first_step)
        return reached[0] - began

    def read() -> float:
        began = time.perf_counter()
        content = path.read_bytes()
        seconds = time.perf_counter() - began
        assert len(content) == path.stat().st_size
        return seconds

    resume()
    resuming = _by_turns(resume, read)
    saving = _saving(config, folder)
    size = path.stat().st_size / 1e9
    rows = [
        Comparison(
            step=f"{step}, {size:.2f} GB",
            peer=peer,
            unit="GB/s",
            amount=size,
            ours=ours,
            theirs=theirs,
        )
        for step, peer, (ours, theirs) in (
            ("hold up training for a checkpoint of 100 M parameters", "torch.save", saving),
            ("resume to the first step", "reading the file", resuming),
        )
    ]
    return rows, [
        "A resumed run verifies the digest of the whole file; its time is on the clock of "
        f"{torch.get_num_threads()} threads, all others are processor seconds."
    ]


def _saving(config: "RunConfig", folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of this thread for a checkpoint in the background, and for torch.save."""
    import torch

    from training.checkpoint import Checkpoint
    from training.checkpoint_tensors import collect_tensors
    from training.checkpoint_writer import CheckpointWriter
    from training.model import open_model
    from training.optimisation import build_optimiser

    model = open_model(config.model, vocab_size=8192, eos_id=0, seed=0)
    optimiser = build_optimiser(model, config.schedule)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    writer = CheckpointWriter(folder / "saved", keep_last=1)
    (folder / "saved").mkdir()
    steps = iter(range(1, 100))

    def save() -> float:
        writer.wait()
        began = time.thread_time()
        tensors = collect_tensors(model, optimiser, buffers=writer.buffers)
        writer.write(Checkpoint(step=next(steps), config_digest="", tensors=tensors, state={}))
        held_up = time.thread_time() - began
        writer.wait()
        return held_up

    def save_with_torch() -> float:
        began = time.thread_time()
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
        torch.save(state, folder / "peer.pt")
        return time.thread_time() - began

    save()  # the first one allocates the memory for the copies
    with writer:
        return _by_turns(save, save_with_torch)


def _by_turns(
    ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Seconds that each says itself, by turns."""
    pairs = [(ours(), theirs()) for _ in range(_TURNS)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
