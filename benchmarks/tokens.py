"""Encoding text and loading mixed batches beside `tokenizers` and `datasets`."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.comparison import ROOT, Comparison, Family, Inputs, by_turns

CONTEXT_TOKENS = 1024
BATCH_ROWS = 16
NUM_DOMAINS = 7
NUM_BATCHES = 200


def measure(inputs: Inputs) -> Family:
    """Both steps, on the given corpora or on the fixture corpora."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokenizer").mkdir()
        (Path(folder) / "shards").mkdir()
        rows = [
            compare_encoding(read_texts(inputs.corpora), Path(folder) / "tokenizer"),
            compare_loading(Path(folder) / "shards"),
        ]
    return Family(rows=rows, notes=[])


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
