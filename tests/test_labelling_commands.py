"""mixwright tag and mixwright score, from files to files."""

import json

import datasets
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app

SEA = ["sail", "harbour", "wave", "anchor", "captain", "storm", "tide", "gull"]
COURT = ["judge", "verdict", "witness", "appeal", "counsel", "statute", "oath", "plea"]


def texts(words, count, seed):
    rng = np.random.default_rng(seed)
    return [f"{number} " + " ".join(rng.choice(words, size=30)) for number in range(count)]


@pytest.fixture
def files(tmp_path):
    rows = [(f"sea-{n}", text, "sea") for n, text in enumerate(texts(SEA, 60, 1))]
    rows += [(f"court-{n}", text, "court") for n, text in enumerate(texts(COURT, 60, 2))]
    table = pl.DataFrame(rows, schema=["id", "text", "topic"], orient="row")
    table.write_parquet(tmp_path / "corpus.parquet")
    good = pl.DataFrame({"id": [f"r{n}" for n in range(60)], "text": texts(SEA, 60, 3)})
    good.write_parquet(tmp_path / "good.parquet")
    bad = pl.DataFrame({"id": [f"b{n}" for n in range(60)], "text": texts(COURT, 60, 4)})
    bad.write_parquet(tmp_path / "bad.parquet")
    rules = {"sea": {"pattern": "|".join(SEA), "min_density": 5}}
    rules["law"] = {"pattern": "|".join(COURT), "min_density": 5}
    content = {"linear": {"label_column": "topic"}, "rules": {"rules": rules}}
    (tmp_path / "taggers.yaml").write_text(json.dumps(content))
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_tag_labels_every_row_and_compares_two_taggers(files):
    out = files / "tagged"
    result = invoke(
        *("tag", files / "corpus.parquet", "--tagger", "linear", "--tagger", "rules"),
        *("--settings", files / "taggers.yaml", "--out", out, "--json"),
    )
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["tags"] == {
        "linear": {"court": 60, "sea": 60},
        "rules": {"law": 60, "sea": 60},
    }
    (compared,) = printed["comparisons"]
    assert (compared["first"], compared["second"]) == ("linear", "rules")
    assert (compared["num_both"], compared["agreement"]) == (120, 0.5)  # court is called law
    assert compared["matched_agreement"] == 1.0
    assert compared["translation"] == {"law": "court", "sea": "sea"}
    cache = str(files / "cache")
    loaded = datasets.load_dataset(
        "parquet", data_files=str(out / "kept/*.parquet"), cache_dir=cache
    )
    rows = loaded["train"].to_polars()
    assert rows["linear_tag"].to_list() == rows["topic"].to_list()
    assert rows["id"].to_list() == pl.read_parquet(files / "corpus.parquet")["id"].to_list()
    assert rows["rules_confidence"].to_list() == [1.0] * 120
    assert json.loads((out / "summary.json").read_text())["command"] == "tag"


def test_tags_are_printed_for_people(files):
    options = ("--settings", files / "taggers.yaml", "--tagger", "rules", "--tagger", "linear")
    result = invoke("tag", files / "corpus.parquet", *options, "--out", files / "tagged")
    assert result.exit_code == 0, result.output
    assert "agree on 50.0 %" in result.stdout
    assert "Tagged:" in result.stdout


def test_score_as_filter(files):
    out = files / "scored"
    result = invoke(
        *("score", files / "corpus.parquet", "--reference", files / "good.parquet"),
        *("--background", files / "bad.parquet", "--min-score", "0.5", "--out", out, "--json"),
    )
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["kept"], printed["rejected"], printed["num_documents"]) == (60, 60, 120)
    assert printed["separation"]["auc"] == 1.0
    kept = pl.read_parquet(out / "kept/*.parquet")
    assert set(kept["topic"]) == {"sea"}
    assert kept["quality_score"].min() >= 0.5
    assert kept["sampling_weight"].mean() == pytest.approx(1.0)
    rejected = pl.read_parquet(out / "rejected/*.parquet")
    assert rejected.columns == ["id", "operator", "reason", "metric", "value", "limit"]
    assert all(name.startswith("court-") for name in rejected["id"])
    assert set(rejected["limit"]) == {">= 0.5"}
    assert rejected["value"].cast(pl.Float64).max() < 0.5


def test_score_as_strata_from_a_stored_model(files):
    one, out = files / "scored", files / "again"
    arguments = ("score", files / "corpus.parquet", "--reference", files / "good.parquet")
    assert invoke(*arguments, "--out", one).exit_code == 0
    assert "tells them apart" in invoke(*arguments, "--out", one).stdout
    result = invoke(
        *("score", files / "corpus.parquet", "--model", one / "model", "--strata", "2"),
        *("--out", out, "--json"),
    )
    assert result.exit_code == 0, result.output
    low, high = json.loads(result.stdout)["strata"]
    assert (low["documents"], high["documents"]) == (60, 60)
    assert low["greatest_score"] < high["least_score"]
    assert low["weight"] + high["weight"] == pytest.approx(1.0)
    tables = [pl.read_parquet(out / f"kept/stratum-{k}/*.parquet") for k in (0, 1)]
    assert [set(table["topic"]) for table in tables] == [{"court"}, {"sea"}]
    drawn = [(table["sampling_weight"] * table["text"].str.len_bytes()).sum() for table in tables]
    assert high["weight"] == pytest.approx(drawn[1] / sum(drawn))
    both = pl.read_parquet(one / "kept/*.parquet").sort("id")
    assert both["quality_score"].to_list() == pytest.approx(
        pl.concat(tables).sort("id")["quality_score"].to_list(), abs=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tag", "--tagger", "guess"), "'guess' is unknown or named twice"),
        (("tag", "--tagger", "rules", "--tagger", "rules"), "unknown or named twice"),
        (("tag", "--tagger", "linear"), "no string column 'domain'"),
        (("tag", "--tagger", "metadata", "--settings", "taggers.yaml"), "a mapping of"),
        (("tag", "--tagger", "linear", "--settings", "wrong.yaml"), "linear.lable_column"),
        (("tag", "--tagger", "rules", "--settings", "absent.yaml"), "absent.yaml"),
        (("score",), "give --reference"),
        (("score", "--reference", "good.parquet", "--model", "m"), "give --reference"),
        (("score", "--model", "absent"), "no quality model"),
        (("score", "--reference", "few.parquet"), "needs at least 20"),
        (("score", "--reference", "good.parquet", "--strata", "999"), "num_strata"),
        (("score", "--reference", "absent.parquet"), "absent.parquet"),
    ],
)
def test_bad_input_is_one_line_and_the_last_good_output_stays(
    files, arguments, message, monkeypatch
):
    monkeypatch.chdir(files)
    (files / "wrong.yaml").write_text("linear: {lable_column: topic}")
    pl.read_parquet(files / "good.parquet").head(5).write_parquet(files / "few.parquet")
    command, *options = arguments
    out = files / "out"
    out.mkdir()
    (out / "summary.json").write_text(json.dumps({"command": command}))
    result = invoke(command, "corpus.parquet", *options, "--out", out)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [path.name for path in out.iterdir()] == ["summary.json"]


def test_a_tagged_input_cannot_be_tagged_over(files):
    out = files / "tagged"
    options = ("--tagger", "metadata", "--settings", files / "columns.yaml")
    (files / "columns.yaml").write_text("metadata: {column: topic}")
    assert invoke("tag", files / "corpus.parquet", *options, "--out", out).exit_code == 0
    result = invoke("tag", out / "kept", *options, "--out", files / "again")
    assert result.exit_code == 2
    assert "has a column 'metadata_confidence' already" in result.stderr


@pytest.mark.parametrize("command", ["tag", "score"])
def test_help_has_examples(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"mixwright {command}" in result.stdout
