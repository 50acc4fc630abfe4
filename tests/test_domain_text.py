"""What a training domain is made of: versions that do not fit are refused; weights by score."""

import json
from dataclasses import replace

import dagster as dg
import pytest

from assets import domain_text
from assets.domain_text import read_domain_text, weights_by_score
from assets.lake import Lake
from assets.leaks import contamination_of
from assets.partitions import CATALOGUE, CORPUS_DOMAINS
from assets.presets import load_preset
from quality.domain_cut import DomainCut

CORPUS, DOMAIN = "small-talk", "dialogue"


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path))


@pytest.fixture
def publish(lake):
    """Publish a version that holds one JSON file."""

    def run(asset, partition, content, inputs=(), file="summary.json"):
        draft = lake.draft_folder(asset, partition)
        (draft / file).write_text(json.dumps(content))
        made_from = {one.name: one.data_version for one in inputs}
        return lake.publish(draft, asset=asset, partition=partition, recipe={"inputs": made_from})

    return run


@pytest.fixture
def report(publish):
    """A report on the current cleaned shards of a corpus and the current held-out sets."""
    cleaned = publish("cleaned_shards", CORPUS, {"text": 1})
    heldout = [publish("heldout_sets", domain, {"domain": domain}) for domain in CORPUS_DOMAINS]
    told = {"cleaned_version": cleaned.data_version}
    return publish("contaminated_documents", CORPUS, told, inputs=[cleaned, *heldout])


def test_a_report_on_current_versions_is_used(lake, report):
    cleaned = lake.artifact("cleaned_shards", CORPUS)
    assert contamination_of(lake, cleaned) == report


@pytest.mark.parametrize(
    ("asset", "partition"), [("cleaned_shards", CORPUS), ("heldout_sets", CORPUS_DOMAINS[-1])]
)
@pytest.mark.usefixtures("report")
def test_a_report_on_older_versions_is_refused(lake, publish, asset, partition):
    publish(asset, partition, {"text": 2})
    cleaned = lake.artifact("cleaned_shards", CORPUS)
    wanted = rf"is about another version of {asset}\[{partition}\]: materialise contaminated_doc"
    with pytest.raises(dg.Failure, match=wanted):
        contamination_of(lake, cleaned)


@pytest.mark.usefixtures("report")
def test_scores_of_older_documents_are_refused(lake, publish, monkeypatch):
    best = replace(load_preset("quality").score, keep_share=0.5)
    scored = replace(load_preset("ci"), score=best)
    monkeypatch.setattr(domain_text, "PRESET", scored)
    publish("quality_scores", CORPUS, {"cleaned_version": "older"})
    assert CATALOGUE[CORPUS].domain == DOMAIN
    with pytest.raises(dg.Failure, match=r"quality_scores\[small-talk\] is about version older"):
        read_domain_text(lake, DOMAIN)


def test_weights_by_score_leave_each_domain_its_share(publish, monkeypatch):
    monkeypatch.setattr(
        domain_text, "PRESET", replace(load_preset("quality"), domains=DomainCut(strata=2))
    )
    weights = {"code-q1": 0.5, "code-q2": 1.5, "law-q1": 0.25, "law-q2": 4.0}
    shards = {
        name: publish("token_shards", name, {"sampling_weight": weight}, file="cut.json")
        for name, weight in weights.items()
    }
    tokens = {"code-q1": 100, "code-q2": 100, "law-q1": 400, "law-q2": 200}
    # code has a fourth of all tokens, parted 50 : 150; law the rest, parted 100 : 800.
    assert weights_by_score(shards, tokens) == pytest.approx(
        {"code-q1": 1 / 16, "code-q2": 3 / 16, "law-q1": 1 / 12, "law-q2": 2 / 3}
    )
