"""The real graph on the fixture corpora, on a persistent instance: what it says must add up."""

import json
import shutil
from io import StringIO
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from rich.console import Console

from assets.evaluating import COSTED
from assets.lake import WHOLE, Lake
from assets.partitions import (
    CATALOGUE,
    DOMAINS,
    PRESET,
    TRAINING_RUNS,
    corpora_of,
    current_artifacts,
    current_partitions,
)
from assets.run_configs import token_artifacts, train_tokens
from orchestration import deployments
from orchestration.demo import asset_specs, materialise_all, stale_partitions
from orchestration.report import write_report
from orchestration.summary import print_summary
from training.ledger import read_ledger, read_weights
from training.run_result import read_result
from training.shards import TokenShards

pytestmark = pytest.mark.timeout(900)  # the first test to run makes the graph
WHOLE_ASSETS = {
    "duplicate_clusters",
    "tokenizer",
    "shard_profile",
    "swarm",
    "mixing_law",
    "training_plan",
    "predicted_vs_actual",
    "cost_report",
}
SKILL_ASSETS = {"skill_runs", "skill_graph"}
"""Absent: the preset studies no skills."""
TRANSFER_ASSETS = {"transfer_mixtures", "transfer_runs", "law_transfer"}
"""Absent: the preset tests no second scale."""


@pytest.fixture(scope="module", autouse=True)
def home(made_graph):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXWRIGHT_HOME", str(made_graph.home))
        yield made_graph.home


@pytest.fixture
def lake():
    return deployments.lake()


def names(lake):
    """Asset and partition of everything that this preset has."""
    for asset in asset_specs():
        partitions = [None] if asset in WHOLE_ASSETS else current_partitions(lake, asset)
        for partition in partitions:
            yield asset, partition


def versions(lake):
    return {
        (asset, partition): lake.artifact(asset, partition).data_version
        for asset, partition in names(lake)
    }


def test_every_partition_has_a_current_version_that_dagster_knows(lake):
    with deployments.instance() as instance:
        for (asset, partition), version in versions(lake).items():
            event = instance.fetch_materializations(
                dg.AssetRecordsFilter(
                    dg.AssetKey(asset), asset_partitions=[partition] if partition else None
                ),
                limit=1,
            )
            recorded = event.records[0].asset_materialization.tags["dagster/data_version"]
            assert recorded == version, (asset, partition)


def test_number_of_partitions(lake):
    counts = {asset: 0 for asset in asset_specs()}
    for asset, _ in names(lake):
        counts[asset] += 1
    for asset in ("raw_corpora", "cleaned_shards", "fingerprints", "cluster_members"):
        assert counts[asset] == len(CATALOGUE) == 4
    assert counts["token_shards"] == counts["heldout_sets"] == len(DOMAINS) == 4
    assert counts["proxy_runs"] == PRESET.swarm.num_runs == 12
    assert counts["evaluations"] == counts["training_runs"] == 4
    assert set(counts) == {*COSTED, "cost_report"} - SKILL_ASSETS - TRANSFER_ASSETS


def test_the_instance_has_every_proxy_run_of_the_swarm_and_no_other(lake):
    with deployments.instance() as instance:
        made = instance.get_materialized_partitions(dg.AssetKey("proxy_runs"))
        offered = instance.get_dynamic_partitions("proxy_run")
    assert made == set(offered) == set(current_partitions(lake, "proxy_runs"))


@pytest.mark.parametrize("corpus", CATALOGUE)
def test_every_raw_document_is_kept_or_dropped_with_a_reason(lake, corpus):
    raw = pl.read_parquet(lake.artifact("raw_corpora", corpus).folder / "documents.parquet")
    cleaned = lake.artifact("cleaned_shards", corpus)
    kept = pl.read_parquet(cleaned.folder / "documents.parquet")
    rejected = pl.read_parquet(cleaned.folder / "rejected.parquet")
    summary = cleaned.json("summary.json")
    dropped = sum(row["num_documents"] for row in summary["rejected"])
    assert (summary["raw"], summary["kept"]) == (raw.height, kept.height)
    assert dropped == rejected.height
    assert summary["raw"] == summary["kept"] + dropped
    assert sorted([*kept["id"], *rejected["id"]]) == sorted(raw["id"])
    assert rejected["reason"].null_count() == 0


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_is_held_out_is_not_trained_on(lake, domain):
    heldout = pl.read_parquet(lake.artifact("heldout_sets", domain).folder / "documents.parquet")
    shards = lake.artifact("token_shards", domain).folder
    train = pl.read_parquet(shards / "train" / "documents.parquet")
    assert heldout.height > 0
    assert sorted(pl.read_parquet(shards / "heldout" / "documents.parquet")["document_id"]) == (
        sorted(heldout["id"])
    )
    cleaned = pl.concat(
        pl.read_parquet(
            lake.artifact("cleaned_shards", corpus).folder / "documents.parquet",
            columns=["id", "text_hash"],
        )
        for corpus in corpora_of(domain)
    )
    trained = cleaned.filter(pl.col("id").is_in(train["document_id"].to_list()))
    assert trained.height == train.height
    assert not set(trained["text_hash"]) & set(heldout["text_hash"])


@pytest.mark.parametrize("key", TRAINING_RUNS)
def test_the_ledger_holds_every_row_and_explains_shares_and_epochs(lake, key):
    run = lake.artifact("training_runs", key).folder
    schedule = PRESET.target.schedule
    rows, weights = read_ledger(run / "ledger"), read_weights(run / "ledger")
    result = read_result(run / "result.json")
    assert rows.height == schedule.steps * schedule.batch_rows == 640
    assert result.tokens == 640 * PRESET.target.model.context_tokens
    sums = weights.group_by("step").agg(pl.col("requested").sum(), pl.col("rows").sum())
    np.testing.assert_allclose(sums["requested"], 1.0)
    assert set(sums["rows"]) == {schedule.batch_rows}
    for domain, artifact in token_artifacts(lake).items():
        drawn = rows.filter(pl.col("domain") == domain)
        offered = TokenShards.open(artifact.folder / "train").num_rows(
            PRESET.target.model.context_tokens
        )
        assert result.realised_shares[domain] == pytest.approx(drawn.height / rows.height)
        assert result.epochs[domain] == pytest.approx(drawn.height / offered)
        assert drawn["row"].is_between(0, offered - 1).all()
        assert not drawn.select("row", "epoch").is_duplicated().any()


def test_the_plan_counts_its_epochs(lake):
    plan = lake.artifact("training_plan")
    weights = pl.read_parquet(plan.folder / "weights.parquet")
    tokens = train_tokens(token_artifacts(lake))
    assert weights["domain"].to_list() == list(DOMAINS)
    assert weights["proposed"].sum() == pytest.approx(1.0)
    expected = [
        share * PRESET.target.num_tokens / tokens[domain]
        for domain, share in weights.select("domain", "proposed").iter_rows()
    ]
    np.testing.assert_allclose(weights["epochs"], expected)
    assert weights["epochs"].max() <= PRESET.plan.max_epochs * (1 + 1e-6)


def test_the_planned_run_trained_on_the_plan(lake):
    (key,) = [key for key, run in TRAINING_RUNS.items() if run.needs_plan]
    plan = pl.read_parquet(lake.artifact("training_plan").folder / "weights.parquet")
    result = read_result(lake.artifact("training_runs", key).folder / "result.json")
    for domain, share in plan.select("domain", "proposed").iter_rows():
        assert result.requested_weights[domain] == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("key", TRAINING_RUNS)
def test_evaluating_again_gives_the_same_losses(lake, key):
    from training.model import load_model
    from training.scoring import score_domains

    stored = pl.read_parquet(lake.artifact("evaluations", key).folder / "scores.parquet")
    numbers = stored.select("loss_nats", "perplexity", "bits_per_byte").to_numpy()
    assert np.isfinite(numbers).all()
    again = score_domains(
        load_model(lake.artifact("training_runs", key).folder / "final"),
        {domain: one.folder / "heldout" for domain, one in token_artifacts(lake).items()},
        context_tokens=PRESET.target.model.context_tokens,
    )
    assert {domain: score.loss_nats for domain, score in again.items()} == dict(
        stored.select("domain", "loss_nats").iter_rows()
    )
    # better than a uniform guess over the vocabulary, or nothing was learnt
    assert stored["loss_nats"].max() < np.log(PRESET.tokenizer.vocab_size)


def test_predictions_stand_beside_what_was_measured(lake):
    comparison = pl.read_parquet(lake.artifact("predicted_vs_actual").folder / "comparison.parquet")
    assert set(comparison.select("run_id", "domain").iter_rows()) == {
        (key, domain) for key in TRAINING_RUNS for domain in DOMAINS
    }
    assert comparison.height == 16
    measured = pl.concat(
        pl.read_parquet(lake.artifact("evaluations", key).folder / "scores.parquet")
        for key in TRAINING_RUNS
    )
    both = comparison.join(measured, on=["run_id", "domain"], validate="1:1")
    assert both.height == 16
    assert both["actual"].to_list() == both["loss_nats"].to_list()
    assert comparison["predicted"].is_finite().all()
    assert (comparison["predicted_low"] <= comparison["predicted_high"]).all()
    corrections = lake.artifact("predicted_vs_actual").json("recalibration.json")
    assert set(corrections) == set(DOMAINS)
    first = comparison.filter(pl.col("domain") == DOMAINS[0])
    if corrections[DOMAINS[0]]["slope"] == 1:
        offset = (first["actual"] - first["predicted"]).mean()
        assert corrections[DOMAINS[0]]["offset_nats"] == pytest.approx(offset)


def test_costs_are_those_of_the_manifests(lake):
    costs = pl.read_parquet(lake.artifact("cost_report").folder / "costs.parquet")
    assert set(costs["asset"]) == set(COSTED) - SKILL_ASSETS - TRANSFER_ASSETS
    for row in costs.to_dicts():
        keys = [None if key == WHOLE else key for key in lake.partitions(row["asset"])]
        spent = [lake.artifact(row["asset"], key).manifest["cost"] for key in keys]
        assert row["partitions"] == len(spent)
        for unit in ("wall_seconds", "cpu_seconds", "gpu_seconds"):
            assert row[unit] == pytest.approx(sum(cost.get(unit, 0.0) for cost in spent))
    assert costs["cpu_seconds"].min() > 0


def test_what_another_preset_left_is_not_current(lake, tmp_path):
    shutil.copytree(Path(lake.root, "artifacts"), tmp_path / "artifacts")
    proxies = tmp_path / "artifacts" / "proxy_runs"
    shutil.copytree(next(proxies.iterdir()), proxies / "run-of-another-swarm")
    copy = Lake(root=str(tmp_path))
    assert len(copy.partitions("proxy_runs")) == len(lake.partitions("proxy_runs")) + 1
    assert [each.partition for each in current_artifacts(copy, "proxy_runs")] == sorted(
        each.partition for each in current_artifacts(lake, "proxy_runs")
    )
    assert [each.partition for each in current_artifacts(copy, "swarm")] == [None]


def test_what_a_gate_refused_was_made_only_with_a_recorded_reason(lake, made_graph):
    law = lake.artifact("mixing_law")
    verdict = json.loads((lake.gate_folder(law) / "law_evidence.json").read_text())
    records = list((lake.gate_folder(law) / "overrides").glob("*.json"))
    refused = any(not row["passed"] for row in verdict["rows"])
    assert refused == ("training_plan" in made_graph.overridden) == bool(records)
    assert ("training_plan refuses to consume" in made_graph.log) == refused
    # corpora 4, held-out sets 4, tokenizer, shards 4, profile, swarm, proxies 12, law, plan,
    # trainings and evaluations 4 each, comparison, costs; without a plan one fewer of both, and
    # both with comparison and costs again when it is there
    assert made_graph.num_runs == ((42, 3) if refused else (44, 0))


def test_a_second_time_nothing_is_made(lake):
    before = versions(lake)
    assert materialise_all(lake, Console(file=StringIO())) == 0
    assert versions(lake) == before
    assert stale_partitions(lake) == []


def test_report_and_summary_tell_of_every_method(lake, tmp_path):
    page = write_report(lake, tmp_path / "report.html").read_text()
    out = StringIO()
    print_summary(lake, Console(file=out, width=110))
    for method in PRESET.methods:
        assert method in page
        assert method in out.getvalue()
    for corpus in CATALOGUE:
        assert corpus in page
    assert "nan" not in out.getvalue().split()
