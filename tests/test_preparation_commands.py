"""The commands on files as a person types them."""

import json
import os
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from training.shards import TokenShards
from training.tokenizer import Encoder, save_tokenizer, train_tokenizer

PROJECT = Path(__file__).parents[1]
SENTENCE = "The committee shall meet at least once a year and publish a report of its work. "
ROWS = [
    {"id": "good", "text": SENTENCE * 8 + "\x07", "stars": 5},
    {"id": "copy", "text": SENTENCE.upper() * 8, "stars": 4},
    {"id": "brief", "text": "no <script>alert(1)</script>", "stars": 3},
    {"id": "none", "text": None, "stars": 2},
]


@pytest.fixture
def pages(tmp_path):
    path = tmp_path / "pages.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def invoke(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == code, result.output
        return result

    return run


class _Page(HTMLParser):
    """Tags that are open, and every address that the page names."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read_page(path):
    """Parse a page: well-formed, and nothing outside it is needed."""
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    return page.text


def test_profile_counts_and_shows_defects(pages, tmp_path, invoke):
    result = invoke("profile", pages, "--out", tmp_path / "out", "--json")
    content = json.loads(result.stdout)
    assert content["profile"]["num_documents"] == 3
    assert content["profile"]["unreadable"] == {"null_text": 1}
    assert {defect["name"] for defect in content["defects"]} >= {
        "control_characters",
        "short",
        "null_text",
    }
    stored = json.loads((tmp_path / "out/summary.json").read_text())
    assert stored == {"command": "profile", **content}
    text = read_page(tmp_path / "out/index.html")
    assert "<script>alert(1)</script>" in text  # as text, not as a tag
    assert "\\x07" in text
    assert "pages.jsonl:3" in text


def test_clean_writes_tables_that_datasets_loads(pages, tmp_path, invoke):
    from datasets import load_dataset

    out = tmp_path / "out"
    result = invoke("clean", pages, "--out", out, "--profile", "prose", "--json")
    content = json.loads(result.stdout)
    assert (content["num_rows"], content["num_kept"], content["num_rejected"]) == (4, 1, 3)
    loaded = load_dataset(
        "parquet", data_files=str(out / "kept/*.parquet"), cache_dir=str(tmp_path / "cache")
    )["train"]
    assert loaded["id"] == ["good"]
    assert loaded["stars"] == [5]
    assert loaded["text"] == [(SENTENCE * 8).rstrip()]
    assert loaded["source_row"] == ["pages.jsonl:1"]
    assert loaded["num_words"] == [len((SENTENCE * 8).split())]
    rejected = pl.read_parquet(out / "rejected").sort("source_row")
    assert rejected["operator"].to_list() == ["exact_deduplication", "length", "read"]
    text = read_page(out / "index.html")
    for told in ("too few words", "copy of an earlier document", "\\x07", "null text"):
        assert told in text


def test_clean_prints_a_table_that_adds_up(pages, tmp_path, invoke):
    printed = invoke("clean", pages, "--out", tmp_path / "out", "--profile", "prose").stdout
    rows = [line for line in printed.splitlines() if line.startswith("│")]
    counts = [int(row.split("│")[3]) for row in rows]
    assert sum(counts[:-3]) == counts[-3] == 3
    assert counts[-3] + counts[-2] == counts[-1] == 4


@pytest.fixture
def tokenizer(tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    save_tokenizer(train_tokenizer([SENTENCE * 5], vocab_size=300), folder)
    return folder


@pytest.mark.parametrize("named", ["", "tokenizer.json"])
def test_tokenize_writes_shards_of_the_documents(pages, tmp_path, invoke, tokenizer, named):
    out = tmp_path / "out"
    result = invoke("tokenize", pages, "--tokenizer", tokenizer / named, "--out", out, "--json")
    content = json.loads(result.stdout)
    assert content["num_documents"] == 3
    assert content["unreadable"] == {"null_text": 1}
    encoder = Encoder(tokenizer)
    expected = []
    for row in ROWS[:3]:
        expected += [*encoder.encode_batch([row["text"]])[0].tolist(), encoder.eos_id]
    assert np.fromfile(out / "00000.tok", dtype="<u2").tolist() == expected
    assert content["num_tokens"] == len(expected)
    assert pq.read_table(out / "documents.parquet")["document_id"].to_pylist() == [
        "good",
        "copy",
        "brief",
    ]
    assert TokenShards.open(out, verify=True).manifest.num_documents == 3
    assert (
        "bytes per token"
        in invoke("tokenize", pages, "--tokenizer", tokenizer, "--out", out).stdout
    )


@pytest.mark.parametrize("command", ["profile", "clean", "tokenize", "trace"])
def test_help_has_examples(invoke, command):
    assert f"mixwright {command}" in invoke(command, "--help").output


def test_bad_input_is_one_line_and_the_last_good_output_stays(pages, tmp_path, invoke):
    out = tmp_path / "out"
    invoke("clean", pages, "--out", out, "--profile", "prose")
    before = sorted(path.name for path in out.rglob("*"))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    cases = [
        (tmp_path / "gone.jsonl", (), "does not exist"),
        (tmp_path / "cut.parquet", (), "no complete Parquet file"),
        (pages, ("--text-column", "body"), "has a column 'body'"),
        (pages, ("--profile", "poetry"), "unknown cleaning profile 'poetry'; known are"),
    ]
    for source, options, message in cases:
        result = invoke("clean", source, "--out", out, *options, code=2)
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
    assert sorted(path.name for path in out.rglob("*")) == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_foreign_folder_is_not_replaced(pages, tmp_path, invoke):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("x")
    result = invoke("clean", pages, "--out", tmp_path / "thesis", code=2)
    assert "was not written by `mixwright clean`" in result.stderr
    assert (tmp_path / "thesis/chapter.txt").exists()


def test_a_worker_killed_in_the_middle_leaves_the_last_good_output(pages, tmp_path, invoke):
    out = tmp_path / "out"
    invoke("clean", pages, "--out", out, "--profile", "prose")
    kept = (out / "kept/part-00000.parquet").read_bytes()
    code = (
        "import os, quality.cleaned_documents as module\n"
        "first = module.CleaningExamples.add\n"
        "def add(*arguments):\n"
        f"    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        "module.CleaningExamples.add = add\n"
        "from orchestration.cli import app\n"
        f"app(['clean', {str(pages)!r}, '--out', {str(out)!r}])\n"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (out / "kept/part-00000.parquet").read_bytes() == kept
    assert any(path.name.startswith(".draft-") for path in tmp_path.iterdir())
    invoke("clean", pages, "--out", out, "--profile", "prose")
    assert not any(path.name.startswith(".draft-") for path in tmp_path.iterdir())


def test_trace_follows_a_document_through_the_folders_of_commands(pages, tmp_path, invoke):
    first, second = tmp_path / "first", tmp_path / "second"
    invoke("clean", pages, "--out", first, "--profile", "prose")
    invoke("clean", first / "kept", "--out", second, "--profile", "prose")
    for key in ("good", "pages.jsonl:1"):
        result = invoke("trace", key, "--in", second, "--json")
        steps = json.loads(result.stdout)["steps"]
        assert [step["fate"] for step in steps] == ["read", "went on", "went on"]
        assert steps[0]["row"]["text"] == ROWS[0]["text"]
        assert steps[-1]["row"]["id"] == "good"
    steps = json.loads(invoke("trace", "brief", "--in", second, "--json").stdout)["steps"]
    assert [step["fate"] for step in steps] == ["read", "removed"]
    assert (steps[1]["row"]["operator"], steps[1]["row"]["metric"]) == ("length", "num_words")
    steps = json.loads(invoke("trace", "pages.jsonl:4", "--in", first, "--json").stdout)["steps"]
    assert [(step["fate"], step["row"]["reason"]) for step in steps] == [("removed", "null_text")]
    assert "too few words" in invoke("trace", "brief", "--in", first).stdout
    result = invoke("trace", "nobody", "--in", first, code=2)
    assert "no document or source row 'nobody'" in result.stderr
    assert "no summary.json" in invoke("trace", "x", "--in", tmp_path, code=2).stderr


@pytest.mark.timeout(900)  # the first test to use it makes the graph
def test_trace_follows_a_document_through_the_lake(invoke, made_home, monkeypatch):
    monkeypatch.setenv("MIXWRIGHT_PRESET", "ci")
    lake = made_home / "ci/lake/artifacts"
    (file,) = (lake / "cleaned_shards/small-talk").glob("*/documents.parquet")
    kept = pl.read_parquet(file).row(0, named=True)
    steps = json.loads(invoke("trace", kept["id"], "--json").stdout)["steps"]
    assert [step["stage"] for step in steps[:2]] == [
        "raw_corpora[small-talk]",
        "cleaned_shards[small-talk]",
    ]
    assert steps[0]["row"]["source"] == kept["source"]
    assert len(steps) >= 3  # held out, or in the tokens
    back = json.loads(invoke("trace", kept["source"], "--json").stdout)["steps"]
    assert [step["stage"] for step in steps] == [step["stage"] for step in back]
    rejected = [
        pl.read_parquet(path) for path in (lake / "cleaned_shards").glob("*/*/rejected.parquet")
    ]
    dropped = next(table for table in rejected if table.height).row(0, named=True)
    steps = json.loads(invoke("trace", dropped["id"], "--json").stdout)["steps"]
    assert [step["fate"] for step in steps] == ["went on", "removed"]
    assert steps[1]["row"]["metric"] == dropped["metric"]
