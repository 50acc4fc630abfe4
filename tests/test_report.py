import json
import re
import shutil
import struct
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from assets.lake import Lake, write_json
from assets.plots import plot_style
from orchestration.report import write_report
from training.fitted_laws import FittedLaws
from training.run_table import RunTable
from training.scale_transfer import TransferGateConfig, judge_transfer, measure_scale_transfer

PARTS = (
    "data",
    "domains",
    "swarm",
    "law",
    "plan",
    "runs",
    "weights",
    "predictions",
    "cost",
    "gates",
)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Text, addresses and ids of a page; refuses tags that do not close."""

    def __init__(self, html):
        super().__init__()
        self.words, self.addresses, self.ids, self.open = [], [], [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.extend(data.split())

    @property
    def text(self):
        return " ".join(self.words).replace("\N{MINUS SIGN}", "-")


@pytest.fixture(autouse=True)
def quick_plots(monkeypatch, request):
    """Draw, but do not render: that is what takes long, and tests of the plots do it."""
    if "rendered" not in request.keywords:
        pixel = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1, 1)
        monkeypatch.setattr(plot_style, "as_png", lambda figure: pixel)


def read(lake, **options):
    path = write_report(lake, Path(lake.root).parent / "out" / "report.html", **options)
    html = path.read_text(encoding="utf-8")
    return html, Page(html)


def edit_json(artifact, file, change):
    content = json.loads((artifact.folder / file).read_text())
    change(content)
    write_json(artifact.folder / file, content)


def test_report_tells_the_numbers_of_every_part(report_lake):
    html, page = read(report_lake, preset="ci")
    assert "Preset ci . State of 2026-03-04 05:06:07 UTC." in page.text
    assert "blue_texts blue CC-BY-4.0 100 3.21 0 90 90.0 %" in page.text
    assert "blue 2,460 33.3 % 410 60 2.93" in page.text
    assert "18 of 18 designed mixtures were trained" in page.text
    assert "1 run stayed out of the fit: proxy-099-dead (stopped at step 3 of 20)." in page.text
    assert "The law expects the proposed weights to lower the mean loss" in page.text
    assert "uniform 3 seeds aioli 3 seeds plan 3 seeds proportional 3 seeds" in page.text
    assert "blue 4.200 ± 0.115 4.100 ± 0.117" in page.text
    assert "The weights of uniform, plan, proportional stay the same" in page.text
    assert "uniform 3 4.900 5.200 +0.300 0 %" in page.text
    assert "training runs 12 6 min 40 s 1 h 02 min none" in page.text
    assert "3 min 05 s of it were spent on finding the mixture" in page.text
    assert html.count("<figure>") == 11


def test_differences_are_paired_with_interval_and_verdict(report_lake):
    _, page = read(report_lake)
    # differences of aioli: -0.102, -0.100, -0.098; sd 0.002, reach 4.302653 * 0.002 / sqrt(3)
    assert "-0.100 [-0.105, -0.095] better" in page.text
    assert "-0.040 [-0.164, 0.084] not significant" in page.text


def test_what_a_larger_scale_says_stands_with_the_law(report_lake):
    assert "At a larger scale" not in read(report_lake)[1].text
    laws = FittedLaws.from_json(report_lake.artifact("mixing_law").json("law.json"))
    weights = np.random.default_rng(1).dirichlet(np.ones(3), size=5)
    small = RunTable(
        run_ids=tuple("abcde"),
        weights=weights,
        losses=laws.predict(weights),
        domains=laws.domains,
        eval_domains=laws.eval_domains,
    )
    large = replace(small, losses=small.losses - 0.4)
    study = measure_scale_transfer(laws, small, large, realised=weights)
    draft = report_lake.draft_folder("law_transfer", None)
    verdict = judge_transfer(study, TransferGateConfig())
    write_json(draft / "transfer.json", {**study.to_json(), "gate": verdict.to_json()})
    report_lake.publish(draft, asset="law_transfer", partition=None, recipe={})
    html, page = read(report_lake)
    assert "At a larger scale passed 5 mixtures of the swarm were trained again" in page.text
    assert "of the law's predictions 1.00 [1.00, 1.00]" in page.text
    assert "mean of the domains 0.400 0.000 -0.400 1.00" in page.text
    assert html.count("<figure>") == 12


def test_report_asks_no_server_for_anything(report_lake):
    html, page = read(report_lake)
    assert page.ids == list(PARTS)
    pictures = [address for address in page.addresses if not address.startswith("#")]
    assert len(pictures) == 11
    assert all(address.startswith("data:image/png;base64,") for address in pictures)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link", html)


def test_every_entry_of_the_navigation_leads_somewhere(report_lake):
    _, page = read(report_lake)
    assert [address[1:] for address in page.addresses if address.startswith("#")] == list(PARTS)


def test_an_empty_lake_is_said_in_words(tmp_path):
    html, page = read(Lake(root=str(tmp_path / "lake")))
    assert "Nothing has been materialised yet." in page.text
    assert page.text.count("never materialised") == 9
    assert "<figure>" not in html


@pytest.mark.parametrize(
    ("asset", "sentence"),
    [
        ("raw_corpora", "Raw corpora: never materialised."),
        ("cleaned_shards", "not cleaned yet"),
        ("token_shards", "Token shards: never materialised."),
        ("swarm", "Swarm: never materialised."),
        ("proxy_runs", "0 of 18 designed mixtures were trained."),
        ("mixing_law", "Mixing law: never materialised; finished proxy runs: 18."),
        ("training_plan", "Training plan: never materialised."),
        ("training_runs", "Training runs: never materialised."),
        ("evaluations", "Evaluations: never materialised."),
        ("predicted_vs_actual", "Predicted vs actual: never materialised."),
        ("cost_report", "Cost report: never materialised."),
    ],
)
def test_what_is_missing_is_said_and_the_rest_is_there(report_lake, forget, asset, sentence):
    forget(asset)
    _, page = read(report_lake)
    assert sentence in page.text
    assert page.ids == list(PARTS)


def test_a_plan_refused_by_the_gate_of_the_law_names_the_criterion(report_lake, forget):
    forget("training_plan")

    def fail(content):
        content["gate"]["passed"] = False
        content["gate"]["rows"][1] |= {"passed": False, "observed": None}

    edit_json(report_lake.artifact("mixing_law"), "evidence.json", fail)
    _, page = read(report_lake)
    assert (
        "There is no training plan: the mixing law did not pass its gate (held-out Spearman), "
        "so it may not choose a mixture."
    ) in page.text
    assert "held-out Spearman \N{EN DASH} at least 0.7 failed" in page.text


def test_a_plan_without_a_gain_says_so(report_lake):
    def weaken(content):
        content["proposal"]["significant"] = False
        content["proposal"]["gain_nats"]["low"] = -0.01

    edit_json(report_lake.artifact("training_plan"), "plan.json", weaken)
    _, page = read(report_lake)
    assert "No significant gain over the natural shares" in page.text
    assert "none shown significant gain of the plan" in page.text


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_fewer_than_three_seeds_are_insufficient(report_lake, num_seeds):
    chosen = [
        key
        for key in report_lake.partitions("evaluations")
        if any(f"-s{seed}-" in key for seed in range(num_seeds))
    ]
    html, page = read(report_lake, run_ids=chosen)
    assert page.text.count("insufficient insufficient insufficient") == 4  # domains and mean
    compared = page.text.split("insufficient for a comparison.")[1].split("Weights")[0]
    assert "better" not in compared
    assert "[" not in compared
    assert html.count("<figure>") == 10  # no picture of a comparison
    losses = page.text.split("Bold:")[1].split("Difference")[0]
    assert ("±" in losses) == (num_seeds == 2)


def test_without_the_baseline_nothing_is_compared(report_lake):
    chosen = [key for key in report_lake.partitions("evaluations") if "uniform" not in key]
    _, page = read(report_lake, run_ids=chosen)
    assert "No run of the method uniform was evaluated" in page.text


def test_gates_passed_failed_overridden_and_never_judged(report_lake):
    html, page = read(report_lake)
    assert "raw documents raw_corpora[blue_texts] 1 passed" in page.text
    assert (
        "raw documents raw_corpora[green_texts] 1 failed overridden unreadable_share: observed "
        "0.25, allowed <= 0.1 Overridden by maria for cleaned_shards, 2026-03-04: known <damage>"
    ) in page.text
    assert "raw documents raw_corpora[red_texts] 0 not judged" in page.text
    assert "known &lt;damage&gt;" in html


def test_an_older_report_is_replaced_whole(report_lake):
    first, _ = read(report_lake, preset="first")
    shutil.rmtree(Path(report_lake.root, "artifacts", "cost_report"))
    second, _ = read(report_lake, preset="second")
    assert "first" in first
    assert "<b>first</b>" not in second
    assert [path.name for path in (Path(report_lake.root).parent / "out").iterdir()] == [
        "report.html"
    ]


def test_leaks_skills_and_scores_stand_beside_the_corpora(report_lake):
    summaries = {
        "contaminated_documents": {"num_documents": 90, "overlapping": 7, "contaminated": 2},
        "skill_tags": {"num_documents": 90, "tagger": "linear", "skills": {"code": 60, "": 30}},
        "quality_scores": {"auc": 0.9, "quantiles": {"50": 0.256}},
    }
    assert "What is measured with" not in read(report_lake)[1].text
    for asset, summary in summaries.items():
        draft = report_lake.draft_folder(asset, "blue_texts")
        write_json(draft / "summary.json", summary)
        report_lake.publish(draft, asset=asset, partition="blue_texts", recipe={})
    _, page = read(report_lake)
    assert "blue_texts 90 7 2 code 66.7 %, (none) 33.3 % linear 0.26" in page.text
