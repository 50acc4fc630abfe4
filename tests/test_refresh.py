"""Automation on the real graph: what changed content asks for, and what it leaves alone."""

import gzip
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.partitions import CATALOGUE
from orchestration import deployments
from orchestration.demo import asset_specs
from orchestration.execution import QUIET, definitions
from orchestration.refresh import nightly_refresh, refresh_downstream

pytestmark = pytest.mark.timeout(900)  # the first test to run makes the graph
FIXTURES = Path(__file__).parents[1] / "examples" / "fixtures"
BOOK = "macbeth-and-sonnets"
"""The corpus that changes; its domain is literature."""
STANZA = "When forty winters shall besiege thy brow,\nAnd dig deep trenches in thy field,\n" * 9


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the fixture corpora that the catalogue points to; returns their folder."""
    folder = shutil.copytree(FIXTURES, tmp_path / "sources")
    for name, corpus in list(CATALOGUE.items()):
        monkeypatch.setitem(CATALOGUE, name, replace(corpus, folder=folder))
    return folder


class Daemon:
    """What Dagster's daemon does, tick by tick, in this process."""

    def __init__(self, instance):
        self.instance = instance
        self.cursor = None

    def tick(self):
        """Evaluate all conditions once; asset -> partitions that are requested."""
        result = dg.evaluate_automation_conditions(
            definitions(),
            self.instance,
            asset_selection=refresh_downstream.asset_selection,
            cursor=self.cursor,
        )
        self.cursor = result.cursor
        requested = {
            name: result.get_requested_partitions(dg.AssetKey(name)) for name in asset_specs()
        }
        return {name: partitions for name, partitions in requested.items() if partitions}

    def execute(self, requested):
        """Launch what was requested: one run per partition, as the daemon groups it."""
        job = definitions().resolve_implicit_global_asset_job_def()
        for partition in sorted(set().union(*requested.values()), key=str):
            assets = [name for name, partitions in requested.items() if partition in partitions]
            job.execute_in_process(
                run_config=QUIET,
                instance=self.instance,
                partition_key=partition,
                asset_selection=[dg.AssetKey(name) for name in assets],
                raise_on_error=False,
            )

    def execute_copies(self):
        """Let the copies be found, and tell each corpus of its own."""
        clusters = self.tick()
        assert clusters == {"duplicate_clusters": {None}}
        self.execute(clusters)
        members = self.tick()
        assert members == {"cluster_members": set(CATALOGUE)}
        self.execute(members)

    def execute_heldout(self, domain="literature"):
        """Choose what is held out of the changed domain, then look for it everywhere."""
        heldout = self.tick()
        assert heldout == {"heldout_sets": {domain}}
        self.execute(heldout)
        leaks = self.tick()
        assert leaks == {"contaminated_documents": set(CATALOGUE)}
        self.execute(leaks)

    def refresh(self, corpus):
        """Read one source again, as the schedule does."""
        job = definitions().resolve_job_def("refresh_sources")
        result = job.execute_in_process(
            run_config=QUIET, instance=self.instance, partition_key=corpus, raise_on_error=False
        )
        return result.success


@pytest.fixture
def daemon(made_home, sources):
    """A daemon on a copy of the made graph that has looked at it once."""
    with deployments.instance() as instance:
        daemon = Daemon(instance)
        assert daemon.tick() == {}
        yield daemon


@pytest.fixture
def empty_daemon(tmp_path, monkeypatch, sources):
    """A daemon on a home where nothing was ever made; it has not looked yet."""
    monkeypatch.setenv("MIXWRIGHT_HOME", str(tmp_path / "empty"))
    with deployments.instance() as instance:
        yield Daemon(instance)


def versions():
    """Current version of everything, by its place in the lake."""
    root = Path(deployments.lake().root, "artifacts")
    found = {}
    for pointer in root.glob("*/*/current.json"):
        artifact = deployments.lake().find(
            pointer.parts[-3], None if pointer.parts[-2] == "_" else pointer.parts[-2]
        )
        found[artifact.name] = artifact.data_version
    return found


def add_scene(sources):
    """One more scene, in words that no other has."""
    folder = sources / "literature" / "macbeth"
    text = (folder / "scene_02.txt").read_text()
    (folder / "scene_99.txt").write_text(text.replace("the", "ye"))


def break_book(sources):
    """Damage more of the corpus than its gate allows."""
    for path in sorted((sources / "literature" / "macbeth").iterdir())[:10]:
        path.write_bytes(b"\xff\xfe\xfa" * 100)


def shorten(path):
    """Leave out the last conversation of a compressed JSONL file."""
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[:-1])))


def test_a_refresh_of_unchanged_sources_asks_for_nothing(daemon):
    before = versions()
    for corpus in CATALOGUE:
        assert daemon.refresh(corpus)
    assert daemon.tick() == {}
    assert versions() == before


def test_a_changed_corpus_asks_for_its_own_slice_link_by_link(daemon, sources):
    before = versions()
    add_scene(sources)
    for corpus in CATALOGUE:
        assert daemon.refresh(corpus)

    first = daemon.tick()
    assert first == {"corpus_profiles": {BOOK}, "cleaned_shards": {BOOK}}
    assert daemon.tick() == {}, "what was requested is not requested again"
    daemon.execute(first)
    second = daemon.tick()
    assert second == {"fingerprints": {BOOK}}
    daemon.execute(second)
    daemon.execute_copies()
    daemon.execute_heldout()
    last = daemon.tick()
    assert last == {"token_shards": {"literature"}}
    daemon.execute(last)
    profile = daemon.tick()
    assert profile == {"shard_profile": {None}}
    daemon.execute(profile)
    assert daemon.tick() == {}, "tokenizer, swarm and trainings are a person's decision"

    after = versions()
    changed = {name for name in after if after[name] != before.get(name)}
    of_book = ("raw_corpora", *first, "fingerprints", "cluster_members", "contaminated_documents")
    slice_of_book = {f"{name}[{BOOK}]" for name in of_book} | {"duplicate_clusters"}
    assert changed <= slice_of_book | {"heldout_sets[literature]"} | {
        "token_shards[literature]",
        "shard_profile",
    }
    assert changed >= slice_of_book | {"token_shards[literature]", "shard_profile"}


def test_a_change_that_cleaning_drops_ends_there(daemon, sources):
    (sources / "literature" / "sonnets" / "noise.txt").write_text("la la la\n" * 200)
    assert daemon.refresh(BOOK)
    daemon.execute(daemon.tick())
    daemon.execute(daemon.tick())
    daemon.execute_copies()
    daemon.execute_heldout()
    last = daemon.tick()
    assert last == {"token_shards": {"literature"}}
    daemon.execute(last)
    assert daemon.tick() == {}


def test_a_failed_gate_holds_back_its_own_partition_only(daemon, sources):
    break_book(sources)
    shorten(sources / "dialogue.jsonl.gz")
    assert not daemon.refresh(BOOK)
    assert daemon.refresh("small-talk")

    requested = daemon.tick()
    assert requested == {
        "corpus_profiles": {BOOK, "small-talk"},  # also of a corpus that failed: to see why
        "cleaned_shards": {"small-talk"},
    }
    daemon.execute(requested)
    assert daemon.tick() == {"fingerprints": {"small-talk"}}
    daemon.execute({"fingerprints": {"small-talk"}})
    daemon.execute_copies()
    daemon.execute_heldout("dialogue")
    assert daemon.tick() == {"token_shards": {"dialogue"}}


def test_a_mended_corpus_goes_on(daemon, sources):
    break_book(sources)
    assert not daemon.refresh(BOOK)
    held = daemon.tick()
    assert "cleaned_shards" not in held
    shutil.copytree(FIXTURES, sources, dirs_exist_ok=True)
    add_scene(sources)
    assert daemon.refresh(BOOK)
    assert daemon.tick()["cleaned_shards"] == {BOOK}


def test_in_an_empty_lake_nothing_is_asked_for(empty_daemon):
    assert empty_daemon.tick() == {}
    assert empty_daemon.tick() == {}


def test_what_was_begun_before_the_first_look_is_completed(empty_daemon):
    assert empty_daemon.refresh(BOOK)
    first = empty_daemon.tick()
    assert first == {"corpus_profiles": {BOOK}, "cleaned_shards": {BOOK}}
    empty_daemon.execute(first)
    second = empty_daemon.tick()
    assert second == {"fingerprints": {BOOK}}
    empty_daemon.execute(second)
    assert empty_daemon.tick() == {}, "copies are sought when all corpora are there"


def test_a_new_corpus_is_followed_after_the_first_look(empty_daemon):
    assert empty_daemon.tick() == {}
    assert empty_daemon.refresh(BOOK)
    assert empty_daemon.tick() == {"corpus_profiles": {BOOK}, "cleaned_shards": {BOOK}}


def test_what_failed_is_not_asked_for_again_and_again(empty_daemon, monkeypatch):
    assert empty_daemon.refresh(BOOK)
    requested = empty_daemon.tick()
    assert set(requested) == {"corpus_profiles", "cleaned_shards"}
    monkeypatch.setattr("assets.preparation.clean_corpus", lambda *_: 1 / 0)
    monkeypatch.setattr("assets.corpora.profile_corpus", lambda *_: 1 / 0)
    empty_daemon.execute(requested)
    assert deployments.lake().find("cleaned_shards", BOOK) is None
    assert empty_daemon.tick() == {}
    assert empty_daemon.tick() == {}


def test_only_cheap_assets_are_automated():
    automated = {
        spec.key.to_user_string()
        for spec in definitions().resolve_all_asset_specs()
        if spec.automation_condition is not None
    }
    assert automated.isdisjoint(
        {"raw_corpora", "tokenizer", "swarm", "proxy_runs", "mixing_law", "training_plan"}
    )
    assert "training_runs" not in automated


def test_every_night_each_corpus_is_read_in_a_run_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXWRIGHT_HOME", str(tmp_path))
    night = datetime(2026, 3, 4, 3, tzinfo=UTC)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_schedule_context(
            instance, night, repository_def=definitions().get_repository_def()
        ) as context,
    ):
        requests = nightly_refresh.evaluate_tick(context).run_requests
    assert [request.partition_key for request in requests] == list(CATALOGUE)
    assert len({request.run_key for request in requests}) == len(CATALOGUE)
    assert all(request.run_key.startswith("2026-03-04T03:00") for request in requests)
