"""Skill runs as partitions and the graph they give, in a process of its own with such a preset."""

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
from assets.partitions import DOMAINS
from assets.presets import PRESETS
from orchestration.definitions import defs

TESTS = Path(__file__).parent
SEEDS = (0, 1, 2)


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
                [asset], partition_key=key, resources={"lake": lake}, raise_on_error=False
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
    told["assets"] = sorted(key.to_user_string() for key in defs().resolve_all_asset_keys())
    sys.stdout.write(json.dumps(told) + "\n")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The report of the other process."""
    folder = tmp_path_factory.mktemp("skills")
    content = yaml.safe_load((PRESETS / "ci.yaml").read_text())
    content["catalogue"] = str((PRESETS / content["catalogue"]).resolve())
    content["skills"] = {"seeds": list(SEEDS), "pairs": False}
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


def test_skills_are_on_the_graph_only_where_the_preset_studies_them(told):
    assert {"skill_runs", "skill_graph"} <= set(told["assets"])
    here = {key.to_user_string() for key in defs().resolve_all_asset_keys()}
    assert here == set(told["assets"]) - {"skill_runs", "skill_graph"}
