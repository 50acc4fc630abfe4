"""Speed beside named peers, in one run: `make bench` writes benchmarks/RESULTS.md.

Each step runs this project and its peer by turns on the same input and compares processor seconds
(median of the turns), so that a noisy machine slows both alike. The text is the fixture corpora,
repeated; `--corpora FOLDER` takes Parquet files with a `text` column instead.
"""

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
CONTEXT_TOKENS = 1024
BATCH_ROWS = 16
NUM_DOMAINS = 7
NUM_BATCHES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One step, measured for us and for a peer."""

    step: str
    """What was done."""
    peer: str
    """Who else did it."""
    unit: str
    """Of the rates."""
    amount: float
    """Work of one turn in that unit times seconds."""
    ours: list[float]
    """Processor seconds of each turn."""
    theirs: list[float]
    """The same for the peer."""

    def row(self) -> str:
        """One line of the table."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        ratios = [their / our for our, their in zip(self.ours, self.theirs, strict=True)]
        return (
            f"| {self.step} | {self.amount / ours:.3g} {self.unit} | {self.peer} "
            f"{self.amount / theirs:.3g} {self.unit} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |"
        )


def by_turns(
    ours: Callable[[], object], theirs: Callable[[], object], *, turns: int = 5
) -> tuple[list[float], list[float]]:
    """Processor seconds of both, alternating, after one turn of each that does not count."""
    ours()
    theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for side, call in enumerate((ours, theirs)):
            began = time.process_time()
            call()
            seconds[side].append(time.process_time() - began)
    return seconds


def compare_encoding(texts: Sequence[str], folder: Path) -> Comparison:
    """Byte-pair encoding to ids with one vocabulary, one thread, against `tokenizers`."""
    from training.tokenizer import Encoder, save_tokenizer, train_tokenizer

    tokenizer = train_tokenizer(texts, vocab_size=4096)
    save_tokenizer(tokenizer, folder)
    encoder = Encoder(folder)
    mine = encoder.encode_batch(texts)
    peer = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    assert all(np.array_equal(a, b) for a, b in zip(mine, peer, strict=True)), "ids differ"
    ours, theirs = by_turns(
        lambda: encoder.encode_batch(texts), lambda: tokenizer.encode_batch_fast(list(texts))
    )
    return Comparison(
        step="BPE-encode, the same ids",
        peer="tokenizers",
        unit="MB/s",
        amount=sum(len(text.encode()) for text in texts) / 1e6,
        ours=ours,
        theirs=theirs,
    )


def compare_loading(folder: Path) -> Comparison:
    """Batches of mixed domains as arrays of ids, against `datasets.interleave_datasets`."""
    import datasets

    from training.sampler import Sampler
    from training.shards import TokenShards, write_token_shards

    rng = np.random.default_rng(0)
    shards = []
    for domain in range(NUM_DOMAINS):
        tokens = rng.integers(1, 50_000, size=2_000_000).astype(np.uint32)
        (folder / str(domain)).mkdir()
        write_token_shards(
            [("document", 1, tokens)],
            folder / str(domain),
            vocab_size=50_001,
            eos_id=0,
            tokenizer_digest="none",
        )
        shards.append(TokenShards.open(folder / str(domain)))
    weights = rng.dirichlet(np.ones(NUM_DOMAINS))
    sampler = Sampler(
        tuple(str(domain) for domain in range(NUM_DOMAINS)),
        np.array([shard.num_rows(CONTEXT_TOKENS) for shard in shards]),
        seed=0,
        batch_rows=BATCH_ROWS,
        epoch_policy="allow",
    )

    def ours() -> None:
        state = sampler.initial()
        for _ in range(NUM_BATCHES):
            plan, state = sampler.plan(state, weights)
            batch = np.empty((BATCH_ROWS, CONTEXT_TOKENS + 1), dtype=np.uint16)
            for domain, shard in enumerate(shards):
                slots = plan.domain_index == domain
                batch[slots] = shard.rows(plan.rows[slots], CONTEXT_TOKENS)

    rows = np.arange(2_000_000 // CONTEXT_TOKENS)
    tables = [
        datasets.Dataset.from_dict(
            {"ids": shard.rows(rows[:-1], CONTEXT_TOKENS).astype(np.int32)}
        ).with_format("numpy")
        for shard in shards
    ]
    mixed = datasets.interleave_datasets(
        [table.to_iterable_dataset() for table in tables],
        probabilities=weights.tolist(),
        seed=0,
        stopping_strategy="all_exhausted",
    )

    def theirs() -> None:
        stream = iter(mixed)
        for _ in range(NUM_BATCHES):
            np.stack([next(stream)["ids"] for _ in range(BATCH_ROWS)])

    ours_seconds, theirs_seconds = by_turns(ours, theirs)
    return Comparison(
        step=f"load mixed batches, {NUM_DOMAINS} domains, {BATCH_ROWS} x {CONTEXT_TOKENS} tokens",
        peer="datasets.interleave_datasets",
        unit="Mtokens/s",
        amount=NUM_BATCHES * BATCH_ROWS * CONTEXT_TOKENS / 1e6,
        ours=ours_seconds,
        theirs=theirs_seconds,
    )


def read_texts(corpora: Path | None) -> list[str]:
    """Texts to encode: the given Parquet files, or the fixture corpora ten times."""
    if corpora is None:
        folder = ROOT / "examples" / "fixtures" / "literature"
        texts = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.txt"))]
        return texts * 10
    files = sorted(corpora.glob("*.parquet"))
    if not files:
        raise SystemExit(f"{corpora}: no Parquet file; give a folder of them or leave the option")
    return [
        text for file in files for text in pl.read_parquet(file, columns=["text"])["text"].head(200)
    ]


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, help="folder of Parquet files with a text column")
    corpora = parser.parse_args().corpora
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokenizer").mkdir()
        (Path(folder) / "shards").mkdir()
        comparisons = [
            compare_encoding(read_texts(corpora), Path(folder) / "tokenizer"),
            compare_loading(Path(folder) / "shards"),
        ]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    text = "given corpora" if corpora else "fixture corpora"
    lines = [
        "# Results",
        "",
        "Written by `make bench`; do not edit. Rates are per processor second of one thread,",
        "ratios are of paired turns (median, least to largest).",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {text}, {os.cpu_count()} cores "
        f"{platform.machine()}, Python {platform.python_version()}",
        "",
        "| step | here | peer | ratio |",
        "|---|---|---|---|",
        *(comparison.row() for comparison in comparisons),
    ]
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
