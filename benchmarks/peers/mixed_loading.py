"""Mixed batches of seven domains as mosaicml-streaming, litdata and grain load them.

Run by the peer's own Python:

    python mixed_loading.py PEER prepare SHARDS OUT                  write the peer's own format
    python mixed_loading.py PEER load OUT WEIGHTS NUM_BATCHES        print a JSON object

SHARDS holds domain-*/train/*.tok, uint16; WEIGHTS is a JSON list. Mixing is done as the peer's
documentation says: streams with a proportion, a combined dataset with weights, and a mix of map
datasets with weights. Processor seconds of one process without workers, which were slower on two
cores, from the first batch to the last; building the loader is not in them.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

CONTEXT_TOKENS = 1024
BATCH_ROWS = 16


def _rows(folder: Path) -> np.ndarray:
    """Rows of one domain, shape (n, T); inputs and labels come from the same row."""
    tokens = np.fromfile(next(folder.glob("train/*.tok")), dtype=np.uint16)
    return tokens[: len(tokens) // CONTEXT_TOKENS * CONTEXT_TOKENS].reshape(-1, CONTEXT_TOKENS)


def prepare_streaming(shards: Path, out: Path) -> None:
    """One folder of MDS files for each domain."""
    from streaming import MDSWriter

    for folder in sorted(shards.glob("domain-*")):
        with MDSWriter(out=str(out / folder.name), columns={"tokens": "ndarray:uint16"}) as writer:
            for row in _rows(folder):
                writer.write({"tokens": row})


def load_streaming(out: Path, weights: list[float]) -> Iterable[object]:
    """Streams with proportions."""
    from streaming import Stream, StreamingDataset
    from torch.utils.data import DataLoader

    streams = [
        Stream(local=str(folder), proportion=weight)
        for folder, weight in zip(sorted(out.glob("domain-*")), weights, strict=True)
    ]
    dataset = StreamingDataset(streams=streams, shuffle=True, batch_size=BATCH_ROWS)
    return DataLoader(dataset, batch_size=BATCH_ROWS, num_workers=0)


class _Tokens:
    """Gives a row to litdata's writer; it must be importable from its worker."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, index: int) -> Iterator[object]:
        import torch

        for row in _rows(Path(self.folder)):
            yield torch.from_numpy(row.astype(np.int32))


def prepare_litdata(shards: Path, out: Path) -> None:
    """One optimised folder of tokens for each domain."""
    from litdata import TokensLoader, optimize

    for folder in sorted(shards.glob("domain-*")):
        optimize(
            fn=_Tokens(str(folder)),
            inputs=[0],
            output_dir=str(out / folder.name),
            chunk_size=CONTEXT_TOKENS * 4096,
            item_loader=TokensLoader(),
            num_workers=1,
            verbose=False,
        )


def load_litdata(out: Path, weights: list[float]) -> Iterable[object]:
    """A combined dataset with weights."""
    from litdata import (
        CombinedStreamingDataset,
        StreamingDataLoader,
        StreamingDataset,
        TokensLoader,
    )

    datasets = [
        StreamingDataset(
            input_dir=str(folder),
            item_loader=TokensLoader(block_size=CONTEXT_TOKENS),
            shuffle=True,
            drop_last=True,
        )
        for folder in sorted(out.glob("domain-*"))
    ]
    mixed = CombinedStreamingDataset(datasets, seed=0, weights=weights, iterate_over_all=False)
    return StreamingDataLoader(mixed, batch_size=BATCH_ROWS, num_workers=0)


def prepare_grain(shards: Path, out: Path) -> None:
    """One array of rows for each domain, to be memory-mapped."""
    for folder in sorted(shards.glob("domain-*")):
        (out / folder.name).mkdir()
        np.save(out / folder.name / "rows.npy", _rows(folder))


def load_grain(out: Path, weights: list[float]) -> Iterable[object]:
    """A mix of shuffled, repeated map datasets."""
    import grain

    datasets = [
        grain.MapDataset.source(np.load(folder / "rows.npy", mmap_mode="r"))
        .shuffle(seed=0)
        .repeat()
        for folder in sorted(out.glob("domain-*"))
    ]
    mixed = grain.MapDataset.mix(datasets, weights=weights)
    return mixed.batch(BATCH_ROWS).to_iter_dataset(
        grain.ReadOptions(num_threads=2, prefetch_buffer_size=64)
    )


PREPARE = {"streaming": prepare_streaming, "litdata": prepare_litdata, "grain": prepare_grain}
LOAD = {"streaming": load_streaming, "litdata": load_litdata, "grain": load_grain}


def _time(batches: Iterable[object], num_batches: int) -> dict[str, float]:
    stream = iter(batches)
    next(stream)
    began, wall = time.process_time(), time.perf_counter()
    count = 0
    for _ in zip(range(num_batches), stream, strict=False):
        count += 1
    return {
        "seconds": time.process_time() - began,
        "wall_seconds": time.perf_counter() - wall,
        "batches": count,
    }


def main() -> None:
    """Prepare or load."""
    peer, what = sys.argv[1:3]
    if what == "prepare":
        PREPARE[peer](Path(sys.argv[3]), Path(sys.argv[4]))
        print("{}")
        return
    batches = LOAD[peer](Path(sys.argv[3]), json.loads(sys.argv[4]))
    print(json.dumps(_time(batches, int(sys.argv[5]))))


if __name__ == "__main__":
    main()
