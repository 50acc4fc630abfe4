import io
import json
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from assets.lake import Lake, write_json
from orchestration.summary import WIDTH, print_summary


def printed(lake, *, width=WIDTH, styles=False, **options):
    stream = io.StringIO()
    colours = "standard" if styles else None
    console = Console(file=stream, width=width, force_terminal=styles, color_system=colours)
    print_summary(lake, console, **options)
    return stream.getvalue().replace("\N{MINUS SIGN}", "-")


def cells(text, first):
    """Cells of the first line that begins with a word."""
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [first])


def test_losses_verdict_predictions_and_cost(report_lake):
    text = printed(report_lake)
    assert cells(text, "method") == ["method", "seeds", "blue", "green", "red", "mean"]
    assert cells(text, "aioli") == ["aioli", "3", "4.100", "5.100", "6.100", "5.100"]
    assert "aioli minus uniform, mean of the domains: -0.100, 95 % [-0.105, -0.095]: be" in text
    assert "95 % [-0.164, 0.084]: not significant" in text
    assert "Gate of the mixing law: passed (18 proxy runs)" in text
    assert cells(text, "admitted")[-5:] == ["18", "at", "least", "8", "passed"]
    assert cells(text, "nearest")[:2] == ["nearest", "run"]
    assert "Plan: expected gain over natural shares" in text
    assert "rank over runs 1.00, level error 0.300 nats, recalibrated 0.000 nats" in text
    assert " ".join(cells(text, "proxy")) == "proxy runs 18 3 min 20 s 3 min 05 s none"
    assert "processor time of all: 1 h 05 min" in text


def test_best_is_bold_only_when_it_beats_all_others_beyond_chance(report_lake):
    assert "\x1b[1m4.100" not in printed(report_lake, styles=True)  # the plan may be as good
    runs = report_lake.partitions("evaluations")
    chosen = [key for key in runs if key.startswith(("uniform", "aioli"))]
    text = printed(report_lake, styles=True, run_ids=chosen)
    assert "\x1b[1m4.100" in text
    assert "\x1b[1m4.200" not in text


def test_too_few_seeds_are_insufficient(report_lake):
    chosen = [key for key in report_lake.partitions("evaluations") if "-s0-" in key]
    text = printed(report_lake, run_ids=chosen)
    assert (
        "aioli minus uniform, mean of the domains: insufficient (1 common seed, 3 needed)" in text
    )


def test_a_failed_gate_and_the_plan_it_prevents(report_lake, forget):
    forget("training_plan")
    path = report_lake.artifact("mixing_law").folder / "evidence.json"
    content = json.loads(path.read_text())
    content["gate"]["passed"] = False
    content["gate"]["rows"][4]["passed"] = False
    write_json(path, content)
    text = printed(report_lake)
    assert "Gate of the mixing law: failed" in text
    assert cells(text, "regret")[-1] == "failed"
    assert "the mixing law did not pass its gate (regret over spread)" in " ".join(text.split())


def test_an_empty_lake_is_said_in_words(tmp_path):
    text = printed(Lake(root=str(tmp_path)))
    assert text.split("\n\n") == [
        "Evaluations: never materialised.",
        "Mixing law: never materialised; finished proxy runs: 0.",
        "Predicted vs actual: never materialised.",
        "Cost report: never materialised.",
        "",
    ]


@pytest.mark.parametrize(
    ("num_domains", "width", "sizes"),
    [
        (3, 200, [3]),
        (7, 200, [7]),
        (8, 200, [8]),
        (9, 200, [5, 4]),
        (20, 200, [7, 7, 6]),
        (7, 80, [4, 3]),
    ],
)
def test_it_fits_the_width_with_many_domains_and_long_names(report_lake, num_domains, width, sizes):
    names = [f"a_rather_long_domain_{number:02d}" for number in range(num_domains)]
    for key in report_lake.partitions("evaluations"):
        path = report_lake.artifact("evaluations", key).folder / "scores.parquet"
        scores = pl.read_parquet(path)
        copies = [scores.head(1).with_columns(domain=pl.lit(name)) for name in names]
        pl.concat(copies).write_parquet(path)
    text = printed(report_lake, width=width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= min(width, WIDTH)
    losses = [line.split()[2:] for line in lines if line.split()[:2] == ["aioli", "3"]]
    # the first table is of losses; a later one tells predicted and actual
    assert losses[: len(sizes)] == [["4.100"] * (size + 1) for size in sizes]


def test_losses_are_read_from_the_lake_only(report_lake):
    before = sorted(Path(report_lake.root).rglob("*"))
    printed(report_lake)
    assert sorted(Path(report_lake.root).rglob("*")) == before
