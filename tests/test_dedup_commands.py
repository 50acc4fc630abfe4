import json

import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app

SENTENCE = "the quick brown fox jumps over the lazy dog while seven old owls look on"


@pytest.fixture
def corpus(tmp_path):
    rows = [
        {"key": 1, "body": f"Before. {SENTENCE}. After."},
        {"key": 2, "body": "Something else."},
        {"key": 3, "body": "something ELSE."},
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


COLUMNS = ("--text-column", "body", "--id-column", "key")


def test_dedup_writes_what_stays_and_what_went(corpus, tmp_path):
    out = tmp_path / "out"
    result = invoke("dedup", corpus, *COLUMNS, "--out", out, "--method", "exact", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["kept"], printed["removed"], printed["out"]) == (2, {"exact": 1}, str(out))
    assert pl.read_parquet(out / "kept/*.parquet")["key"].to_list() == [1, 2]
    removed = pl.read_parquet(out / "removed/*.parquet")
    assert removed.select("id", "kept_id", "kind").rows() == [("3", "2", "exact")]
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["method"], summary["kept"], summary["command"]) == ("exact", 2, "dedup")


def test_tables_are_for_people(corpus, tmp_path):
    result = invoke("dedup", corpus, *COLUMNS, "--out", tmp_path / "out", "--paragraphs")
    assert result.exit_code == 0, result.output
    assert "removed: exact" in result.stdout
    assert "Written:" in result.stdout


def test_decontaminate_writes_what_stays_and_what_went(corpus, tmp_path):
    exam = tmp_path / "exam.jsonl"
    exam.write_text(json.dumps({"id": "q1", "question": f"Finish: {SENTENCE.upper()}"}) + "\n")
    out = tmp_path / "out"
    result = invoke(
        *("decontaminate", corpus, *COLUMNS, "--against", exam, "--eval-text-column", "question"),
        *("--out", out, "--json"),
    )
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["kept"], printed["removed"]) == (2, 1)
    assert printed["evaluations"][str(exam)]["found"] == 1
    removed = pl.read_parquet(out / "removed/*.parquet")
    assert removed.select("id", "evaluation", "item_id").rows() == [("1", str(exam), "q1")]
    assert pl.read_parquet(out / "kept/*.parquet")["key"].to_list() == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dedup", "{corpus}"), "has a column 'text', only"),
        (("dedup", "/no/such/file"), "does not exist"),
        (("dedup", "{corpus}", "{corpus}", *COLUMNS), "named twice"),
        (("decontaminate", "{corpus}", *COLUMNS, "--against", "/no/exam"), "does not exist"),
        (
            ("decontaminate", "{corpus}", *COLUMNS, "--against", "{corpus}", "--ngram", "5"),
            "min_item_words must not be larger",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(corpus, tmp_path, arguments, message):
    out = tmp_path / "out"
    result = invoke(*(part.format(corpus=corpus) for part in arguments), "--out", out)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not out.exists()


@pytest.mark.parametrize("command", ["dedup", "decontaminate"])
def test_help_has_examples(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"mixwright {command} " in result.stdout
