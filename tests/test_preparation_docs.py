"""docs/preparation.md says what the code does."""

import dataclasses
import gzip
import importlib.util
import json
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from quality.cleaning_profiles import CLEANING_PROFILES
from quality.documents import MAX_DOCUMENT_BYTES
from quality.filters import FILTERS
from quality.stored_table import BATCH_BYTES, BATCH_ROWS
from training.tokenizer import save_tokenizer, train_tokenizer

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def printer():
    spec = importlib.util.spec_from_file_location("print_filters", DOCS / "print_filters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def document():
    return (DOCS / "preparation.md").read_text(encoding="utf-8")


def test_the_tables_are_current(printer, document):
    assert printer.render(document) == document, "run: python docs/print_filters.py"


def test_every_threshold_has_its_default_and_meaning(printer, document):
    for name, parts in FILTERS.items():
        section = document.split(f"### `{name}`")[1].split("\n### ")[0]
        for field in dataclasses.fields(parts.settings):
            row = next(line for line in section.splitlines() if f"| `{field.name}` |" in line)
            _, _, default, meaning, _ = (cell.strip() for cell in row.split("|"))
            assert default == printer.say(field.default)
            assert meaning.endswith(".")


def test_thresholds_are_written_for_people(printer):
    thresholds = (None, True, False, 100_000, 10.0, 0.65)
    told = ["off", "yes", "no", "100,000", "10", "0.65"]
    assert [printer.say(threshold) for threshold in thresholds] == told


def test_every_profile_is_named(document):
    assert all(f"| **{name}** |" in document for name in CLEANING_PROFILES)


def test_an_outdated_page_is_found_out(printer, document):
    outdated = document.replace("| `min_words` | 50 |", "| `min_words` | 51 |")
    assert outdated != document
    assert printer.render(outdated) == document


def test_the_limits_are_those_of_the_code(document):
    assert f"longer than {MAX_DOCUMENT_BYTES // 2**20} MiB" in document
    assert f"{BATCH_ROWS} rows or about {BATCH_BYTES // 10**6} MB" in document


def _pages(count, seed):
    """Documents that the web chain keeps: sentences of stop words and made-up words."""
    rng = np.random.default_rng(seed)
    syllables = ["ba", "ne", "ri", "to", "lu", "sa", "mi", "do", "ke", "va"]
    for _ in range(count):
        words = ["".join(rng.choice(syllables, size=3)) for _ in range(96)]
        words[::4] = rng.choice(["the", "of", "and", "to", "that", "with"], size=24)
        parts = [" ".join(words[first : first + 12]) for first in range(0, 96, 12)]
        yield " ".join(f"{part.capitalize()}." for part in parts)


def test_the_commands_of_the_page_run_in_their_order(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = list(_pages(100, 0))
    lines = [json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(texts)]
    with gzip.open("pages.jsonl.gz", "wt") as file:
        file.write("\n".join([*lines, json.dumps({"id": "copy", "text": texts[0].upper()})]))
    Path("evals").mkdir()
    exam = pl.DataFrame({"id": ["q"], "text": [" ".join(texts[1].split()[20:40])]})
    exam.write_parquet("evals/exam.parquet")
    good = [text.replace(".", " quite.") for text in _pages(60, 1)]
    pl.DataFrame({"id": [f"g{n}" for n in range(60)], "text": good}).write_parquet("good.parquet")
    Path("tokenizer").mkdir()
    save_tokenizer(train_tokenizer(texts[:9], vocab_size=300), Path("tokenizer"))
    block = document.split("```")[1]
    commands = [shlex.split(line, comments=True)[1:] for line in block.strip().splitlines()]
    commands[[command[0] for command in commands].index("score")][-3] = "0"  # of --min-score
    for command in commands:
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, (command, result.output)
    rows = {
        name: pl.read_parquet(f"{name}/kept/*.parquet").height
        for name in ("cleaned", "deduplicated", "decontaminated", "tagged", "scored")
    }
    assert list(rows.values()) == [100, 100, 99, 99, 99]  # the copy; the item of the exam
    scored = pl.read_parquet("scored/kept/*.parquet")
    assert {"source_row", "gopher_num_words", "rules_tag", "quality_score"} <= set(scored.columns)
