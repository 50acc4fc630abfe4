"""The code location: what it contains, and that it loads from anywhere and quickly."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import pytest

from assets.gates import GATES
from assets.partitions import (
    CATALOGUE,
    DOMAINS,
    corpus_partitions,
    domain_partitions,
    proxy_run_partitions,
    training_run_partitions,
)
from orchestration.definitions import defs

ROOT = Path(__file__).parents[1]
PARTITIONS = {
    corpus_partitions: "corpus",
    domain_partitions: "domain",
    proxy_run_partitions: "proxy run",
    training_run_partitions: "training run",
    None: "",
}
GRAPH = {
    "raw_corpora": ("corpora", "corpus"),
    "corpus_profiles": ("corpora", "corpus"),
    "cleaned_shards": ("preparation", "corpus"),
    "fingerprints": ("preparation", "corpus"),
    "duplicate_clusters": ("preparation", ""),
    "cluster_members": ("preparation", "corpus"),
    "heldout_sets": ("preparation", "domain"),
    "contaminated_documents": ("preparation", "corpus"),
    "tokenizer": ("skills", ""),
    "token_shards": ("skills", "domain"),
    "shard_profile": ("skills", ""),
    "swarm": ("mixture", ""),
    "proxy_runs": ("mixture", "proxy run"),
    "mixing_law": ("mixture", ""),
    "training_plan": ("mixture", ""),
    "training_runs": ("training", "training run"),
    "evaluations": ("evaluation", "training run"),
    "predicted_vs_actual": ("evaluation", ""),
    "cost_report": ("evaluation", ""),
}
"""Asset -> group and partitions. A changed graph is a changed line here."""
ONLY_WARN = {"mixture_guards"}
"""Gates whose checks are not blocking: automation would wait for a check that warned."""
DEPENDENCIES = {
    "raw_corpora": "",
    "corpus_profiles": "raw_corpora",
    "cleaned_shards": "raw_corpora",
    "fingerprints": "cleaned_shards",
    "duplicate_clusters": "fingerprints",
    "cluster_members": "duplicate_clusters",
    "heldout_sets": "cleaned_shards cluster_members",
    "contaminated_documents": "cleaned_shards cluster_members heldout_sets",
    "tokenizer": "cleaned_shards cluster_members contaminated_documents heldout_sets",
    "token_shards": "cleaned_shards cluster_members contaminated_documents heldout_sets tokenizer",
    "shard_profile": "cleaned_shards cluster_members heldout_sets token_shards",
    "swarm": "shard_profile token_shards",
    "proxy_runs": "swarm token_shards",
    "mixing_law": "proxy_runs swarm",
    "training_plan": "mixing_law",
    "training_runs": "token_shards training_plan",
    "evaluations": "training_runs",
    "predicted_vs_actual": "evaluations mixing_law",
    "cost_report": "evaluations",
}
WARNINGS = {("swarm", "epochs_agree")}
"""Checks that block nothing."""
HEAVY = ("torch", "transformers", "great_expectations", "datasets", "matplotlib", "pandas")


@pytest.fixture(scope="module")
def location():
    with warnings.catch_warnings():
        for kind in (dg.PreviewWarning, dg.BetaWarning):
            warnings.filterwarnings("ignore", category=kind)
        yield defs()


@pytest.fixture(scope="module")
def specs(location):
    return {spec.key.to_user_string(): spec for spec in location.resolve_all_asset_specs()}


@pytest.fixture(scope="module")
def checks(location):
    graph = location.resolve_asset_graph()
    return {
        (key.asset_key.to_user_string(), key.name): graph.get_check_spec(key)
        for key in graph.asset_check_keys
    }


def test_definitions_load(location):
    dg.Definitions.validate_loadable(location)


def test_the_graph(specs):
    found = {
        name: (spec.group_name, PARTITIONS[spec.partitions_def]) for name, spec in specs.items()
    }
    assert found == GRAPH


def test_the_edges(specs):
    assert {
        name: " ".join(sorted(dep.asset_key.to_user_string() for dep in spec.deps))
        for name, spec in specs.items()
    } == DEPENDENCIES


@pytest.mark.parametrize("name", GRAPH)
def test_each_asset_says_what_it_is_whose_and_of_which_version(specs, name):
    spec = specs[name]
    assert spec.description
    assert spec.description.endswith(".")
    assert spec.kinds
    assert spec.owners == ["team:mixwright"]
    assert spec.code_version


def test_partitions_come_from_the_catalogue():
    assert corpus_partitions.get_partition_keys() == list(CATALOGUE)
    assert domain_partitions.get_partition_keys() == list(DOMAINS)
    assert {corpus.domain for corpus in CATALOGUE.values()} == set(DOMAINS)


def test_every_gate_has_a_check_with_the_partitions_of_its_asset(checks, specs):
    loaded = {asset: gates for asset, gates in GATES.items() if asset in specs}
    assert GATES.keys() - loaded.keys() == {"skill_tags", "quality_scores"}, "not of this preset"
    gates = {(asset, gate) for asset, gates in loaded.items() for gate in gates}
    assert checks.keys() == gates | WARNINGS
    assert not any(checks[key].blocking for key in WARNINGS)
    for asset, gate in gates:
        spec = checks[asset, gate]
        assert spec.blocking == (gate not in ONLY_WARN), gate
        assert spec.description, gate
        assert spec.partitions_def == specs[asset].partitions_def, gate


def test_schedules_and_sensors_are_off_until_somebody_starts_them(location):
    names = {
        **{one.name: one.default_status.value for one in location.schedules or ()},
        **{one.name: one.default_status.value for one in location.sensors or ()},
    }
    assert names == {"nightly_refresh": "STOPPED", "refresh_downstream": "STOPPED"}


def run_python(*arguments, cwd, **environment):
    """Run Python elsewhere, with the repository on no path."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_workspace_validates_from_another_directory(tmp_path):
    """A foreign package of the same name there does not get in the way."""
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").write_text("raise RuntimeError('the foreign one')")
    (tmp_path / "home").mkdir()
    done = run_python(
        *("-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")),
        cwd=tmp_path,
        DAGSTER_HOME=str(tmp_path / "home"),
        DAGSTER_DISABLE_TELEMETRY="1",
    )
    assert done.returncode == 0, done.stderr
    assert "Validation successful" in done.stderr + done.stdout


def test_loading_imports_nothing_heavy(tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import json\n"
        "from orchestration.definitions import defs\n"
        "defs().resolve_implicit_global_asset_job_def()\n"
        "print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]))\n"
    )
    done = run_python("-c", program, *HEAVY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
