"""Skill runs and the stages of DoReMi as partitions, in a process of its own with such a preset."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import pytest
import yaml
from toy_shards import publish_toy_shards

from assets.lake import Lake
from assets.launchers import TrainingLauncher
from assets.partitions import DOMAINS
from assets.presets import PRESETS
from orchestration.definitions import defs
from training.run_file import load_run_config

TESTS = Path(__file__).parent
SEEDS = (0, 1, 2)
NATURAL = {"method": "proportional"}
LEARNERS = {"reference_runs", "weight_runs"}


def tokens_of(domain):
    """The first two domains share their tokens, so they help each other."""
    return max(0, DOMAINS.index(domain) - 1)


def make(root):
    """What the other process executes: a graph too early, all runs, the graph; then tell of it."""
    from assets import skills

    lake = Lake(root=root)
    publish_toy_shards(lake, tokens_of)

    def materialise(asset, key=None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dg.materialize(
                [asset],
                partition_key=key,
                resources={"lake": lake, "launcher": InThisProcess()},
                raise_on_error=False,
            )

    def error(result):
        (event,) = result.get_step_failure_events()
        return event.step_failure_data.user_failure_data.description

    keys = list(skills.SKILL_RUNS)
    told = {"keys": keys, "none": error(materialise(skills.skill_graph))}
    assert materialise(skills.skill_runs, keys[0]).success
    assert materialise(skills.skill_runs, keys[1]).success
    told["few"] = error(materialise(skills.skill_graph))
    assert all(materialise(skills.skill_runs, key).success for key in keys[2:])
    found = materialise(skills.skill_graph)
    (event,) = found.get_asset_materialization_events()
    told["metadata"] = list(event.materialization.metadata)
    told["graph"] = lake.artifact("skill_graph").json("graph.json")
    told |= make_learned(lake, materialise)
    told["assets"] = sorted(key.to_user_string() for key in defs().resolve_all_asset_keys())
    sys.stdout.write(json.dumps(told) + "\n")


class InThisProcess(TrainingLauncher):
    """Trains without a process of its own."""

    def launch(self, context, *, config_file, out):
        from training.loop import train

        train(load_run_config(config_file), out)


def make_learned(lake, materialise):
    """The three stages of DoReMi for the first seed, and what they left."""
    from assets import learners
    from assets.partitions import TRAINING_RUNS, WEIGHT_RUNS
    from assets.training_runs import training_runs

    weights = next(iter(WEIGHT_RUNS.values()))
    (run,) = [run for run in TRAINING_RUNS.values() if run.weight_run == weights]
    told = {"early": materialise(learners.weight_runs, weights.key).success}
    stages = [
        (learners.reference_runs, weights.reference.key),
        (learners.weight_runs, weights.key),
        (training_runs, run.key),
    ]
    assert all(materialise(*stage).success for stage in stages)
    made = [lake.artifact(asset.key.to_user_string(), key) for asset, key in stages]
    told["stages"] = [artifact.name for artifact in made]
    told["inputs"] = [sorted(artifact.manifest["inputs"]) for artifact in made]
    told["results"] = [artifact.json("result.json") for artifact in made]
    mapping = training_runs.get_partition_mapping(learners.weight_runs.key)
    below = mapping.get_downstream_partitions_for_partitions(
        weight_run_subset(weights.key),
        learners.weight_run_partitions,
        training_runs.partitions_def,
    )
    told["below"] = sorted(below.get_partition_keys())
    return told


def weight_run_subset(key):
    from assets.partitions import weight_run_partitions

    return weight_run_partitions.subset_with_partition_keys([key])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The report of the other process."""
    folder = tmp_path_factory.mktemp("skills")
    content = yaml.safe_load((PRESETS / "ci.yaml").read_text())
    content["catalogue"] = str((PRESETS / content["catalogue"]).resolve())
    content["skills"] = {"seeds": list(SEEDS), "pairs": False}
    content["learners"] = {"doremi": {"mixer": {"method": "doremi"}, "reference": NATURAL}}
    content["methods"]["doremi"] = {"method": "learned", "settings": {"weights_from": "doremi"}}
    content["proxy"]["schedule"]["steps"] = 20
    content["proxy"]["evaluation"]["rows_per_domain"] = 8
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, "-c", f"import test_skill_assets as t; t.make({str(folder / 'lake')!r})"],
        env={
            **os.environ,
            "MIXWRIGHT_PRESET": str(folder / "study.yaml"),
            "MIXWRIGHT_HOME": str(folder / "home"),
            "PYTHONPATH": paths,
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_seed_trains_on_each_domain_and_on_the_natural_mixture(told):
    labels = [key.rsplit("-", 1)[0] for key in told["keys"]]
    assert labels == [f"{name}-s{seed}" for seed in SEEDS for name in ("natural", *DOMAINS)]


def test_a_graph_without_its_runs_says_which_are_missing(told):
    assert "materialise skill_runs first" in told["none"]
    assert "the linear graph needs every skill alone; missing: " in told["few"]


def test_domains_with_the_same_tokens_help_each_other(told):
    edges = {(edge["train"], edge["evaluated"]): edge for edge in told["graph"]["edges"]}
    first, second, third, _ = DOMAINS
    for train, evaluated in ((first, second), (second, first), (third, third)):
        assert edges[train, evaluated]["sign"] == "positive"
    assert edges[first, third]["weight"] < 0.5 * edges[first, second]["weight"]
    assert told["graph"]["seeds"] == list(SEEDS)


def test_the_interface_shows_verdict_edges_skills_and_a_drawing(told):
    assert {"verdict", "advice", "density", "edges", "skills", "picture"} <= set(told["metadata"])


def test_doremi_is_three_stages_each_made_from_the_one_before(told):
    reference, weights, training = told["stages"]
    assert not told["early"]  # before its reference
    assert [reference in inputs for inputs in told["inputs"]] == [False, True, False]
    assert [weights in inputs for inputs in told["inputs"]] == [False, False, True]
    assert told["below"] == [training.removeprefix("training_runs[").removesuffix("]")]
    proxy, final = told["results"][1:]
    assert set(proxy["learned_weights"]) == set(DOMAINS)
    assert proxy["learned_weights"] != dict.fromkeys(DOMAINS, 1 / len(DOMAINS))
    assert final["requested_weights"] == pytest.approx(proxy["learned_weights"])
    assert final["weights_from"]["run_id"] == proxy["run_id"]
    assert final["weights_from"]["config_digest"] == proxy["config_digest"]
    assert final["num_parameters"] == proxy["num_parameters"]  # of preset ci


def test_skills_and_learners_are_on_the_graph_only_where_the_preset_studies_them(told):
    assert {"skill_runs", "skill_graph"} | LEARNERS <= set(told["assets"])
    here = {key.to_user_string() for key in defs().resolve_all_asset_keys()}
    assert here == set(told["assets"]) - {"skill_runs", "skill_graph"} - LEARNERS
