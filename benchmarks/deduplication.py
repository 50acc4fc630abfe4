"""Deduplication beside datatrove: exact copies and near-copies, Parquet to Parquet.

`python -m benchmarks.deduplication --corpora FOLDER --peer-python PATH` with Parquet files that
have `id` and `text`. Copies are planted: one document in twenty again as it is, one in twenty with
one word in a hundred replaced. The peer runs in its own environment (`pip install
datatrove[io,processing] spacy`) on the same file, by turns with this project; what counts are
processor seconds from reading to the last byte written. Its exact copies are equal texts, ours are
equal up to case and white space. Compilation and tables are outside the timed region; what loading
them takes is printed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.comparison import ROOT, Comparison, Family, Inputs
from quality.dedup.clusters import DeduplicationConfig, Method, find_clusters
from quality.dedup.deduplication import deduplicate
from quality.dedup.fingerprints import fingerprint
from quality.dedup.minhash import MinHashConfig
from quality.documents_on_disk import open_documents

PEER = ROOT / "benchmarks" / "peers" / "datatrove_copies.py"
PLANTED_SHARE = 0.05
REPLACED_SHARE = 0.01
NUM_PLANTED = 1500
NUM_PIECES = 47_000
SHORTEST_WORDS = 50
STEPS: tuple[tuple[Method, str], ...] = (
    ("minhash", "MinHash deduplication, 5-grams, 14 x 8, Parquet to Parquet"),
    ("exact", "exact deduplication, Parquet to Parquet"),
)


def measure(inputs: Inputs) -> Family:
    """Measure the family for `make bench`; nothing without corpora and peer."""
    if inputs.corpora is None or inputs.peer_python is None:
        return Family(
            rows=[],
            notes=["It compares with datatrove on real text: give --corpora and --peer-python."],
        )
    rows, notes = compare(inputs.corpora, inputs.peer_python, turns=inputs.turns)
    return Family(rows=rows, notes=notes)


def compare(
    corpora: Path, peer: Path, *, megabytes: float = 12.0, turns: int = 3
) -> tuple[list[Comparison], list[str]]:
    """Deduplicate the same documents with both.

    Args:
        corpora: Folder of Parquet files with `id` and `text`.
        peer: Python of an environment with datatrove.
        megabytes: About so much text, the same share of each file.
        turns: Measurements of each, alternating.

    Returns:
        The comparisons, and lines about what both removed.
    """
    comparisons, lines = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "documents.parquet"
        documents = plant_copies(_sample(corpora, megabytes))
        documents.write_parquet(source, compression="zstd")
        amount = int(documents["text"].str.len_bytes().sum()) / 1e6
        began = time.process_time()
        for method, _ in STEPS:
            _deduplicate(source, folder / f"warm-{method}", method)
        lines.append(f"First run, with loading: {time.process_time() - began:.1f} s, not timed.")
        for method, step in STEPS:
            ours, theirs = [], []
            for turn in range(turns):
                began = time.process_time()
                _deduplicate(source, folder / f"ours-{method}-{turn}", method)
                ours.append(time.process_time() - began)
                theirs.append(_run_peer(peer, source, folder / f"peer-{method}-{turn}", method))
            comparisons.append(
                Comparison(
                    step=step,
                    peer="datatrove",
                    unit="MB/s",
                    amount=amount,
                    ours=ours,
                    theirs=theirs,
                )
            )
            lines.append(_describe(folder, method))
    lines += [find_planted(corpora, longest_words=longest) for longest in (120, 400)]
    return comparisons, lines


def find_planted(corpora: Path, *, longest_words: int, seed: int = 0) -> str:
    """Plant 1,500 exact and 1,500 near-copies in pieces of real text; tell how many are found.

    Args:
        corpora: Folder of Parquet files with `text`.
        longest_words: Texts are cut into pieces of 50 to so many words, 47,000 at most.
        seed: Chooses lengths, pieces and words; one word in 200 to one in 50 is replaced.
    """
    rng = np.random.default_rng(seed)
    files = sorted(corpora.glob("*.parquet"))
    texts = pl.concat([pl.read_parquet(file, columns=["text"]) for file in files])["text"]
    pieces = _cut(texts.shuffle(seed), rng, longest_words)
    chosen = rng.permutation(len(pieces))[: 2 * NUM_PLANTED]
    vocabulary = " ".join(pieces[:2000]).split()
    copies = [pieces[place] for place in chosen[:NUM_PLANTED]]
    for place in chosen[NUM_PLANTED:]:
        words = pieces[place].split()
        size = max(1, round(rng.uniform(0.005, 0.02) * len(words)))
        for word in rng.choice(len(words), size=size, replace=False):
            words[word] = vocabulary[rng.integers(len(vocabulary))]
        copies.append(" ".join(words))
    ids = [f"original-{place}" for place in range(len(pieces))]
    ids += [f"copy-{place}" for place in chosen]
    prints = fingerprint(pl.Series(ids), pl.Series([*pieces, *copies]), MinHashConfig())
    table = find_clusters({"pieces": prints}).filter(pl.col("kind") != "kept")
    gone = set(table["id"])
    found = [bool({f"original-{place}", f"copy-{place}"} & gone) for place in chosen]
    return (
        f"In {len(ids)} pieces of 50 to {longest_words} words: {sum(found[:NUM_PLANTED])} of "
        f"{NUM_PLANTED} exact and {sum(found[NUM_PLANTED:])} of {NUM_PLANTED} near-copies found."
    )


def _cut(texts: pl.Series, rng: np.random.Generator, longest_words: int) -> list[str]:
    """Cut texts into different pieces of at least 50 words."""
    pieces: dict[str, None] = {}
    for text in texts:
        words, start = text.split(), 0
        while len(words) - start >= SHORTEST_WORDS and len(pieces) < NUM_PIECES:
            size = int(rng.integers(SHORTEST_WORDS, longest_words + 1))
            if len(words[start : start + size]) >= SHORTEST_WORDS:
                pieces[" ".join(words[start : start + size])] = None
            start += size
    return list(pieces)


def plant_copies(documents: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """Add exact copies (`exact-<id>`) and near-copies (`near-<id>`) of some documents, shuffled.

    Args:
        documents: Columns `id` and `text`.
        seed: Chooses documents and words.
    """
    rng = np.random.default_rng(seed)
    size = round(PLANTED_SHARE * documents.height)
    chosen = rng.permutation(documents.height)[: 2 * size]
    exact = documents[chosen[:size]].with_columns(id="exact-" + pl.col("id"))
    near = documents[chosen[size:]]
    texts = [_replace_words(text, rng) for text in near["text"]]
    near = near.with_columns(id="near-" + pl.col("id"), text=pl.Series(texts, dtype=pl.String))
    return pl.concat([documents, exact, near]).sample(fraction=1.0, shuffle=True, seed=seed)


def _replace_words(text: str, rng: np.random.Generator) -> str:
    words = text.split(" ")
    for place in rng.integers(len(words), size=max(1, round(REPLACED_SHARE * len(words)))):
        words[place] = f"replaced{chr(97 + int(rng.integers(26)))}"
    return " ".join(words)


def _sample(corpora: Path, megabytes: float) -> pl.DataFrame:
    files = sorted(corpora.glob("*.parquet"))
    if not files:
        raise SystemExit(f"{corpora}: no Parquet file; give a folder of them")
    parts = []
    for file in files:
        table = pl.read_parquet(file, columns=["id", "text"])
        within = table["text"].str.len_bytes().cum_sum() <= megabytes * 1e6 / len(files)
        parts.append(table.filter(within))
    return pl.concat(parts).unique("id", maintain_order=True)


def _deduplicate(source: Path, out: Path, method: Method) -> None:
    config = DeduplicationConfig(method=method)
    deduplicate({"documents": open_documents(str(source))}, out, config)


def _run_peer(peer: Path, source: Path, out: Path, method: Method) -> float:
    """Processor seconds of the peer."""
    done = subprocess.run(
        [str(peer), str(PEER), str(source), str(out), method],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DATATROVE_COLORIZE_LOGS": "0"},
    )
    if done.returncode:
        raise SystemExit(f"{peer} failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def _describe(folder: Path, method: Method) -> str:
    """Copies that each of the two left."""
    left = []
    planted = {}
    for side in ("ours", "peer"):
        kept = pl.read_parquet(folder / f"{side}-{method}-0" / "kept" / "*.parquet")["id"]
        kept_ids = set(kept)
        everything = pl.read_parquet(folder / "documents.parquet")["id"]
        for kind in ("exact", "near"):
            copies = [name for name in everything if name.startswith(f"{kind}-")]
            found = sum(not {name, name.removeprefix(f"{kind}-")} <= kept_ids for name in copies)
            planted[side, kind] = f"{found} of {len(copies)} {kind}"
        left.append(
            f"{side}: {len(kept_ids)} documents kept, planted copies found "
            f"{planted[side, 'exact']}, {planted[side, 'near']}"
        )
    return f"{method}: " + "; ".join(left)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True, help="folder of Parquet files")
    parser.add_argument("--peer-python", type=Path, required=True, help="Python with datatrove")
    parser.add_argument("--megabytes", type=float, default=12.0, help="text to deduplicate")
    parser.add_argument("--turns", type=int, default=3, help="measurements of each")
    arguments = parser.parse_args()
    if not arguments.peer_python.is_file():
        sys.exit(f"{arguments.peer_python}: no such Python; make an environment with datatrove")
    comparisons, lines = compare(
        arguments.corpora,
        arguments.peer_python,
        megabytes=arguments.megabytes,
        turns=arguments.turns,
    )
    print("\n".join([*lines, *(comparison.row() for comparison in comparisons)]))


if __name__ == "__main__":
    main()
