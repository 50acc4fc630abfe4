"""Corpus preparation beside datatrove: filters, trying other thresholds, token shards.

`python -m benchmarks.preparation --corpora FOLDER --peer-python PATH` with Parquet files that have
`id` and `text`. The peer runs in its own environment (`pip install datatrove[io,processing] spacy`)
on the same file, by turns with this project; what counts are processor seconds of the step itself.
The compilation of the native pass is outside the timed region and its cost is printed, and so are
the decisions on which the two differ.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.comparison import ROOT, Comparison, Family, Inputs
from quality.cleaning import clean_corpus
from quality.cleaning_profiles import CleaningProfile, find_profile
from quality.document_batches import RAW_COLUMNS
from quality.judgement import VERDICT, judge
from quality.measurement import METRICS, STAYING_TEXT, measure_texts
from quality.parquet_parts import ParquetParts
from quality.refiltering import refilter

PEERS = ROOT / "benchmarks" / "peers"
BATCH_ROWS = 1024
VOCAB_SIZE = 32768
_NGRAMS = {f"top_{n}_gram": f"gopher_top_{n}gram_char_share" for n in range(2, 5)}
_NGRAMS |= {f"duplicated_{n}_n_grams": f"gopher_repeated_{n}gram_char_share" for n in range(5, 11)}
PEER_REASONS = _NGRAMS | {
    "dup_para_frac": "gopher_duplicate_paragraph_share",
    "dup_para_char_frac": "gopher_duplicate_paragraph_char_share",
    "dup_line_frac": "gopher_duplicate_line_share",
    "dup_line_char_frac": "gopher_duplicate_line_char_share",
    "gopher_short_doc": "gopher_num_words",
    "gopher_long_doc": "gopher_num_words",
    "gopher_below_avg_threshold": "gopher_mean_word_chars",
    "gopher_above_avg_threshold": "gopher_mean_word_chars",
    "gopher_too_many_hashes": "gopher_hash_word_ratio",
    "gopher_too_many_ellipsis": "gopher_ellipsis_word_ratio",
    "gopher_too_many_bullets": "gopher_dash_line_share",
    "gopher_too_many_end_ellipsis": "gopher_ellipsis_line_share",
    "gopher_below_alpha_threshold": "gopher_letter_word_share",
    "gopher_enough_stop_words": "gopher_num_stop_words",
    "lorem_ipsum": "c4_lorem_ipsum_lines",
    "curly_bracket": "c4_brace_lines",
    "too_few_sentences": "c4_num_sentences",
    "empty": "fineweb_num_lines",
    "line_punct_ratio": "fineweb_terminal_line_share",
    "short_line_ratio": "fineweb_short_line_share",
    "char_dup_ratio": "fineweb_duplicate_line_char_share",
    "list_ratio": "fineweb_newline_word_ratio",
}
"""The peer's name of a reason -> the metric that it judges here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Decisions of both on the same documents."""

    num_documents: int
    """Documents judged."""
    same_decision: int
    """Kept by both or dropped by both."""
    same_reason: int
    """The same first reason besides, or kept by both."""
    kept_by_both: int
    """Kept by both."""
    same_text: int
    """Of these, with the same text after C4's rules for lines."""
    differences: tuple[tuple[str, str, int], ...]
    """(metric that decided for the peer, the same here, documents); empty: kept."""


def filter_file(source: Path, out: Path, profile: CleaningProfile) -> None:
    """Judge a Parquet file of `id` and `text`: kept/ with the text that stays, rejected/."""
    rules = profile.rules()
    with ExitStack() as stack:
        tables: dict[str, ParquetParts] = {}
        with pq.ParquetFile(source) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=["id", "text"]):
                frame = pl.DataFrame(pa.Table.from_batches([batch]))
                judged = judge(measure_texts(frame, edit_lines=profile.edits_lines), rules)
                passes = pl.col("operator").is_null()
                parts = {
                    "kept": judged.filter(passes)
                    .with_columns(text=STAYING_TEXT)
                    .select("id", "text", *METRICS),
                    "rejected": judged.filter(~passes).select("id", "text", *VERDICT, *METRICS),
                }
                for name, part in parts.items():
                    table = part.to_arrow(compat_level=pl.CompatLevel.oldest())
                    if name not in tables:
                        tables[name] = stack.enter_context(ParquetParts(out / name, table.schema))
                    tables[name].write(table)


def compare_filters(source: Path, folder: Path, peer: Path, turns: int) -> Comparison:
    """Gopher repetition, Gopher quality, C4 and FineWeb, Parquet to Parquet with rejects."""
    profile = find_profile("web")
    ours, theirs = [], []
    for turn in range(turns):
        began = time.process_time()
        filter_file(source, folder / f"ours-{turn}", profile)
        ours.append(time.process_time() - began)
        script = [str(peer), str(PEERS / "datatrove_filters.py")]
        theirs.append(_run([*script, str(source), str(folder / f"peer-{turn}")])[0])
    return Comparison(
        step="Gopher, C4 and FineWeb filters, Parquet to Parquet with rejects",
        peer="datatrove",
        unit="MB/s",
        amount=_text_bytes(source) / 1e6,
        ours=ours,
        theirs=theirs,
    )


def compare_decisions(folder: Path) -> Agreement:
    """Compare what the first turn of `compare_filters` wrote."""
    kept, rejected = (pl.read_parquet(folder / "ours-0" / n) for n in ("kept", "rejected"))
    ours = {row[0]: row[1:] for row in kept.select("id", pl.lit(""), "text").iter_rows()}
    ours |= {row[0]: (row[1], "") for row in rejected.select("id", "metric").iter_rows()}
    theirs: dict[str, tuple[str, str]] = {}
    for path in sorted((folder / "peer-0").rglob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            reason = (
                (row["metadata"] or {}).get("filter_reason") if "kept" not in str(path) else None
            )
            metric = PEER_REASONS[reason] if reason else ""
            theirs[row["id"]] = (metric, "" if reason else row["text"])
    assert ours.keys() == theirs.keys(), "the two did not see the same documents"
    pairs = Counter((theirs[one][0], ours[one][0]) for one in ours)
    both = [one for one in ours if not ours[one][0] and not theirs[one][0]]
    return Agreement(
        num_documents=len(ours),
        same_decision=sum(n for (a, b), n in pairs.items() if bool(a) == bool(b)),
        same_reason=sum(n for (a, b), n in pairs.items() if a == b),
        kept_by_both=len(both),
        same_text=sum(ours[one][1] == theirs[one][1] for one in both),
        differences=tuple((a, b, n) for (a, b), n in pairs.most_common() if a != b),
    )


def compare_refilter(source: Path, folder: Path, turns: int) -> Comparison:
    """Other thresholds on stored metrics, against cleaning the corpus again."""
    raw, cleaned = folder / "raw", folder / "cleaned"
    raw.mkdir()
    cleaned.mkdir()
    texts = pl.read_parquet(source, columns=["id", "text"])
    others = [pl.lit("").alias(name) for name in RAW_COLUMNS if name not in texts.columns]
    texts.with_columns(others).select(RAW_COLUMNS).write_parquet(raw / "documents.parquet")
    web = find_profile("web")
    changed = CleaningProfile(
        name="web with other thresholds",
        filters={**web.filters, "gopher_quality": {"min_words": 30, "min_stop_words": 1}},
    )
    ours, theirs = [], []
    for turn in range(turns):
        began = time.process_time()
        clean_corpus(raw, cleaned, web)
        theirs.append(time.process_time() - began)
        out = folder / f"refiltered-{turn}"
        out.mkdir()
        began = time.process_time()
        refilter(cleaned, out, changed)
        ours.append(time.process_time() - began)
    return Comparison(
        step="re-filter with changed thresholds",
        peer="first pass here",
        unit="MB/s",
        amount=_text_bytes(source) / 1e6,
        ours=ours,
        theirs=theirs,
    )


def compare_shards(source: Path, folder: Path, peer: Path, turns: int) -> tuple[Comparison, str]:
    """BPE-encode to uint16 shards with one vocabulary; also peak memory of both, as a sentence."""
    from training.shards import TokenShards
    from training.tokenizer import TOKENIZER_FILE, save_tokenizer, train_tokenizer

    texts = pl.read_parquet(source, columns=["text"])["text"]
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    save_tokenizer(train_tokenizer(texts.gather_every(8), vocab_size=VOCAB_SIZE), tokenizer)
    ours, theirs = [], []
    memory: dict[str, int] = {}
    for turn in range(turns):
        out, peer_out = folder / f"shards-{turn}", folder / f"peer-shards-{turn}"
        out.mkdir()
        command = [sys.executable, "-m", "benchmarks.token_shards", str(source), str(out)]
        seconds, memory["here"] = _run([*command, str(tokenizer)])
        ours.append(seconds)
        script = [str(peer), str(PEERS / "datatrove_tokens.py"), str(source), str(peer_out)]
        seconds, memory["datatrove"] = _run([*script, str(tokenizer / TOKENIZER_FILE)])
        theirs.append(seconds)
    shards = sorted((folder / "shards-0").glob("*.tok"))
    written = b"".join(path.read_bytes() for path in shards)
    expected = b"".join(path.read_bytes() for path in sorted(folder.glob("peer-shards-0/*.ds")))
    assert written == expected, "the ids differ"
    assert TokenShards.open(folder / "shards-0").manifest.dtype == "uint16"
    comparison = Comparison(
        step="BPE-encode to uint16 shards, the same ids",
        peer="datatrove",
        unit="MB/s",
        amount=_text_bytes(source) / 1e6,
        ours=ours,
        theirs=theirs,
    )
    told = ", ".join(f"{name} {size / 1024:.0f} MiB" for name, size in memory.items())
    return comparison, f"Peak memory of a whole process that writes the shards: {told}."


def measure(inputs: Inputs) -> Family:
    """Measure the family for `make bench`; nothing without corpora."""
    if inputs.corpora is None:
        return Family(rows=[], notes=["It needs real text: give --corpora."])
    rows, notes = compare(
        inputs.corpora, inputs.peer_python, documents=inputs.documents, turns=inputs.turns
    )
    return Family(rows=rows, notes=notes)


def compare(
    corpora: Path, peer_python: Path | None, *, documents: int = 250, turns: int = 3
) -> tuple[list[Comparison], list[str]]:
    """Run all comparisons; return them and sentences to print beneath.

    Args:
        corpora: Folder of Parquet files with `id` and `text`.
        peer_python: Interpreter of an environment with datatrove; None: only what needs none.
        documents: So many of each file.
        turns: How often each step runs.
    """
    began = time.process_time()
    measure_texts(pl.DataFrame({"id": ["warm"], "text": ["Warm. " * 99]}), edit_lines=True)
    notes = [
        f"Loading the native pass took {time.process_time() - began:.1f} s, outside all turns "
        "(some 20 s when it has to be compiled)."
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "input" / "documents.parquet"
        source.parent.mkdir()
        _sample(corpora, documents).write_parquet(source, row_group_size=BATCH_ROWS)
        rows = [compare_refilter(source, folder, turns)]
        if peer_python is None:
            notes.append("datatrove is not compared: give --peer-python an environment with it.")
            return rows, notes
        rows.insert(0, compare_filters(source, folder, peer_python, turns))
        notes.append(describe(compare_decisions(folder)))
        shards, memory = compare_shards(source, folder, peer_python, turns)
        return [*rows, shards], [*notes, memory]


def describe(agreement: Agreement) -> str:
    """Agreement in words, every class of difference with its number."""
    total = agreement.num_documents
    lines = [
        f"Of {total} documents, {agreement.same_decision / total:.3%} get the same decision and "
        f"{agreement.same_reason / total:.3%} the same first reason; of {agreement.kept_by_both} "
        f"kept by both, {agreement.same_text} have the same text.",
        *(
            f"- {count}: datatrove {theirs or 'keeps'}, here {ours or 'keeps'}"
            for theirs, ours, count in agreement.differences
        ),
    ]
    return "\n".join(lines)


def _sample(corpora: Path, documents: int) -> pl.DataFrame:
    files = sorted(corpora.glob("*.parquet"))
    if not files:
        raise SystemExit(f"{corpora}: no Parquet file; give a folder of them with --corpora")
    frames = [pl.read_parquet(file, columns=["id", "text"]).head(documents) for file in files]
    frame = pl.concat(frames)
    return frame.with_columns(id=pl.int_range(frame.height).cast(pl.String))


def _text_bytes(source: Path) -> int:
    return int(pl.read_parquet(source, columns=["text"])["text"].str.len_bytes().sum())


def _run(command: Sequence[str]) -> tuple[float, int]:
    """Run a script that prints its seconds and peak memory; return them, memory in KiB."""
    one = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **one},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return float(told["seconds"]), int(told["peak_kib"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--documents", type=int, default=250, help="of each file")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    rows, notes = compare(
        given.corpora, given.peer_python, documents=given.documents, turns=given.turns
    )
    print("\n".join([*(row.row() for row in rows), "", *notes]))


if __name__ == "__main__":
    main()
