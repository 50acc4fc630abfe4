"""The lake: what is published stays whole, whatever happens while the next version is written."""

import errno
import json
import os
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets import drafts
from assets import lake as lake_module
from assets.drafts import PREFIX, new_draft
from assets.lake import NUM_VERSIONS_KEPT, ArtifactMissing, Lake, publishing, write_json
from training.shards import write_token_shards

FULL = Path("/dev/full")


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def publish(lake):
    """Publish a version of `rows` whose only file holds a text."""

    def make(text, partition="wiki", **recipe):
        draft = lake.draft_folder("rows", partition)
        (draft / "sub").mkdir()
        (draft / "sub" / "rows.txt").write_text(text)
        return lake.publish(draft, asset="rows", partition=partition, recipe=recipe)

    return make


@pytest.fixture
def write(lake):
    """Run an asset `rows` whose body is a function of the draft folder."""

    def run(body):
        @dg.asset(code_version="3")
        def rows(context: dg.AssetExecutionContext):
            with publishing(context, lake, inputs=[]) as draft:
                body(draft.folder)
            return draft.result({})

        return dg.materialize([rows], raise_on_error=False)

    return run


def text_of(artifact):
    return (artifact.folder / "sub" / "rows.txt").read_text()


def versions(artifact):
    return {path.name for path in artifact.folder.parent.iterdir() if path.is_dir()}


def message(result):
    (event,) = result.get_step_failure_events()
    error = event.step_failure_data.error
    while error.cls_name == "DagsterExecutionStepExecutionError":
        error = error.cause
    return error.message


def test_published_files_and_manifest(lake, publish):
    published = publish("one", made="by hand")
    assert published == lake.artifact("rows", "wiki")
    assert (text_of(published), published.name) == ("one", "rows[wiki]")
    assert published.folder.name == published.data_version
    assert len(published.data_version) == 32
    manifest = json.loads((published.folder.parent / "current.json").read_text())
    assert manifest == published.manifest
    assert manifest["made"] == "by hand"
    sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # sha256sum
    assert manifest["files"] == {"sub/rows.txt": {"bytes": 3, "sha256": sha256}}
    assert lake.partitions("rows") == ["wiki"]


def test_equal_content_is_the_same_version(lake, publish):
    first, second = publish("one"), publish("one", made="again")
    assert second.data_version == first.data_version
    assert versions(second) == {first.data_version}
    assert second.manifest["made"] == "again"
    assert publish("one", partition="forum").data_version == first.data_version
    assert publish("two").data_version != first.data_version


def test_a_file_of_another_name_is_another_version(lake, publish):
    draft = lake.draft_folder("rows", "wiki")
    (draft / "rows.txt").write_text("one")
    moved = lake.publish(draft, asset="rows", partition="wiki", recipe={})
    assert moved.data_version != publish("one").data_version


def test_two_versions_are_kept_and_the_one_in_use_among_them(lake, publish):
    names = [publish(text).data_version for text in ("one", "two", "three")]
    assert versions(lake.artifact("rows", "wiki")) == set(names[-NUM_VERSIONS_KEPT:])
    again = publish("two")  # an old version comes back
    assert text_of(again) == "two"
    assert versions(again) == {names[1], names[2]}
    assert versions(publish("four")) == {names[1], lake.artifact("rows", "wiki").data_version}


def test_versions_of_equal_age_do_not_cost_the_one_in_use(publish, monkeypatch):
    utime = os.utime
    monkeypatch.setattr(os, "utime", lambda path: utime(path, ns=(0, 0)))
    for text in map(str, range(20)):
        assert text_of(publish(text)) == text


def test_a_reader_of_the_previous_version_is_not_cut_off(lake, publish):
    first = publish("one")
    publish("two")
    assert text_of(first) == "one"


def test_making_it_again_mends_changed_files(lake, publish):
    """The digest names what was written, so the same digest must not keep other bytes alive."""
    artifact = publish("one")
    (artifact.folder / "sub" / "rows.txt").write_text("damage")
    assert text_of(publish("one")) == "one"


@pytest.mark.parametrize(
    ("partition", "name"), [(None, "rows"), ("wiki", r"rows\[wiki\]")], ids=["whole", "partition"]
)
def test_what_was_never_made_is_named_with_its_remedy(lake, partition, name):
    assert lake.find("rows", partition) is None
    with pytest.raises(ArtifactMissing, match=f"^{name} was never materialised: materialise it"):
        lake.artifact("rows", partition)


def test_a_version_without_its_folder_is_missing(lake, publish):
    artifact = publish("one")
    artifact.folder.rename(artifact.folder.with_name("elsewhere"))
    assert lake.partitions("rows") == []
    with pytest.raises(ArtifactMissing):
        lake.artifact("rows", "wiki")


def test_a_damaged_pointer_is_named(lake, publish):
    pointer = publish("one").folder.parent / "current.json"
    pointer.write_text("{")
    with pytest.raises(ValueError, match=r"wiki/current\.json: not JSON .* remove it and material"):
        lake.artifact("rows", "wiki")


def test_the_pointer_moves_last_and_at_once(lake, publish, monkeypatch):
    """Until the rename of the pointer, readers find the old version; after it, the new one."""
    first = publish("one")
    seen = []
    replace = os.replace

    def watched(source, target):
        before = lake.artifact("rows", "wiki")
        replace(source, target)
        seen.append((Path(target).name, before, lake.artifact("rows", "wiki")))

    monkeypatch.setattr(os, "replace", watched)
    second = publish("two")
    assert seen == [
        (second.data_version, first, first),
        ("current.json", first, second),
    ]


def test_a_pointer_that_cannot_be_written_changes_nothing(lake, publish, monkeypatch):
    first = publish("one")

    def full(path, text):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            write_json(first.folder.parent / "current.json", {})
    assert lake.artifact("rows", "wiki") == first
    assert {path.name for path in first.folder.parent.iterdir()} == {
        "current.json",
        first.data_version,
    }


def test_the_manifest_of_a_run_names_inputs_code_and_cost(lake, write):
    result = write(lambda folder: (folder / "a").write_text("x"))
    (event,) = result.asset_materializations_for_node("rows")
    artifact = lake.artifact("rows")
    assert event.tags["dagster/data_version"] == artifact.data_version
    assert event.metadata["path"].value == str(artifact.folder)
    assert artifact.manifest["code_version"] == "3"
    assert artifact.manifest["inputs"] == {}
    assert artifact.manifest["run_id"] == result.run_id
    assert artifact.manifest["cost"].keys() == {"wall_seconds", "cpu_seconds"}


def fails_half_way(folder):
    (folder / "a").write_text("half")
    raise ValueError("row 7 of wiki.jsonl: no text")


def fills_the_disk(folder):
    (folder / "a").write_text("half")
    with FULL.open("w") as file:
        file.write("more than fits")


def fills_the_disk_with_tokens(folder):
    (folder / "00000.tok").symlink_to(FULL)
    documents = [("d", 3, np.array([1, 2, 3]))]
    write_token_shards(documents, folder, vocab_size=9, eos_id=0, tokenizer_digest="t")


def fills_the_disk_with_a_table(folder):
    (folder / "documents.parquet").symlink_to(FULL)
    pl.DataFrame({"id": ["a"]}).write_parquet(folder / "documents.parquet")


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (fails_half_way, ["row 7 of wiki.jsonl: no text"]),
        (fills_the_disk, ["no space left while writing rows", "free disk space"]),
        (fills_the_disk_with_tokens, ["no space left while writing rows", "00000.tok"]),
        (fills_the_disk_with_a_table, ["no space left while writing rows", "free disk space"]),
    ],
)
def test_an_error_while_writing_leaves_the_previous_version_in_use(lake, write, body, parts):
    assert write(lambda folder: (folder / "a").write_text("whole")).success
    before = lake.artifact("rows")
    result = write(body)
    assert not result.success
    assert all(part in message(result) for part in parts), message(result)
    assert result.asset_materializations_for_node("rows") == []
    assert lake.artifact("rows") == before
    assert (before.folder / "a").read_text() == "whole"
    left = {path.name for path in before.folder.parent.iterdir()}
    assert left == {"current.json", before.data_version}


def test_drafts_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path, monkeypatch):
    own = new_draft(tmp_path)
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)  # no process has so large a number
    dead = new_draft(tmp_path)
    assert {own, dead} == set(tmp_path.glob(f"{PREFIX}*"))
    monkeypatch.undo()
    newer = new_draft(tmp_path)
    assert {own, newer} == set(tmp_path.glob(f"{PREFIX}*"))


def test_drafts_of_other_hosts_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(drafts.socket, "gethostname", lambda: "other-host")
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)
    other = new_draft(tmp_path)
    monkeypatch.undo()
    new_draft(tmp_path)
    assert other.is_dir()


def test_a_draft_is_no_version(lake):
    lake.draft_folder("rows", "wiki")
    assert lake.partitions("rows") == []
    assert lake.find("rows", "wiki") is None


def test_work_outlives_a_run_and_depends_on_its_key(lake):
    work = lake.work_folder("runs", "a", "key1")
    (work / "state").touch()
    assert (lake.work_folder("runs", "a", "key1") / "state").exists()
    assert not any(lake.work_folder("runs", "a", "key2").iterdir())
    assert lake_module.combined_digest({"a": 1, "b": 2}) == lake_module.combined_digest(
        {"b": 2, "a": 1}
    )
