"""The training engine beside bare loops and other loaders, in one run.

    loader       rows of seven domains, 50 million tokens, 16 x 1024, against random offsets into
                 memory-mapped files and against datasets.interleave_datasets
    step         the whole loop against model, optimiser and one ready batch
    mixer        ODM, which changes its weights at every step, against fixed weights
    checkpoint   how long a step is held up, against torch.save; resuming, against reading the file
    model        5 million parameters, bfloat16 and compiled, against the Trainer of transformers

All are processor seconds of one thread, by turns. `python -m benchmarks.engine --only loader`
measures one of them.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.comparison import Comparison, Family, Inputs, by_turns

if TYPE_CHECKING:
    from training.batch_reader import BatchReader
    from training.config import RunConfig
    from training.sampler import Sampler
    from training.shards import TokenShards

CONTEXT_TOKENS = 1024
BATCH_ROWS = 16
NUM_DOMAINS = 7
DOMAIN_TOKENS = 7_142_858
"""Seven of them are 50 million."""
NUM_BATCHES = 1000
VOCAB_SIZE = 2048
STEPS = 40
WARM_UP = 8


def measure(inputs: Inputs) -> Family:
    """All parts; the given corpora are not used, speed does not depend on what tokens say."""
    rows: list[Comparison] = []
    notes: list[str] = []
    for part in PARTS.values():
        with tempfile.TemporaryDirectory() as folder:
            more, said = part(Path(folder))
        rows += more
        notes += said
    notes.append(
        "mosaicml-streaming and litdata pin other versions of torch and numpy, so they are not "
        "installed here and not measured."
    )
    return Family(rows=rows, notes=notes)


# --- loader


def _write_domains(folder: Path, *, tokens: int, vocab_size: int) -> list[Path]:
    """Shards of random tokens, the same in train/ and heldout/."""
    from training.shards import write_token_shards

    rng = np.random.default_rng(0)
    folders = []
    for domain in range(NUM_DOMAINS):
        drawn = rng.integers(1, vocab_size, size=tokens).astype(np.uint32)
        for split, part in (("train", drawn), ("heldout", drawn[: max(4096, tokens // 100)])):
            out = folder / f"domain-{domain}" / split
            out.mkdir(parents=True)
            write_token_shards(
                [("document", 1, part)],
                out,
                vocab_size=vocab_size,
                eos_id=0,
                tokenizer_digest="none",
            )
        folders.append(folder / f"domain-{domain}")
    return folders


def compare_loaders(folder: Path) -> tuple[list[Comparison], list[str]]:
    """Batches as arrays of ids: with fixed weights, with new ones at every step, and of peers."""
    from training.batch_reader import BatchReader
    from training.sampler import Sampler
    from training.shards import TokenShards

    folders = _write_domains(folder, tokens=DOMAIN_TOKENS, vocab_size=50_000)
    shards = [TokenShards.open(path / "train") for path in folders]
    sampler = Sampler(
        tuple(path.name for path in folders),
        np.array([entry.num_rows(CONTEXT_TOKENS) for entry in shards]),
        seed=0,
        batch_rows=BATCH_ROWS,
        epoch_policy="allow",
    )
    reader = BatchReader(shards, CONTEXT_TOKENS)
    mixtures = np.random.default_rng(1).dirichlet(np.ones(NUM_DOMAINS), size=NUM_BATCHES)

    def ours(changing: bool) -> None:
        state = sampler.initial()
        for step in range(NUM_BATCHES):
            plan, state = sampler.plan(state, mixtures[step if changing else 0])
            reader.read(plan.domain_index, plan.rows)

    mapped = [np.memmap(path / "train/00000.tok", dtype=np.uint16, mode="r") for path in folders]
    random_offsets = _random_offsets(mapped, mixtures[0])
    interleaved, share = _interleaved(shards, mixtures[0])
    step = f"load mixed batches, {NUM_DOMAINS} domains, {BATCH_ROWS} x {CONTEXT_TOKENS} tokens"
    rows = []
    for name, changing, peer, other, part in (
        ("", False, "random offsets into memory-mapped files", random_offsets, 1.0),
        (", new weights at every step", True, "the same, fixed weights", random_offsets, 1.0),
        ("", False, "datasets.interleave_datasets, numpy", interleaved, share),
    ):
        mine, theirs = by_turns(lambda changing=changing: ours(changing), other)  # type: ignore[misc]
        rows.append(
            Comparison(
                step=step + name,
                peer=peer,
                unit="Mtokens/s",
                amount=NUM_BATCHES * BATCH_ROWS * CONTEXT_TOKENS / 1e6,
                ours=mine,
                theirs=[seconds / part for seconds in theirs],
            )
        )
    return rows, [_time_of_new_weights(sampler, reader, mixtures)]


def _random_offsets(mapped: list[np.memmap], weights: np.ndarray) -> Callable[[], None]:
    """Draw a domain and an offset for each row, inputs and labels as int64."""

    def load() -> None:
        rng = np.random.default_rng(0)
        for _ in range(NUM_BATCHES):
            domains = rng.choice(len(mapped), size=BATCH_ROWS, p=weights)
            starts = rng.integers(DOMAIN_TOKENS - CONTEXT_TOKENS - 1, size=BATCH_ROWS)
            for shift in (0, 1):
                np.stack(
                    [
                        mapped[domain][start + shift : start + shift + CONTEXT_TOKENS]
                        for domain, start in zip(domains.tolist(), starts.tolist(), strict=True)
                    ]
                ).astype(np.int64)

    return load


def _interleaved(
    shards: list["TokenShards"], weights: np.ndarray
) -> tuple[Callable[[], None], float]:
    """Rows of Arrow tables drawn one by one; it is slow, so it does a twentieth of the batches."""
    import datasets

    share = 0.05
    rows = np.arange(1000)
    tables = [
        datasets.Dataset.from_dict(
            {"ids": entry.rows(rows, CONTEXT_TOKENS).astype(np.int32)}
        ).with_format("numpy")
        for entry in shards
    ]
    mixed = datasets.interleave_datasets(
        [table.to_iterable_dataset() for table in tables],
        probabilities=weights.tolist(),
        seed=0,
        stopping_strategy="all_exhausted",
    )

    def load() -> None:
        stream = iter(mixed)
        for _ in range(round(share * NUM_BATCHES)):
            np.stack([next(stream)["ids"] for _ in range(BATCH_ROWS)])

    return load, share


def _time_of_new_weights(sampler: "Sampler", reader: "BatchReader", mixtures: np.ndarray) -> str:
    """How long it takes from new weights to the first batch drawn with them."""
    seconds, state = [], sampler.initial()
    for weights in mixtures:
        began = time.thread_time()
        plan, state = sampler.plan(state, weights)
        reader.read(plan.domain_index, plan.rows)
        seconds.append(time.thread_time() - began)
    return (
        f"New weights to the first batch drawn with them: {np.median(seconds) * 1e3:.3f} ms in the "
        f"median, {np.quantile(seconds, 0.99) * 1e3:.3f} ms in 99 of 100 cases."
    )


# --- step, mixer


def _config(folders: list[Path], *, hidden: int = 128, **changes: object) -> "RunConfig":
    from training.config import MixerConfig, ModelConfig, RunConfig, ScheduleConfig

    config = RunConfig(
        run_id="bench",
        domains={path.name: str(path) for path in folders},
        model=ModelConfig(
            hidden_size=hidden,
            num_layers=4,
            num_heads=hidden // 32,
            intermediate_size=hidden * 3,
            context_tokens=256,
        ),
        schedule=ScheduleConfig(steps=STEPS, batch_rows=16, peak_lr=1e-3, warmup_steps=4),
        mixer=MixerConfig(method="uniform"),
        device="cpu",
        num_threads=1,
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def _seconds_of_loop(config: "RunConfig", out: Path) -> float:
    """Processor seconds of the steps after the first few, with all that the loop does."""
    from training.loop import train

    marks: dict[int, float] = {}
    train(config, out, on_progress=lambda report: marks.update({report.step: time.process_time()}))
    return marks[config.schedule.steps] - marks[WARM_UP]


def _seconds_of_bare_loop(config: "RunConfig") -> float:
    """The same steps on one ready batch: model, loss, clipping and optimiser, nothing else."""
    import torch

    from training.model import open_model, row_losses
    from training.optimisation import build_optimiser

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = open_model(config.model, vocab_size=VOCAB_SIZE, eos_id=0, seed=0).train()
        optimiser = build_optimiser(model, config.schedule)
        shape = (config.schedule.batch_rows, config.model.context_tokens + 1)
        rows = torch.randint(VOCAB_SIZE, shape, generator=torch.Generator().manual_seed(0))
        began = 0.0
        for step in range(1, config.schedule.steps + 1):
            optimiser.zero_grad(set_to_none=True)
            # In the same parts as the loop: smaller blocks of memory are faster on a CPU.
            for part in torch.split(rows, 8):
                losses = row_losses(model, part)
                (losses.sum() / (shape[0] * (shape[1] - 1))).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            if step == WARM_UP:
                began = time.process_time()
        return time.process_time() - began
    finally:
        torch.set_num_threads(threads)


def _paired(
    ours: Callable[[int], float], theirs: Callable[[int], float], *, turns: int = 5
) -> tuple[list[float], list[float]]:
    """Seconds that each says itself, by turns."""
    pairs = [(ours(turn), theirs(turn)) for turn in range(turns)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _loop_comparison(
    step: str, peer: str, seconds: tuple[list[float], list[float]], config: "RunConfig"
) -> Comparison:
    tokens = config.schedule.batch_rows * config.model.context_tokens
    return Comparison(
        step=step,
        peer=peer,
        unit="ktokens/s",
        amount=(config.schedule.steps - WARM_UP) * tokens / 1e3,
        ours=seconds[0],
        theirs=seconds[1],
    )


def compare_step(folder: Path) -> tuple[list[Comparison], list[str]]:
    """The whole loop against a bare one."""
    import json

    folders = _write_domains(folder, tokens=200_000, vocab_size=VOCAB_SIZE)
    config = _config(folders)
    seconds = _paired(
        lambda turn: _seconds_of_loop(config, folder / f"run-{turn}"),
        lambda _: _seconds_of_bare_loop(config),
    )
    lines = [
        json.loads(line)
        for path in folder.glob("run-*/timings.jsonl")
        for line in path.read_text().splitlines()
    ]
    waited = sum(line["data_seconds"] for line in lines)
    worked = sum(line["step_seconds"] for line in lines)
    note = f"Waiting for data took {waited / (waited + worked):.2%} of the time of the steps."
    return [_loop_comparison("train, whole loop", "bare loop, one batch", seconds, config)], [note]


def compare_mixer(folder: Path) -> tuple[list[Comparison], list[str]]:
    """Weights that change at every step against fixed ones."""
    from training.config import MixerConfig

    folders = _write_domains(folder, tokens=200_000, vocab_size=VOCAB_SIZE)
    fixed = _config(folders)
    moving = _config(folders, mixer=MixerConfig(method="odm"))
    seconds = _paired(
        lambda turn: _seconds_of_loop(moving, folder / f"odm-{turn}"),
        lambda turn: _seconds_of_loop(fixed, folder / f"fixed-{turn}"),
    )
    return [_loop_comparison("train, ODM at every step", "fixed weights", seconds, fixed)], []


# --- checkpoint


def compare_checkpoint(folder: Path) -> tuple[list[Comparison], list[str]]:
    """100 million parameters with their moments, 1.2 GB: saving holds up, resuming."""
    import torch

    from training.checkpoint import Checkpoint, load_latest_checkpoint
    from training.checkpoint_tensors import collect_tensors, restore_tensors
    from training.checkpoint_writer import CheckpointWriter

    model = torch.nn.Sequential(*(torch.nn.Linear(2048, 2048) for _ in range(24)))
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    num_bytes = sum(entry.nbytes for entry in collect_tensors(model, optimiser).values())
    writer = CheckpointWriter(folder, keep_last=1)
    steps = iter(range(1, 100))

    def save(_: int) -> float:
        writer.wait()
        began = time.thread_time()
        tensors = collect_tensors(model, optimiser, buffers=writer.buffers)
        writer.write(Checkpoint(step=next(steps), config_digest="", tensors=tensors, state={}))
        held_up = time.thread_time() - began
        writer.wait()
        return held_up

    def save_with_torch(_: int) -> float:
        began = time.thread_time()
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
        torch.save(state, folder / "peer.pt")
        return time.thread_time() - began

    def resume(_: int) -> float:
        began = time.thread_time()
        checkpoint = load_latest_checkpoint(folder, config_digest="")
        assert checkpoint is not None
        restore_tensors(checkpoint.tensors, model, optimiser)
        return time.thread_time() - began

    def read(_: int) -> float:
        path = next(folder.glob("step-*/tensors.safetensors"))
        began = time.thread_time()
        content = np.fromfile(path, dtype=np.uint8)
        seconds = time.thread_time() - began
        assert content.nbytes >= num_bytes
        return seconds

    save(0)  # the first one allocates the memory for the copies
    saving = _paired(save, save_with_torch, turns=3)
    (folder / "peer.pt").unlink()
    resuming = _paired(resume, read, turns=3)
    writer.__exit__(None, None, None)
    size = {"unit": "GB/s", "amount": num_bytes / 1e9}
    return [
        Comparison(
            step="hold up training for a checkpoint, 100 M parameters",
            peer="torch.save",
            unit="GB/s",
            amount=num_bytes / 1e9,
            ours=saving[0],
            theirs=saving[1],
        ),
        Comparison(
            step="verify and restore it",
            peer="reading the file",
            unit="GB/s",
            amount=num_bytes / 1e9,
            ours=resuming[0],
            theirs=resuming[1],
        ),
    ], [f"A checkpoint of {size['amount']:.2f} GB; seconds of the thread that trains."]


# --- against the Trainer of transformers


def compare_trainer(folder: Path) -> tuple[list[Comparison], list[str]]:
    """5 million parameters in bfloat16, ours compiled, against the Trainer without compiling."""
    from importlib.util import find_spec

    from training.config import ExecutionConfig

    if find_spec("accelerate") is None:
        return [], [
            "The Trainer of transformers needs accelerate, which is not installed: not measured "
            "(pip install accelerate)."
        ]
    folders = _write_domains(folder, tokens=200_000, vocab_size=8192)
    config = _config(
        folders, hidden=256, precision="bfloat16", execution=ExecutionConfig(compile=True)
    )
    seconds = _paired(
        lambda turn: _seconds_of_loop(config, folder / f"run-{turn}"),
        lambda turn: _seconds_of_trainer(config, folder / f"peer-{turn}"),
        turns=3,
    )
    step = "train 5 M parameters, bfloat16, compiled"
    return [_loop_comparison(step, "transformers.Trainer, bfloat16", seconds, config)], []


def _seconds_of_trainer(config: "RunConfig", out: Path) -> float:
    """The same steps with transformers.Trainer on random rows in memory."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from training.model import open_model

    marks: dict[int, float] = {}

    class Mark(TrainerCallback):
        def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
            marks[state.global_step] = time.process_time()  # type: ignore[attr-defined]

    schedule, tokens = config.schedule, config.model.context_tokens
    rows = np.random.default_rng(0).integers(
        8192, size=(schedule.steps * schedule.batch_rows, tokens)
    )
    data = [{"input_ids": torch.from_numpy(row), "labels": torch.from_numpy(row)} for row in rows]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        Trainer(
            model=open_model(config.model, vocab_size=8192, eos_id=0, seed=0),
            args=TrainingArguments(
                output_dir=str(out),
                max_steps=schedule.steps,
                per_device_train_batch_size=schedule.batch_rows,
                learning_rate=schedule.peak_lr,
                bf16=True,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=data,
            callbacks=[Mark()],
        ).train()
    finally:
        torch.set_num_threads(threads)
    return marks[schedule.steps] - marks[WARM_UP]


PARTS: dict[str, Callable[[Path], tuple[list[Comparison], list[str]]]] = {
    "loader": compare_loaders,
    "step": compare_step,
    "mixer": compare_mixer,
    "checkpoint": compare_checkpoint,
    "model": compare_trainer,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="repeat for several")
    for name in parser.parse_args().only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            rows, notes = PARTS[name](Path(folder))
        print("\n".join([*(row.row() for row in rows), *notes]), flush=True)


if __name__ == "__main__":
    main()
