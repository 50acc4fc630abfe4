"""Loading mixed batches, on one core: seven domains, 50 million tokens, 16 rows of 1024 tokens.

Beside random offsets into memory-mapped files and datasets.interleave_datasets, and, where an
environment with them is named, beside mosaicml-streaming, litdata and grain.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.comparison import Comparison, by_turns
from benchmarks.peer_environments import Environments, run_peer
from benchmarks.random_shards import NUM_DOMAINS, write_random_shards

if TYPE_CHECKING:
    from training.batch_reader import BatchReader
    from training.sampler import Sampler
    from training.shards import TokenShards

CONTEXT_TOKENS = 1024
BATCH_ROWS = 16
DOMAIN_TOKENS = 7_142_858
"""Seven of them are 50 million."""
NUM_BATCHES = 1000
INTERLEAVED_ROWS = 1000
"""Of each Arrow table."""


PEERS = {"streaming": "mosaicml-streaming", "litdata": "litdata", "grain": "grain"}
"""Module that an environment must have -> name of the peer."""
_TURNS = 3


def compare_loaders(folder: Path, environments: Environments) -> tuple[list[Comparison], list[str]]:
    """Batches as arrays of ids: with fixed weights, with new ones at every step, and of peers."""
    from training.batch_reader import BatchReader
    from training.sampler import Sampler
    from training.shards import TokenShards

    folders = write_random_shards(folder, tokens=DOMAIN_TOKENS, vocab_size=50_000)
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
    rows = []
    for name, changing, peer, other, part in (
        ("", False, "random offsets into memory-mapped files", random_offsets, 1.0),
        (", new weights at every step", True, "the same, fixed weights", random_offsets, 1.0),
        ("", False, "datasets.interleave_datasets, numpy", interleaved, share),
    ):
        mine, theirs = by_turns(lambda changing=changing: ours(changing), other)  # type: ignore[misc]
        rows.append(_comparison(name, peer, mine, [seconds / part for seconds in theirs]))
    notes = [_time_of_new_weights(sampler, reader, mixtures)]
    more, missing = _compare_peers(folder, environments, lambda: ours(False), mixtures[0])
    return rows + more, notes + missing


def _compare_peers(
    folder: Path, environments: Environments, ours: Callable[[], None], weights: np.ndarray
) -> tuple[list[Comparison], list[str]]:
    """The peers that have an environment, and what to do about the others."""
    rows, missing = [], []
    for module, peer in PEERS.items():
        python = environments.find(module)
        if python is None:
            missing.append(
                f"{peer} was not measured: make an environment (pip install {peer}) and name its "
                "Python: --engine-python PATH."
            )
            continue
        own = folder / module
        own.mkdir()
        run_peer(python, "mixed_loading.py", module, "prepare", folder, own)
        pairs = [
            (_seconds(ours), _seconds_of_peer(python, module, own, weights)) for _ in range(_TURNS)
        ]
        rows.append(_comparison("", peer, [pair[0] for pair in pairs], [pair[1] for pair in pairs]))
    return rows, missing


def _comparison(name: str, peer: str, ours: list[float], theirs: list[float]) -> Comparison:
    step = f"load mixed batches, {NUM_DOMAINS} domains, {BATCH_ROWS} x {CONTEXT_TOKENS} tokens"
    return Comparison(
        step=step + name,
        peer=peer,
        unit="Mtokens/s",
        amount=NUM_BATCHES * BATCH_ROWS * CONTEXT_TOKENS / 1e6,
        ours=ours,
        theirs=theirs,
    )


def _seconds(load: Callable[[], None]) -> float:
    began = time.process_time()
    load()
    return time.process_time() - began


def _seconds_of_peer(python: Path, module: str, folder: Path, weights: np.ndarray) -> float:
    """Processor seconds of as many batches."""
    found = run_peer(
        python,
        "mixed_loading.py",
        module,
        "load",
        folder,
        json.dumps(weights.tolist()),
        NUM_BATCHES,
    )
    return found["seconds"] * NUM_BATCHES / found["batches"]


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
    rows = np.arange(INTERLEAVED_ROWS)
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
