from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.dedup.clusters import MEMBERS, DeduplicationConfig, find_clusters
from quality.dedup.fingerprints import (
    fingerprint,
    join_fingerprints,
    read_fingerprints,
    write_fingerprints,
)
from quality.dedup.minhash import MinHashConfig
from quality.document_batches import BadDocuments

VOCABULARY = ["".join(chr(97 + (n // 26**k) % 26) for k in range(4)) for n in range(20_000)]


def prints(documents, config=None):
    ids, texts = zip(*documents, strict=True) if documents else ((), ())
    return fingerprint(
        pl.Series("id", ids, dtype=pl.String),
        pl.Series("text", texts, dtype=pl.String),
        (config or DeduplicationConfig()).signatures,
    )


def clusters(corpora, config=None, order=None):
    found = {name: prints(documents, config) for name, documents in corpora.items()}
    return find_clusters(found, config, order=order)


def verdicts(table):
    return {
        (row["corpus"], row["id"]): (row["kind"], row["kept_corpus"], row["kept_id"])
        for row in table.iter_rows(named=True)
    }


def write_text(rng, num_words):
    return " ".join(VOCABULARY[n] for n in rng.integers(len(VOCABULARY), size=num_words))


def replace_words(rng, text, share):
    words = text.split()
    chosen = rng.choice(len(words), max(1, round(share * len(words))), replace=False)
    for place in chosen:
        words[place] = VOCABULARY[rng.integers(len(VOCABULARY))] + "x"
    return " ".join(words)


def test_exact_copies_by_hand():
    table = clusters(
        {
            "b": [("1", "Hello  World"), ("2", "unlike"), ("3", "hello world")],
            "a": [("9", "hello world\n\n"), ("8", "UNLIKE, all the same")],
        },
        order=["b", "a"],
    )
    # b comes first, "Hello  World" is longer than "hello world"; both are too short for MinHash.
    assert verdicts(table) == {
        ("a", "9"): ("exact", "b", "1"),
        ("b", "1"): ("kept", "b", "1"),
        ("b", "3"): ("exact", "b", "1"),
    }
    assert table["cluster"].to_list() == ["b/1"] * 3
    assert table["similarity"].to_list() == [1.0, None, 1.0]
    assert table.schema == MEMBERS


def test_the_best_stays_corpus_first_then_length_then_id():
    text = write_text(np.random.default_rng(0), 300)
    longer = text + " " + VOCABULARY[5]
    corpora = {"a": [("x", text), ("w", text)], "b": [("z", longer), ("y", longer)]}
    kept = {"a": ("a", "w"), "b": ("b", "y")}
    for first in ("a", "b"):
        config = DeduplicationConfig(priority=(first,))
        table = clusters(corpora, config, order=["b", "a"])
        assert table.filter(kind="kept").select("corpus", "id").rows() == [kept[first]]
        assert set(table["kept_id"]) == {kept[first][1]}
        assert table.height == 4


def test_methods_find_what_they_are_named_for():
    rng = np.random.default_rng(1)
    text = write_text(rng, 400)
    documents = [
        ("exact", text.upper()),
        ("near", replace_words(rng, text, 0.005)),
        ("origin", text + " end"),
        ("tiny1", "two words"),
        ("tiny2", "Two words"),
        ("upper", text),
    ]
    removed = {
        method: set(
            clusters({"a": documents}, DeduplicationConfig(method=method)).filter(
                pl.col("kind") != "kept"
            )["id"]
        )
        for method in ("exact", "minhash", "both")
    }
    assert removed["exact"] == {"upper", "tiny2"}
    assert removed["minhash"] == {"near", "exact", "upper"}
    assert removed["both"] == {"near", "exact", "upper", "tiny2"}


def chain(rng, steps):
    """Texts of which each shares nine tenths of its words with the next, and the first half."""
    words = [VOCABULARY[n] for n in rng.permutation(len(VOCABULARY))[:4000]]
    return [" ".join(words[40 * n : 40 * n + 1000]) for n in range(steps)]


def test_a_chain_is_one_cluster_but_removes_only_what_resembles_a_document_that_stays():
    texts = chain(np.random.default_rng(2), 12)
    table = clusters({"a": [(f"d{n:02}", text) for n, text in enumerate(texts)]})
    assert table["cluster"].n_unique() == 1
    kept = table.filter(kind="kept")
    assert 1 < kept.height < 12
    assert table.filter(kind="near")["similarity"].min() >= 0.7
    loose = clusters(
        {"a": [(f"d{n:02}", text) for n, text in enumerate(texts)]},
        DeduplicationConfig(min_similarity=0.0),
    )
    assert loose.filter(kind="kept").height == 1


def test_candidates_that_are_not_alike_are_left_alone():
    rng = np.random.default_rng(3)
    config = DeduplicationConfig(minhash=MinHashConfig(num_bands=112, num_rows=1))
    texts = chain(rng, 16)[::15]  # a quarter in common: some minimum is surely equal
    documents = [(str(n), text) for n, text in enumerate(texts)]
    assert clusters({"a": documents}, config).height == 0
    assert clusters({"a": documents}, replace(config, min_similarity=0.0)).height == 2


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_result_is_a_function_of_the_set_of_documents(data):
    """Any order of rows, parts and corpora gives the same table; every removal has a reason."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    base = [write_text(rng, 60) for _ in range(3)] + ["short", "Short", "", " "]
    texts = [
        replace_words(rng, base[kind], 0.02) if kind < 3 and near else base[kind]
        for kind, near in data.draw(
            st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=12)
        )
    ]
    places = data.draw(st.lists(st.sampled_from("abc"), min_size=len(texts), max_size=len(texts)))
    documents = [(corpus, f"{n}", text) for n, (corpus, text) in enumerate(zip(places, texts))]  # noqa: B905
    config = DeduplicationConfig(priority=("c",))

    def result(rows):
        found = {"a": [], "b": [], "c": []}
        for corpus, name, text in rows:
            found[corpus].append((name, text))
        names = data.draw(st.permutations(list(found)))
        return clusters({name: found[name] for name in names}, config, order=["b", "a", "c"])

    table = result(documents)
    assert result(data.draw(st.permutations(documents))).equals(table)
    kept = set(table.filter(kind="kept").select("corpus", "id").iter_rows())
    removed = table.filter(pl.col("kind") != "kept")
    assert set(removed.select("kept_corpus", "kept_id").iter_rows()) <= kept
    by_id = {name: text for _, name, text in documents}
    for row in removed.iter_rows(named=True):
        one, other = by_id[row["id"]].casefold().split(), by_id[row["kept_id"]].casefold().split()
        assert (one == other) == (row["kind"] == "exact")


def test_planted_copies_in_fifty_thousand_documents_are_found():
    rng = np.random.default_rng(4)
    originals = [write_text(rng, n) for n in rng.integers(150, 400, size=3000)]
    exact = [text.replace(" ", "  ", 3).upper() for text in originals[:1500]]
    shares = rng.uniform(0.005, 0.02, size=1500)
    near = [replace_words(rng, originals[1500 + n], shares[n]) for n in range(1500)]
    others = [write_text(rng, n) for n in rng.integers(20, 40, size=44_000)]
    first = [(f"o{n}", text) for n, text in enumerate([*originals, *others[:20_000]])]
    second = [(f"e{n}", text) for n, text in enumerate(exact)]
    second += [(f"n{n}", text) for n, text in enumerate(near)]
    second += [(f"p{n}", text) for n, text in enumerate(others[20_000:])]
    found = {"first": prints(first), "second": prints(second)}
    assert sum(len(one.ids) for one in found.values()) == 50_000
    table = find_clusters(found, order=["first", "second"])

    removed = {row[0]: row[1:] for row in table.select("id", "kept_id", "kind").iter_rows()}
    assert [removed.get(f"e{n}") for n in range(1500)] == [(f"o{n}", "exact") for n in range(1500)]
    hits = [removed.get(f"n{n}") == (f"o{1500 + n}", "near") for n in range(1500)]
    assert np.mean(hits) >= 0.97
    assert table.filter(pl.col("kind") != "kept").height == 1500 + sum(hits), "nothing else went"
    assert set(table.filter(kind="kept")["corpus"]) == {"first"}

    # The other partition first, its rows backwards and in two parts: the same table.
    backwards = [prints(part) for part in (second[:9_000:-1], second[9_000::-1])]
    other = {"second": join_fingerprints(backwards), "first": found["first"]}
    assert find_clusters(other, order=["first", "second"]).equals(table)
    # The priority turned round: the copies stay.
    turned = find_clusters(found, DeduplicationConfig(priority=("second",)))
    assert set(turned.filter(kind="kept")["corpus"]) == {"second"}


def test_fingerprints_survive_the_file(tmp_path):
    found = prints([("é", "one two three four five six"), ("b", "short"), ("", "")])
    write_fingerprints(found, tmp_path)
    read = read_fingerprints(tmp_path)
    assert read.ids.to_list() == ["é", "b", ""]
    assert read.num_chars.tolist() == [27, 5, 0]
    assert read.num_ngrams.tolist() == [2, 0, 0]
    for name in ("hashes", "bands", "sketches"):
        np.testing.assert_array_equal(getattr(read, name), getattr(found, name))
    assert found.bands[0].nbytes == found.sketches[0].nbytes == 112


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"PAR1")])
def test_damaged_fingerprints_are_named(tmp_path, damage):
    write_fingerprints(prints([("a", "text")]), tmp_path)
    damage(tmp_path / "fingerprints.parquet")
    with pytest.raises(BadDocuments, match=r"fingerprints\.parquet: no .*materialise it"):
        read_fingerprints(tmp_path)


@pytest.mark.parametrize("priority", [("a", "a"), ("z",)])
def test_a_priority_of_unknown_or_repeated_corpora_is_refused(priority):
    with pytest.raises(ValueError, match="at most once"):
        clusters({"a": [("1", "x")]}, DeduplicationConfig(priority=priority))


@pytest.mark.parametrize(
    "setting", [{"method": "fuzzy"}, {"min_similarity": 1.1}, {"threshold": 0.5}]
)
def test_bad_settings(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        DeduplicationConfig(**setting)


def test_near_copies_without_an_equal_band_are_found_across_the_bands():
    text = write_text(np.random.default_rng(0), 100)
    found = prints([("a", text), ("b", text + " and")])
    bands, sketches = found.bands.copy(), found.sketches.copy()
    sketches[1] = sketches[0]
    bands[1] = bands[0] + 1
    sketches[1, ::8] += 1  # one minimum of each band
    unlike = replace(found, bands=bands, sketches=sketches)
    assert set(find_clusters({"x": unlike})["kind"]) == {"kept", "near"}
    at_any = DeduplicationConfig(min_similarity=0)
    assert find_clusters({"x": unlike}, at_any).is_empty()
