"""Why an artifact is made again: each reason alone, on artifacts published by hand."""

from dataclasses import replace

import dagster as dg
import pytest

from assets.freshness import REFRESH_TAG, stale_reason
from assets.lake import Lake
from assets.partitions import CATALOGUE, DOMAINS, settings_of
from quality.cleaning_profiles import CLEANING_PROFILES

DOMAIN = DOMAINS[0]
CLEANED = dg.AssetSpec("cleaned_shards", code_version="3")
HELDOUT = dg.AssetSpec("heldout_sets", deps=[CLEANED], code_version="1")
PINNED = dg.AssetSpec("tokenizer", deps=[CLEANED], code_version="1", tags={REFRESH_TAG: "pinned"})
WHOLE = dg.AssetSpec(
    "shard_profile",
    deps=[dg.AssetDep("token_shards", partition_mapping=dg.AllPartitionMapping())],
    code_version="1",
)


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path))


@pytest.fixture
def publish(lake):
    """Publish a version made by a specification from some inputs."""

    def run(spec, partition=None, text="text", inputs=(), **recipe):
        asset = spec.key.to_user_string()
        draft = lake.draft_folder(asset, partition)
        (draft / "a.txt").write_text(text)
        made_from = {one.name: one.data_version for one in inputs}
        defaults = {"code_version": spec.code_version, "settings": settings_of(asset, partition)}
        recipe = {**defaults, "inputs": made_from, **recipe}
        return lake.publish(draft, asset=asset, partition=partition, recipe=recipe)

    return run


def test_never_made(lake):
    assert stale_reason(lake, HELDOUT, DOMAIN) == "never made"


def test_fresh_when_made_by_this_code_from_these_inputs(lake, publish):
    cleaned = publish(CLEANED, "small-talk")
    publish(HELDOUT, DOMAIN, inputs=[cleaned])
    assert stale_reason(lake, CLEANED, "small-talk") is None
    assert stale_reason(lake, HELDOUT, DOMAIN) is None


def test_code_changed(lake, publish):
    publish(HELDOUT, DOMAIN, code_version="0")
    assert stale_reason(lake, HELDOUT, DOMAIN) == "code or preset changed"


def test_settings_changed(lake, publish, monkeypatch):
    publish(CLEANED, "small-talk")
    other = replace(CATALOGUE["small-talk"], cleaning="prose")
    monkeypatch.setitem(CATALOGUE, "small-talk", other)
    assert stale_reason(lake, CLEANED, "small-talk") == "settings or source changed"


@pytest.mark.parametrize(
    "changes",
    [
        {"filters": {"length": {"min_words": 11}}},
        {"filters": {}},
        {"redact": ()},
        {"deduplicate": False},
    ],
)
def test_a_changed_threshold_concerns_the_corpora_of_its_profile(
    lake, publish, monkeypatch, changes
):
    for corpus in CATALOGUE:
        publish(CLEANED, corpus)
    profile = CATALOGUE["small-talk"].cleaning
    monkeypatch.setitem(CLEANING_PROFILES, profile, replace(CLEANING_PROFILES[profile], **changes))
    reasons = {corpus: stale_reason(lake, CLEANED, corpus) for corpus in CATALOGUE}
    assert reasons == {
        name: "settings or source changed" if corpus.cleaning == profile else None
        for name, corpus in CATALOGUE.items()
    }
    assert None in reasons.values()


def test_a_file_of_a_local_source_changed(lake, publish, monkeypatch, tmp_path):
    raw = dg.AssetSpec("raw_corpora", code_version="1")
    folder = tmp_path / "elsewhere"
    (folder / "literature" / "sonnets").mkdir(parents=True)
    monkeypatch.setitem(
        CATALOGUE,
        "macbeth-and-sonnets",
        replace(CATALOGUE["macbeth-and-sonnets"], folder=folder),
    )
    publish(raw, "macbeth-and-sonnets")
    monkeypatch.chdir(tmp_path)  # relative to the catalogue, not to where one happens to be
    assert stale_reason(lake, raw, "macbeth-and-sonnets") is None
    (folder / "literature" / "sonnets" / "new.txt").write_text("Shall I compare thee")
    assert stale_reason(lake, raw, "macbeth-and-sonnets") == "settings or source changed"


def test_input_changed_and_changed_back(lake, publish):
    cleaned = publish(CLEANED, "small-talk", text="old")
    publish(HELDOUT, DOMAIN, inputs=[cleaned])
    publish(CLEANED, "small-talk", text="new")
    assert stale_reason(lake, HELDOUT, DOMAIN) == "cleaned_shards[small-talk] changed"
    publish(CLEANED, "small-talk", text="old")
    assert stale_reason(lake, HELDOUT, DOMAIN) is None


def test_an_identical_rebuild_of_an_input_changes_nothing(lake, publish):
    publish(HELDOUT, DOMAIN, inputs=[publish(CLEANED, "small-talk")])
    publish(CLEANED, "small-talk", run_id="another")
    assert stale_reason(lake, HELDOUT, DOMAIN) is None


def test_a_pinned_asset_follows_its_code_but_not_its_inputs(lake, publish):
    cleaned = publish(CLEANED, "small-talk", text="old")
    publish(PINNED, inputs=[cleaned])
    publish(CLEANED, "small-talk", text="new")
    assert stale_reason(lake, PINNED, None) is None
    other = PINNED.replace_attributes(code_version="2")
    assert stale_reason(lake, other, None) == "code or preset changed"


def test_a_new_partition_of_an_input_that_is_read_whole(lake, publish):
    shards = dg.AssetSpec("token_shards", code_version="1")
    publish(WHOLE, inputs=[publish(shards, DOMAINS[0])])
    assert stale_reason(lake, WHOLE, None) is None
    publish(shards, DOMAINS[1])
    assert stale_reason(lake, WHOLE, None) == f"token_shards[{DOMAINS[1]}] is new"


def test_a_partition_that_this_preset_does_not_have_is_not_new(lake, publish):
    shards = dg.AssetSpec("token_shards", code_version="1")
    publish(WHOLE, inputs=[publish(shards, domain) for domain in DOMAINS])
    publish(shards, "domain-of-another-preset")
    assert stale_reason(lake, WHOLE, None) is None
