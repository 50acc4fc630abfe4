"""Peak memory of each command of preparation on a corpus and on ten times as much.

`python -m benchmarks.memory --corpora FOLDER` with Parquet files that have `id` and `text`. Each
command runs in a process of its own, once on the small corpus and once on the large one; what
counts is the high-water mark of that process (VmHWM). The large corpus is the small one ten times
over with every fifth word changed in each copy, so that no document is a copy or near-copy of
another. Memory that commands keep per document is told beside it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from benchmarks.comparison import ROOT, Family, Inputs

TIMES = 10
WARM_ROWS = 300
BATCH_ROWS = 256
ROW_GROUP = 1024
_RUN = """
import json, sys, time
from orchestration.cli import app
app(sys.argv[1:], standalone_mode=False)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"peak_kib": int(status["VmHWM"].split()[0]), "seconds": time.process_time()}))
"""


def measure(inputs: Inputs) -> Family:
    """Measure the family for `make bench`; nothing without corpora."""
    if inputs.corpora is None:
        return Family(rows=[], notes=["It needs real text: give --corpora."])
    findings, notes = compare(inputs.corpora)
    return Family(rows=[], findings=findings, notes=notes)


def compare(
    corpora: Path, *, megabytes: float = 30.0, only: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Run every command on both corpora.

    Args:
        corpora: Folder of Parquet files with `id` and `text`.
        megabytes: Text of the small corpus, the same share of each file.
        only: Names of commands; empty: all.

    Returns:
        A line for each command, and sentences about what was measured.
    """
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        documents = sample(corpora, megabytes)
        write_copies(documents[:WARM_ROWS], folder / "input-0.parquet", 1)
        for times in (1, TIMES):
            write_copies(documents, folder / f"input-{times}.parquet", times)
        commands = _commands(documents, folder)
        for command, arguments in commands.items():
            if only and command not in only:
                continue
            peaks = [
                _peak(arguments, folder / f"input-{times}.parquet", folder / f"{command}-{times}")
                for times in (0, 1, TIMES)  # the first one compiles what has to be compiled
            ]
            _, small, large = (peak / 1024 for peak in peaks)
            lines.append(
                f"`{command}`: {small:.0f} MiB, {large:.0f} MiB on {TIMES} times as much "
                f"({large / small - 1:+.0%})"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    text = int(documents["text"].str.len_bytes().sum()) / 1e6
    return lines, [
        f"{documents.height} documents with {text:.0f} MB of text, and {TIMES} times as much."
    ]


def sample(corpora: Path, megabytes: float) -> pl.DataFrame:
    """Take about so much text, the same share of each file, in mixed order."""
    files = sorted(corpora.glob("*.parquet"))
    if not files:
        raise SystemExit(f"{corpora}: no Parquet file; give a folder of them")
    parts = []
    for file in files:
        table = pl.read_parquet(file, columns=["id", "text"])
        within = table["text"].str.len_bytes().cum_sum() <= megabytes * 1e6 / len(files)
        parts.append(table.filter(within))
    mixed = pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=0)
    return mixed.with_columns(id=pl.int_range(pl.len()).cast(pl.String))


def write_copies(documents: pl.DataFrame, path: Path, times: int) -> None:
    """Write the documents so many times, every fifth word changed from the second time on."""
    writer = None
    for copy in range(times):
        for start in range(0, documents.height, BATCH_ROWS):
            batch = documents[start : start + BATCH_ROWS]
            texts = [_change(text, copy) for text in batch["text"]]
            table = batch.with_columns(
                id=pl.format(f"{copy}/{{}}", "id"), text=pl.Series(texts, dtype=pl.String)
            ).to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=ROW_GROUP)
    assert writer is not None
    writer.close()


def _change(text: str, copy: int) -> str:
    if copy == 0:
        return text
    words = text.split(" ")
    words[::5] = [f"{word}{chr(96 + copy)}" for word in words[::5]]
    return " ".join(words)


def _commands(documents: pl.DataFrame, folder: Path) -> dict[str, list[str]]:
    """Arguments of each command, without INPUT and --out."""
    from training.tokenizer import save_tokenizer, train_tokenizer

    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    save_tokenizer(train_tokenizer(documents["text"].gather_every(20), vocab_size=8192), tokenizer)
    items, reference = folder / "items.parquet", folder / "reference.parquet"
    documents.gather_every(40).write_parquet(items)
    documents.gather_every(50).write_parquet(reference)
    return {
        "clean": ["clean"],
        "profile": ["profile"],
        "dedup exact": ["dedup", "--method", "exact"],
        "dedup minhash": ["dedup", "--method", "minhash"],
        "decontaminate": ["decontaminate", "--against", str(items)],
        "tokenize": ["tokenize", "--tokenizer", str(tokenizer)],
        "tag": ["tag", "--tagger", "rules", "--fit-rows", "1000"],
        "score": ["score", "--reference", str(reference), "--fit-rows", "1000"],
    }


def _peak(arguments: Sequence[str], source: Path, out: Path) -> int:
    """Run a command; return its peak memory in KiB."""
    command, *others = arguments
    one = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, command, str(source), *others, "--out", str(out), "--json"],
        cwd=ROOT,
        env={**os.environ, **one},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed: {done.stderr.strip().splitlines()[-3:]}")
    return int(json.loads(done.stdout.splitlines()[-1])["peak_kib"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=30.0, help="text of the small corpus")
    parser.add_argument("--only", action="append", default=[], help="command; repeat for several")
    given = parser.parse_args()
    lines, notes = compare(given.corpora, megabytes=given.megabytes, only=given.only)
    print("\n".join([*lines, *notes]))


if __name__ == "__main__":
    main()
