"""Tags, scores and cut domains on the graph, in a process of its own with such a preset."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml

from assets.lake import Lake
from assets.presets import PRESETS

pytestmark = pytest.mark.timeout(900)  # the first test to run may make the graph
TESTS = Path(__file__).parent
TAGS = {
    "by": {"tagger": "linear", "settings": {"min_confidence": 0.4}},
    "beside": {"tagger": "rules"},
    "corpora": {"small-talk": {"tagger": "metadata", "settings": {"rename": {"dialogue": "talk"}}}},
    "fit_rows": 120,
}
CUT = {"skills": {"programs": ["code"], "prose": ["literature", "talk"]}, "rest": "manuals"}
SCORE = {"reference": ["django-pages"], "fit_rows": 400, "keep_share": 0.8}


class Graph:
    """Materialises on the lake of the preset, a stage at a time."""

    def __init__(self, lake):
        from orchestration.definitions import definitions_on

        self.lake = lake
        self.job = definitions_on(lake).resolve_implicit_global_asset_job_def()
        self.instance = dg.DagsterInstance.ephemeral()

    def make(self, assets, partition=None):
        from orchestration.execution import QUIET, first_error

        result = self.job.execute_in_process(
            run_config=QUIET,
            instance=self.instance,
            partition_key=partition,
            asset_selection=[dg.AssetKey(name) for name in assets],
            raise_on_error=False,
        )
        return None if result.success else first_error(result)

    def make_stages(self, stages):
        """Make what is stale, as the demo does; return what was made."""
        from orchestration.demo import stale_partitions

        made = []
        for stage in stages:
            wanted = {key or None: None for _, key, _ in stale_partitions(self.lake, [stage])}
            for partition in wanted:
                error = self.make(stage.assets, partition)
                assert error is None, error
                made += [f"{name}[{partition}]" for name in stage.assets]
        return made


def documents(lake, asset, partition, file="documents.parquet"):
    return pl.read_parquet(lake.artifact(asset, partition).folder / file)


def plant(lake, corpus, domain):
    """Put a whole held-out text into a cleaned document, behind deduplication's back."""
    heldout = documents(lake, "heldout_sets", domain)
    cleaned = lake.artifact("cleaned_shards", corpus)
    table = documents(lake, "cleaned_shards", corpus)
    victim = table.filter(~pl.col("id").is_in(heldout["id"].implode()))["id"][0]
    text = pl.when(pl.col("id") == victim).then(pl.lit(heldout["text"][0])).otherwise("text")
    table.with_columns(text=text).write_parquet(cleaned.folder / "documents.parquet")
    report = lake.artifact("contaminated_documents", corpus)
    shutil.rmtree(report.folder.parent)
    return victim


def make(root):
    """What the other process executes; then it tells what it found."""
    warnings.simplefilter("ignore")
    from assets.partitions import CATALOGUE, DOMAINS
    from assets.run_configs import proxy_config, token_artifacts
    from orchestration.demo import STAGES, asset_specs
    from orchestration.trace_commands import lake_tables
    from quality.provenance import trace_document
    from training.loop import train

    lake = Lake(root=root)
    graph = Graph(lake)
    names = [stage.assets for stage in STAGES]
    before_swarm = STAGES[: names.index(("swarm",))]
    leaks = names.index(("contaminated_documents",))
    victim = plant(lake, "small-talk", "literature")
    told = {"victim": victim, "corpora": list(CATALOGUE), "domains": list(DOMAINS)}
    told["made"] = graph.make_stages(before_swarm[leaks:])
    told["again"] = graph.make_stages(before_swarm)
    told["report"] = documents(
        lake, "contaminated_documents", "small-talk", "matches.parquet"
    ).rows(named=True)
    told["trained"] = {
        domain: documents(lake, "token_shards", domain, "train/documents.parquet")[
            "document_id"
        ].to_list()
        for domain in DOMAINS
    }
    told["heldout"] = {
        domain: documents(lake, "token_shards", domain, "heldout/documents.parquet")[
            "document_id"
        ].to_list()
        for domain in DOMAINS
    }
    told["chosen"] = {
        domain: documents(lake, "heldout_sets", domain)["id"].to_list()
        for domain in lake.partitions("heldout_sets")
    }
    told["tags"] = {
        corpus: documents(lake, "skill_tags", corpus, "tags.parquet").rows() for corpus in CATALOGUE
    }
    told["scores"] = {
        corpus: documents(lake, "quality_scores", corpus, "scores.parquet").rows()
        for corpus in CATALOGUE
    }
    told["steps"] = [(step.stage, step.fate) for step in trace_document(victim, lake_tables(lake))]
    some = told["trained"]["prose"][0]
    told["some"] = [step.stage for step in trace_document(some, lake_tables(lake))]
    shards = token_artifacts(lake)
    run = proxy_config("tiny", [0.5, 0.25, 0.25], 0, shards)
    result = train(run, Path(root, "tiny"))
    told["shares"] = result.realised_shares
    told["losses"] = {name: held.loss_nats for name, held in result.heldout.items()}
    told["metadata"] = list(
        graph.instance.get_latest_materialization_event(
            dg.AssetKey("skill_tags")
        ).asset_materialization.metadata
    )
    told["assets"] = sorted(asset_specs())
    told["stale"] = stale_after_changes(lake, graph, before_swarm)
    sys.stdout.write(json.dumps(told) + "\n")


def stale_after_changes(lake, graph, stages):
    """What must be made again after a threshold changed, by the threshold."""
    from dataclasses import replace

    from assets import partitions
    from orchestration.demo import stale_partitions

    preset = partitions.PRESET
    talk = preset.tags.counting("small-talk")
    changes = {
        "own tagger of a corpus": replace(
            preset,
            tags=replace(preset.tags, corpora={"small-talk": replace(talk, settings={})}),
        ),
        "share kept": replace(preset, score=replace(preset.score, keep_share=0.7)),
        "least auc": replace(preset, score=replace(preset.score, min_auc=0.7)),
    }
    found = {}
    for name, changed in changes.items():
        partitions.PRESET = changed
        found[name] = sorted({asset for asset, _, _ in stale_partitions(lake, stages)})
        if name == "least auc":
            found["then"] = graph.make_stages(stages)
    partitions.PRESET = preset
    return found


@pytest.fixture(scope="module")
def told(made_graph, tmp_path_factory):
    """The report of the other process, whose lake has what does not depend on labels already."""
    folder = tmp_path_factory.mktemp("labels")
    shutil.copytree(made_graph.home / "ci" / "lake", folder / "lake")
    shutil.rmtree(folder / "lake" / "artifacts" / "token_shards")
    content = yaml.safe_load((PRESETS / "skills.yaml").read_text())
    content["catalogue"] = str((PRESETS / content["catalogue"]).resolve())
    content |= {"tags": TAGS, "domains": CUT, "score": SCORE}
    content["proxy"]["schedule"]["steps"] = 20
    content["proxy"]["evaluation"]["rows_per_domain"] = 8
    (folder / "labels.yaml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [sys.executable, "-c", f"import test_label_assets as t; t.make({str(folder / 'lake')!r})"],
        env={
            **os.environ,
            "MIXWRIGHT_PRESET": str(folder / "labels.yaml"),
            "MIXWRIGHT_HOME": str(folder / "home"),
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_planted_leak_is_reported_and_not_trained_on(told):
    leaking = [row for row in told["report"] if row["id"] == told["victim"]]
    assert [(row["evaluation"], row["overlap"], row["kind"]) for row in leaking] == [
        ("held-out literature", 1.0, "contaminated")
    ]
    trained = {name for names in told["trained"].values() for name in names}
    assert told["victim"] not in trained
    assert ["contaminated_documents[small-talk]", "removed"] in told["steps"]
    assert not any("token_shards" in stage for stage, _ in told["steps"])


def test_a_second_time_nothing_is_made(told):
    assert {"skill_taggers[None]", "quality_model[None]", "shard_profile[None]"} <= set(
        told["made"]
    )
    assert told["again"] == []


def test_each_document_has_a_skill_by_the_tagger_of_its_corpus_and_a_second_opinion(told):
    for corpus, rows in told["tags"].items():
        kinds = ("metadata", "rules") if corpus == "small-talk" else ("linear", "rules")
        names = {kind: [row[0] for row in rows if row[3] == kind] for kind in kinds}
        assert sum(map(len, names.values())) == len(rows)
        assert names[kinds[0]] == names[kinds[1]]
    assert {row[1] for row in told["tags"]["small-talk"] if row[3] == "metadata"} == {"talk"}
    assert {"skills", "tagged_share", "both_taggers", "picture"} <= set(told["metadata"])


def skill_of(told):
    rows = [row for table in told["tags"].values() for row in table if row[3] != "rules"]
    return {name: skill for name, skill, _, _ in rows}


def test_training_domains_are_the_skills(told):
    assert told["domains"] == ["manuals", "programs", "prose"]
    skills = skill_of(told)
    wanted = {"code": "programs", "literature": "prose", "talk": "prose"}
    for split in ("trained", "heldout"):
        for domain, names in told[split].items():
            assert names, (split, domain)
            assert {wanted.get(skills[name], "manuals") for name in names} == {domain}


def test_what_is_held_out_was_chosen_before_the_cut_and_all_of_it_is_measured_with(told):
    chosen = sorted(name for names in told["chosen"].values() for name in names)
    assert sorted(name for names in told["heldout"].values() for name in names) == chosen
    assert not {name for names in told["trained"].values() for name in names} & set(chosen)


def test_the_filter_keeps_the_best_of_each_domain_of_corpora_and_no_held_out_text(told):
    trained = {name for names in told["trained"].values() for name in names}
    assert len(told["corpora"]) == len(told["scores"])
    for rows in told["scores"].values():  # here each corpus is a domain of its own
        scores = sorted((score for _, score, _ in rows), reverse=True)
        least = scores[-(-8 * len(scores) // 10) - 1]
        assert all(score >= least for name, score, _ in rows if name in trained)
        left = {name for name, score, _ in rows if score >= least} - trained
        aside = {name for names in told["chosen"].values() for name in names} | {told["victim"]}
        assert len(left - aside) <= 3, "only copies of others"


def test_a_run_trains_on_skills(told):
    assert told["shares"] == pytest.approx({"manuals": 0.5, "programs": 0.25, "prose": 0.25})
    assert told["losses"].keys() == set(told["domains"])
    assert all(0 < loss < 7 for loss in told["losses"].values())


def test_a_document_can_be_followed_through_its_labels(told):
    assets = [stage.split("[")[0] for stage in told["some"]]
    assert assets == [
        *("raw_corpora", "cleaned_shards", "skill_tags", "skill_tags"),
        *("quality_scores", "token_shards"),
    ]


def test_a_changed_threshold_re_makes_what_follows_it_and_no_more(told):
    assert told["stale"]["own tagger of a corpus"] == ["skill_tags"]
    assert told["stale"]["share kept"] == ["token_shards"]
    assert told["stale"]["least auc"] == ["quality_scores"]
    assert told["stale"]["then"] == [f"quality_scores[{name}]" for name in told["corpora"]]


def test_labels_are_on_the_graph_only_where_the_preset_makes_them(told):
    from orchestration.demo import asset_specs

    labels = {"skill_taggers", "skill_tags", "quality_model", "quality_scores"}
    assert labels <= set(told["assets"])
    assert set(asset_specs()) == set(told["assets"]) - labels
