import json

import polars as pl
import pytest

from quality.dedup.clusters import MEMBERS
from quality.dedup.corpus_fingerprints import fingerprint_corpus
from quality.dedup.exact import text_hash
from quality.dedup.fingerprints import read_fingerprints
from quality.dedup.members import read_members, write_members
from quality.dedup.minhash import MinHashConfig
from quality.document_batches import BadDocuments
from quality.heldout import DomainTooSmall, HeldoutConfig, choose_heldout
from quality.training_text import iterate_training_documents

ROWS = [
    ("a", "1", "a/1", "kept", "a", "1", None),
    ("a", "2", "a/1", "exact", "a", "1", 1.0),
    ("b", "7", "a/1", "kept", "b", "7", None),
    ("b", "8", "b/8", "kept", "b", "8", None),
    ("b", "9", "b/8", "near", "b", "8", 0.8),
]
CLUSTERS = pl.DataFrame(ROWS, schema=MEMBERS, orient="row")


def members_of(corpus, folder, clusters=CLUSTERS):
    folder.mkdir(parents=True)
    write_members(clusters, corpus, folder, cleaned_version="v", num_documents=10)
    return folder


def test_each_corpus_gets_its_part_and_knows_who_else_keeps_copies(tmp_path):
    found = read_members(members_of("a", tmp_path / "a"))
    assert found.removed == {"2"}
    assert found.clusters == {"1": "a/1"}
    assert found.kept_in == {"a/1": {"a", "b"}}
    assert json.loads((tmp_path / "a" / "summary.json").read_text()) == {
        "cleaned_version": "v",
        "num_documents": 10,
        "in_clusters": 2,
        "removed": {"exact": 1},
    }
    assert read_members(members_of("z", tmp_path / "z")).removed == frozenset()


def test_a_missing_or_wrong_table_is_named(tmp_path):
    with pytest.raises(BadDocuments, match=r"members\.parquet: no complete table of copies"):
        read_members(tmp_path)
    pl.DataFrame({"id": ["1"]}).write_parquet(tmp_path / "members.parquet")
    with pytest.raises(BadDocuments, match="materialise it again"):
        read_members(tmp_path)


def write_cleaned(folder, documents):
    folder.mkdir(parents=True)
    pl.DataFrame(
        [(name, text, text_hash(text), "{}") for name, text in documents],
        schema=dict.fromkeys(("id", "text", "text_hash", "metadata"), pl.String),
        orient="row",
    ).write_parquet(folder / "documents.parquet")
    return folder


def test_fingerprints_of_a_cleaned_corpus(tmp_path):
    folder = write_cleaned(tmp_path / "a", [("1", "a b c d e f"), ("2", "a b")])
    counts = fingerprint_corpus(folder, tmp_path, MinHashConfig())
    assert counts == {"documents": 2, "too_short_for_minhash": 1, "word_ngrams": 2}
    assert read_fingerprints(tmp_path).ids.to_list() == ["1", "2"]


@pytest.fixture
def domain(tmp_path):
    """Corpus b of a domain of its own; its 7 has a near-copy that corpus a keeps."""
    texts = [(str(n), f"document {n} " + "x" * 80) for n in range(20)]
    cleaned = {"b": write_cleaned(tmp_path / "cleaned", texts)}
    return cleaned, {"b": members_of("b", tmp_path / "members")}


def test_removed_copies_are_neither_held_out_nor_trained_on(domain, tmp_path):
    cleaned, members = domain
    held = set()
    for seed in range(12):
        out = tmp_path / str(seed)
        out.mkdir()
        config = HeldoutConfig(share=0.2, seed=seed)
        summary = choose_heldout(cleaned, out, config, members=members)
        table = pl.read_parquet(out / "documents.parquet")
        trained = [name for name, _ in iterate_training_documents(cleaned, [out], members=members)]
        assert summary.domain_documents == 19
        assert {*trained, *table["id"]} == {str(n) for n in range(20)} - {"9"}
        assert set(trained).isdisjoint(table["id"])
        assert table.filter(id="8")["cluster"].to_list() in ([], ["b/8"])
        held |= set(table["id"])
    assert "8" in held
    assert "7" not in held, "another domain trains on its near-copy"


def test_near_copies_are_held_out_together(domain, tmp_path):
    cleaned, _ = domain
    rows = [("b", str(n), "b/0", "kept", "b", str(n), None) for n in range(3)]
    table = pl.DataFrame(rows, schema=MEMBERS, orient="row")
    members = {"b": members_of("b", tmp_path / "chain", table)}
    for seed in range(8):
        out = tmp_path / f"chain{seed}"
        out.mkdir()
        choose_heldout(cleaned, out, HeldoutConfig(share=0.3, seed=seed), members=members)
        held = {"0", "1", "2"} & set(pl.read_parquet(out / "documents.parquet")["id"])
        assert held in (set(), {"0", "1", "2"})
        trained = {n for n, _ in iterate_training_documents(cleaned, [out], members=members)}
        assert ({"0", "1", "2"} & trained) == {"0", "1", "2"} - held


def test_training_text_leaves_out_the_cluster_of_a_held_out_document(domain, tmp_path):
    cleaned, members = domain
    heldout = tmp_path / "other"
    heldout.mkdir()
    pl.DataFrame(
        {"corpus": ["a"], "id": ["1"], "text": ["x"], "text_hash": ["h"], "cluster": ["a/1"]}
    ).write_parquet(heldout / "documents.parquet")
    trained = {n for n, _ in iterate_training_documents(cleaned, [heldout], members=members)}
    assert trained == {str(n) for n in range(20)} - {"7", "9"}


def test_a_domain_whose_groups_are_all_shared_cannot_be_split(tmp_path):
    cleaned = {"b": write_cleaned(tmp_path / "cleaned", [("7", "one"), ("17", "two")])}
    rows = [(*pair, f"a/{n}", "kept", *pair, None) for n in "12" for pair in (("b", n), ("a", n))]
    rows = [(c, "7" if n == "1" else "17", k, kind, kc, i, s) for c, n, k, kind, kc, i, s in rows]
    table = pl.DataFrame(rows, schema=MEMBERS, orient="row")
    members = {"b": members_of("b", tmp_path / "m", table)}
    with pytest.raises(DomainTooSmall):
        choose_heldout(cleaned, tmp_path, HeldoutConfig(share=0.5), members=members)
