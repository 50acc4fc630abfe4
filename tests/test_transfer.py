"""The transfer study on the graph: a second scale of a few mixtures, beside proxies and law."""

import shutil
import warnings
from dataclasses import replace

import dagster as dg
import numpy as np
import polars as pl
import pytest
from toy_shards import pass_gate, publish_toy_shards

from assets import proxies, transfer
from assets.lake import Lake, write_json
from assets.partitions import DOMAINS, PRESET, current_partitions
from assets.presets import TransferStudy
from assets.proxies import proxy_runs, swarm
from training.fitted_laws import fit_laws
from training.run_table import RunTable
from training.swarm import read_swarm

STUDY = TransferStudy(num_mixtures=5)
SHIFT = 0.4
"""What the larger scale takes off every loss."""


@pytest.fixture(scope="module", autouse=True)
def _study():
    for kind in (dg.PreviewWarning, dg.BetaWarning):
        warnings.filterwarnings("ignore", category=kind)
    target = PRESET.target
    small = replace(target, schedule=replace(target.schedule, steps=40, warmup_steps=4))
    with pytest.MonkeyPatch.context() as patch:
        study = replace(STUDY, shape=small)
        patch.setattr(transfer, "PRESET", replace(PRESET, transfer=study))
        patch.setattr("training.tokenizer.tokenizer_digest", lambda folder: "toy")
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Swarm, mixtures and one real run at the larger scale, on toy shards; offered partitions."""
    lake = Lake(root=str(tmp_path_factory.mktemp("transfer") / "lake"))
    publish_toy_shards(lake)
    inputs = {
        f"token_shards[{name}]": lake.artifact("token_shards", name).data_version
        for name in DOMAINS
    }
    for asset in ("shard_profile", "tokenizer"):  # nobody reads what is in them
        draft = lake.draft_folder(asset, None)
        pl.DataFrame({"domain": DOMAINS}).write_parquet(draft / "profile.parquet")
        lake.publish(draft, asset=asset, partition=None, recipe={"inputs": inputs})
    pass_gate(lake, lake.artifact("shard_profile"), "whole_corpus")
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialise(lake, instance, swarm).success
        assert materialise(lake, instance, transfer.transfer_mixtures).success
        first = current_partitions(lake, "transfer_runs")[0]
        assert materialise(lake, instance, transfer.transfer_runs, first).success
        return lake, set(instance.get_dynamic_partitions("transfer_run"))


def materialise(lake, instance, asset, partition=None):
    graph = [swarm, proxy_runs, transfer.transfer_mixtures, transfer.transfer_runs]
    graph += [transfer.law_transfer, transfer.ranking_transfers]
    return dg.materialize(
        graph,
        selection=dg.AssetSelection.assets(asset),
        partition_key=partition,
        instance=instance,
        resources={"lake": lake},
        raise_on_error=False,
    )


@pytest.fixture
def lake(made, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(made[0].root, tmp_path / "lake")
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def launch(lake):
    with dg.DagsterInstance.ephemeral() as instance:

        def run(asset, partition=None):
            return materialise(lake, instance, asset, partition)

        run.instance = instance
        yield run


@pytest.fixture
def studied(lake):
    """Result of the one real run."""
    first = current_partitions(lake, "transfer_runs")[0]
    return lake.artifact("transfer_runs", first).json("result.json")


def expected_losses(weights):
    return 3.0 + np.exp(-1.5 * weights)


def publish_results(lake, asset, design, like, *, change):
    """Results of all runs of a design, made from one real result; losses are a known law's."""
    losses = change(expected_losses(design.weights))
    for row, run_id in enumerate(design.run_ids):
        held = {
            name: {**like["heldout"][name], "loss_nats": float(losses[row, at])}
            for at, name in enumerate(DOMAINS)
        }
        shares = dict(zip(DOMAINS, design.weights[row].tolist(), strict=True))
        content = {**like, "run_id": run_id, "heldout": held, "realised_shares": shares}
        draft = lake.draft_folder(asset, run_id)
        write_json(draft / "result.json", content)
        lake.publish(draft, asset=asset, partition=run_id, recipe={"inputs": {}})


def publish_law(lake, design):
    table = RunTable(
        run_ids=design.run_ids,
        domains=DOMAINS,
        eval_domains=DOMAINS,
        weights=design.weights,
        losses=expected_losses(design.weights),
    )
    draft = lake.draft_folder("mixing_law", None)
    write_json(draft / "law.json", fit_laws(table).to_json())
    lake.publish(draft, asset="mixing_law", partition=None, recipe={"inputs": {}})


def test_the_farthest_mixtures_of_the_swarm_are_partitions_at_the_larger_scale(made, lake, studied):
    design = read_swarm(lake.artifact("swarm").folder)
    chosen = read_swarm(lake.artifact("transfer_mixtures").folder)
    assert len(chosen.run_ids) == 5
    assert made[1] == set(chosen.run_ids)
    swarm_rows = {tuple(row) for row in design.weights.tolist()}
    assert {tuple(row) for row in chosen.weights.tolist()} <= swarm_rows
    np.testing.assert_array_equal(chosen.weights[0], design.weights[0])
    shape = transfer.PRESET.transfer.shape
    assert (studied["steps"], studied["tokens"]) == (40, shape.num_tokens)
    assert studied["finished"]


def complete(lake, studied, *, change):
    design = read_swarm(lake.artifact("swarm").folder)
    proxy = {**studied, "steps": PRESET.proxy.schedule.steps}
    publish_results(lake, "proxy_runs", design, proxy, change=lambda losses: losses)
    chosen = read_swarm(lake.artifact("transfer_mixtures").folder)
    publish_results(lake, "transfer_runs", chosen, studied, change=change)
    publish_law(lake, design)


def test_a_shift_between_the_scales_keeps_the_ranks_and_is_corrected(lake, launch, studied):
    complete(lake, studied, change=lambda losses: losses - SHIFT)
    result = launch(transfer.law_transfer)
    assert result.success
    content = lake.artifact("law_transfer").json(transfer.FILE)
    assert content["runs"]["average"]["rank"]["value"] == pytest.approx(1)
    assert content["average_level"]["before_nats"] == pytest.approx(SHIFT, abs=1e-3)
    assert content["average_level"]["after_nats"] < 1e-3
    (event,) = result.get_asset_materialization_events()
    shown = event.materialization.metadata
    assert {"rank", "rank_interval", "level", "recalibrated_by", "picture"} <= set(shown)
    assert shown["mixtures"].value == 5
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("ranking_transfers", True)
    inputs = lake.artifact("law_transfer").manifest["inputs"]
    assert {"mixing_law", "swarm", "transfer_mixtures"} <= set(inputs)
    assert sum(name.startswith("transfer_runs[") for name in inputs) == 5
    assert sum(name.startswith("proxy_runs[") for name in inputs) == 12


def test_a_ranking_that_turns_round_fails_its_check_and_blocks_nothing(lake, launch, studied):
    complete(lake, studied, change=lambda losses: 8 - losses)
    result = launch(transfer.law_transfer)
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity.value, check.blocking) == (False, "WARN", False)
    assert "rank between the scales: -1" in check.description


def test_missing_runs_are_asked_for_and_a_stranger_is_refused(lake, launch, studied):
    publish_law(lake, read_swarm(lake.artifact("swarm").folder))
    (event,) = launch(transfer.law_transfer).get_step_failure_events()
    told = event.step_failure_data.user_failure_data.description
    assert "needs 4 mixtures at both scales, got 0" in told
    assert "materialise transfer_runs" in told
    launch.instance.add_dynamic_partitions("transfer_run", ["transfer-009-dead"])
    result = launch(transfer.transfer_runs, "transfer-009-dead")
    (event,) = result.get_step_failure_events()
    assert "not among the current mixtures" in event.step_failure_data.user_failure_data.description


def test_proxies_that_repeat_their_data_more_than_the_target_are_told(lake, monkeypatch):
    agreeing = proxies.epochs_agree(lake=lake)
    assert agreeing.passed
    assert len(agreeing.metadata["epochs"].records) == len(DOMAINS)
    monkeypatch.setattr(proxies, "offered_tokens", lambda shards: dict.fromkeys(shards, 32.0))
    found = proxies.epochs_agree(lake=lake)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"{DOMAINS[0]}: 60 in a proxy, 2.08 in the target" in found.description
