"""Broken input through the real assets: one clear error, and what was there before stays in use."""

import gzip
import io
import json
import tarfile
import warnings
from dataclasses import replace

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets import checks
from assets.corpora import raw_corpora
from assets.duplicates import cluster_members
from assets.gate_checks import PARTITION_TAG, run_gate
from assets.gates import GATES
from assets.heldout_sets import heldout_sets
from assets.lake import Lake, write_json
from assets.partitions import CATALOGUE, DOMAINS, corpora_of
from assets.preparation import cleaned_shards
from assets.proxies import proxy_runs, swarm
from assets.tokens import token_shards
from quality.dedup.clusters import MEMBERS
from quality.dedup.exact import text_hash
from quality.dedup.members import write_members
from quality.gates import Criterion
from training.shard_writer import write_token_shards

ASSETS = [
    raw_corpora,
    cleaned_shards,
    cluster_members,
    heldout_sets,
    token_shards,
    swarm,
    proxy_runs,
]
CHECKS = [checks.token_tables]
CORPUS = "small-talk"
DOMAIN = "code"


@pytest.fixture(autouse=True)
def _dagster_is_quiet():
    for kind in (dg.PreviewWarning, dg.BetaWarning):
        warnings.filterwarnings("ignore", category=kind)


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def launch(lake):
    """Materialise one asset partition as a person does, or run its check alone."""
    with dg.DagsterInstance.ephemeral() as instance:

        def run(asset, partition=None, *, judged=False):
            selection = dg.AssetSelection.assets(asset)
            return dg.materialize(
                [*ASSETS, *CHECKS],
                selection=selection if judged else selection.without_checks(),
                partition_key=partition,
                instance=instance,
                resources={"lake": lake},
                raise_on_error=False,
            )

        def check(partition):
            return dg.materialize(
                [*ASSETS, *CHECKS],
                selection=dg.AssetSelection.checks(*CHECKS),
                instance=instance,
                resources={"lake": lake},
                tags={PARTITION_TAG: partition},
                raise_on_error=False,
            )

        run.check = check
        run.instance = instance
        yield run


def refusal(result):
    """Message of the only failure of a run: of its innermost cause."""
    assert not result.success
    (event,) = result.get_step_failure_events()
    failed = event.step_failure_data
    if failed.user_failure_data is not None:
        return failed.user_failure_data.description
    error = failed.error
    while error.cause is not None and error.cls_name == "DagsterExecutionStepExecutionError":
        error = error.cause
    return error.message


def use(monkeypatch, **changes):
    """Change the catalogue's entry."""
    monkeypatch.setitem(CATALOGUE, CORPUS, replace(CATALOGUE[CORPUS], **changes))


def parquet(path, frame):
    frame.write_parquet(path)
    return {"reader": "parquet", "source": {"path": str(path)}, "id_column": None}


def missing_file(folder):
    return {"source": {"path": str(folder / "gone.jsonl.gz")}}, ["gone.jsonl.gz"]


def truncated_lines(folder):
    whole = gzip.compress(json.dumps({"conversation": "a", "text": "hello " * 99}).encode())
    (folder / "cut.jsonl.gz").write_bytes(whole[:-20])
    return (
        {"source": {"path": str(folder / "cut.jsonl.gz")}},
        ["cut.jsonl.gz cannot be read to its end", "fetch it again"],
    )


def truncated_table(folder):
    changes = parquet(folder / "cut.parquet", pl.DataFrame({"text": ["hello"] * 9}))
    content = (folder / "cut.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(content[: len(content) // 2])
    return changes, ["cut.parquet is no complete Parquet file", "fetch it again"]


def missing_column(folder):
    changes = parquet(folder / "columns.parquet", pl.DataFrame({"body": ["hello"]}))
    return changes, ["field 'text_column'", "columns.parquet has no column 'text'", "['body']"]


def missing_id_column(_):
    return {"id_column": "key"}, ["field 'id_column'", "a column 'key'", "name one of them"]


def empty_table(folder):
    empty = pl.DataFrame(schema={"text": pl.String})
    changes = parquet(folder / "empty.parquet", empty)
    return changes, ["no readable document in", "empty.parquet", "check 'source'"]


def empty_folder(folder):
    (folder / "nothing").mkdir()
    changes = {"reader": "text_folder", "source": {"path": str(folder / "nothing")}}
    return {**changes, "id_column": None}, ["nothing"]


def only_blank_texts(folder):
    changes = parquet(folder / "blank.parquet", pl.DataFrame({"text": ["", "  "]}))
    return changes, ["no readable document", "{'empty': 2}"]


def wrong_checksum(folder):
    with tarfile.open(folder / "tiny-1.0.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("tiny-1.0/a.txt")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    source = {"distribution": "tiny", "version": "1.0", "filename": "tiny-1.0.tar.gz"}
    changes = {"reader": "package_index", "source": source | {"sha256": "0" * 64}}
    return (
        {**changes, "select": ("*.txt",), "id_column": None},
        ["tiny-1.0.tar.gz", "wrong checksum, expected sha256 000", "correct 'source.sha256'"],
    )


@pytest.mark.parametrize(
    "breakage",
    [
        missing_file,
        truncated_lines,
        truncated_table,
        missing_column,
        missing_id_column,
        empty_table,
        empty_folder,
        only_blank_texts,
        wrong_checksum,
    ],
)
def test_a_broken_source_is_one_error_and_the_last_good_corpus_stays(
    launch, lake, monkeypatch, tmp_path, breakage
):
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert launch(raw_corpora, CORPUS).success
    good = lake.artifact("raw_corpora", CORPUS)
    changes, parts = breakage(tmp_path)
    use(monkeypatch, **changes)
    result = launch(raw_corpora, CORPUS)
    message = refusal(result)
    assert all(part in message for part in parts), message
    assert result.asset_materializations_for_node("raw_corpora") == []
    still_readable(lake, good)


def still_readable(lake, good):
    assert lake.artifact(good.asset, good.partition) == good
    assert pl.read_parquet(good.folder / "documents.parquet").height > 0
    assert {path.name for path in good.folder.parent.iterdir()} == {
        "current.json",
        good.data_version,
    }


def publish(lake, asset, partition, *, judged_by=(), inputs=(), **files):
    """Publish frames, each as one Parquet file; store passed verdicts of some gates."""
    draft = lake.draft_folder(asset, partition)
    for name, frame in files.items():
        frame.write_parquet(draft / f"{name}.parquet")
    names = {one.name: one.data_version for one in inputs}
    artifact = lake.publish(draft, asset=asset, partition=partition, recipe={"inputs": names})
    for gate in judged_by:
        pass_gate(lake, artifact, gate)
    return artifact


def pass_gate(lake, artifact, gate):
    passed = (Criterion(name="toy", passed=True, observed=1, limit="1"),)
    run_gate(lake, artifact, gate, lambda _: passed)


def cleaned_frame(texts):
    """A cleaned table as far as held-out sets and tokens read it."""
    return pl.DataFrame(
        {
            "id": [f"d{number}" for number in range(len(texts))],
            "text": texts,
            "text_hash": [text_hash(text) for text in texts],
            "metadata": [None] * len(texts),
        },
        schema_overrides={"metadata": pl.String},
    )


def publish_cleaned(lake, texts):
    (corpus,) = corpora_of(DOMAIN)
    frame, gates = cleaned_frame(texts), GATES["cleaned_shards"]
    cleaned = publish(lake, "cleaned_shards", corpus, judged_by=gates, documents=frame)
    draft = lake.draft_folder("cluster_members", corpus)
    write_members(
        pl.DataFrame(schema=MEMBERS),
        corpus,
        draft,
        cleaned_version=cleaned.data_version,
        num_documents=len(texts),
    )
    lake.publish(draft, asset="cluster_members", partition=corpus, recipe={"inputs": {}})
    return cleaned


def test_a_cleaned_table_that_was_cut_is_named(launch, lake):
    cleaned = publish_cleaned(lake, ["some words"] * 9 + ["other words"])
    assert launch(heldout_sets, DOMAIN).success
    good = lake.artifact("heldout_sets", DOMAIN)
    file = cleaned.folder / "documents.parquet"
    file.write_bytes(file.read_bytes()[:100])
    message = refusal(launch(heldout_sets, DOMAIN))
    assert f"{file}: not a complete Parquet file" in message
    assert "materialise it again" in message
    still_readable(lake, good)


def test_a_domain_of_one_document_cannot_be_split(launch, lake):
    publish_cleaned(lake, ["all there is"])
    message = refusal(launch(heldout_sets, DOMAIN))
    assert "the domain has 1 documents" in message
    assert "add documents to the domain" in message


def test_copies_found_in_another_version_are_refused(launch, lake):
    publish_cleaned(lake, ["some words"] * 9 + ["other words"])
    members = lake.find("cluster_members", *corpora_of(DOMAIN))
    cleaned = publish_cleaned(lake, ["some words"] * 8 + ["other words"] * 2)
    write_json(
        lake.find("cluster_members", cleaned.partition).folder.parent / "current.json",
        members.manifest,
    )
    message = refusal(launch(heldout_sets, DOMAIN))
    assert f"is now {cleaned.data_version}" in message
    assert f"materialise fingerprints[{cleaned.partition}], duplicate_clusters" in message


@pytest.fixture
def tokens(lake):
    """Publish the token shards of a domain: cyclic documents of 41 tokens with the end token."""

    def write(domain, num_documents=60):
        draft = lake.draft_folder("token_shards", domain)
        for split in ("train", "heldout"):
            (draft / split).mkdir()
            write_token_shards(
                (
                    (f"{domain}/{split}/{number}", 120, 1 + (number + np.arange(40)) % 12)
                    for number in range(num_documents)
                ),
                draft / split,
                vocab_size=13,
                eos_id=0,
                tokenizer_digest="toy",
            )
        return lake.publish(draft, asset="token_shards", partition=domain, recipe={"inputs": {}})

    return write


@pytest.fixture
def mixture(lake, tokens):
    """Shards of all domains with passed gates, and the profile above them."""
    shards = {domain: tokens(domain) for domain in DOMAINS}
    for artifact in shards.values():
        pass_gate(lake, artifact, "token_tables")
    frame = pl.DataFrame({"domain": DOMAINS})
    inputs = shards.values()
    publish(lake, "shard_profile", None, judged_by=["whole_corpus"], inputs=inputs, profile=frame)
    return shards


def test_a_domain_shorter_than_one_sequence_fails_its_gate_and_is_refused(
    launch, lake, tokens, mixture
):
    short = tokens(DOMAIN, num_documents=1)
    (evaluation,) = launch.check(DOMAIN).get_asset_check_evaluations()
    assert not evaluation.passed
    assert "train_rows: observed 1, allowed >= 64" in evaluation.description
    message = refusal(launch(swarm))
    assert f"token_shards[{DOMAIN}], version {short.data_version}, gate token_tables" in message
    assert "train_rows: observed 1, allowed >= 64" in message
    assert lake.find("swarm") is None
    assert (mixture[DOMAIN].folder / "train" / "00000.tok").exists()  # the version before


def damage(artifact):
    path = artifact.folder / "train" / "00000.tok"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def test_a_corrupted_shard_fails_its_gate_and_stops_swarm_and_proxies_until_made_again(
    launch, lake, tokens, mixture
):
    assert launch(swarm).success
    design = lake.artifact("swarm")
    (first, *_) = launch.instance.get_dynamic_partitions("proxy_run")
    damage(mixture[DOMAIN])
    (evaluation,) = launch.check(DOMAIN).get_asset_check_evaluations()
    assert not evaluation.passed
    assert "train_damaged_files" in evaluation.description
    for result, consumer in ((launch(swarm), "swarm"), (launch(proxy_runs, first), "proxy_runs")):
        message = refusal(result)
        assert message.startswith(f"{consumer} refuses to consume:")
        assert f"token_shards[{DOMAIN}]" in message
        assert "gate token_tables" in message
        assert "00000.tok: sha256 differs from the manifest" in message
        assert f"run the check (token_tables on token_shards[{DOMAIN}])" in message
    assert lake.artifact("swarm") == design
    assert lake.find("proxy_runs", first) is None
    again = tokens(DOMAIN)
    assert again.data_version == mixture[DOMAIN].data_version
    (evaluation,) = launch.check(DOMAIN).get_asset_check_evaluations()
    assert evaluation.passed, evaluation.description
    assert launch(swarm).success
