import json

import polars as pl
import pytest

from quality.dedup.exact import text_hash
from quality.document_batches import BadDocuments
from quality.heldout import DomainTooSmall, HeldoutConfig, choose_heldout


def write_cleaned(folder, documents):
    """Write (id, text, group or None) rows as cleaned shards."""
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        [
            (name, text, text_hash(text), "{}" if group is None else json.dumps({"group": group}))
            for name, text, group in documents
        ],
        schema=dict.fromkeys(("id", "text", "text_hash", "metadata"), pl.String),
        orient="row",
    ).write_parquet(folder / "documents.parquet")
    return folder


def choose(tmp_path, corpora, **config):
    cleaned = {
        name: write_cleaned(tmp_path / name, documents) for name, documents in corpora.items()
    }
    out = tmp_path / "heldout"
    out.mkdir(exist_ok=True)
    summary = choose_heldout(cleaned, out, HeldoutConfig(**config))
    assert json.loads((out / "summary.json").read_text())["num_chars"] == summary.num_chars
    return summary, pl.read_parquet(out / "documents.parquet")


def singles(count, start=0, chars=100):
    return [(f"d{n}", f"{n:03}" + "x" * (chars - 3), None) for n in range(start, start + count)]


def test_budget_is_met_and_not_overshot_by_more_than_a_group(tmp_path):
    summary, table = choose(tmp_path, {"a": singles(100)}, share=0.1)
    assert summary.num_documents == summary.num_groups == table.height == 10
    assert summary.num_chars == summary.num_bytes == 1000
    assert summary.share == 0.1
    assert (summary.domain_documents, summary.domain_groups, summary.domain_chars) == (
        100, 100, 10_000,
    )  # fmt: skip
    assert summary.passed_over == 0
    assert table.columns == ["id", "corpus", "text", "text_hash", "num_bytes", "cluster"]
    assert table["id"].to_list() == sorted(table["id"], key=lambda name: int(name[1:]))


def test_max_chars_bounds_the_share(tmp_path):
    assert choose(tmp_path, {"a": singles(100)}, share=0.1, max_chars=250)[0].num_documents == 3


def test_bytes_are_counted_in_utf8(tmp_path):
    documents = [(str(n), f"é{n}", None) for n in range(4)]
    summary, table = choose(tmp_path, {"a": documents}, share=0.25)
    assert summary.num_chars == 2
    assert summary.num_bytes == table["num_bytes"].sum() == 3


def test_the_same_seed_chooses_the_same_and_another_seed_another_set(tmp_path):
    chosen = [
        set(choose(tmp_path / str(n), {"a": singles(100)}, share=0.1, seed=seed)[1]["id"])
        for n, seed in enumerate((1, 1, 2))
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_order_of_documents_does_not_matter_and_new_ones_keep_ranks(tmp_path):
    one = set(choose(tmp_path / "1", {"a": singles(100)}, max_chars=1000, share=0.5)[1]["id"])
    two = set(choose(tmp_path / "2", {"a": singles(100)[::-1]}, max_chars=1000, share=0.5)[1]["id"])
    more = set(choose(tmp_path / "3", {"a": singles(150)}, max_chars=1000, share=0.5)[1]["id"])
    assert one == two
    # New documents may push old ones out, but never change the order among the old ones.
    old = {name for name in more if int(name[1:]) < 100}
    assert old < one
    assert old


def test_groups_and_copies_go_together_across_corpora(tmp_path):
    segments = [(f"book{n // 5}-{n}", f"text {n} " + "y" * 92, f"book{n // 5}") for n in range(100)]
    # Each document of the other corpus is a copy of one segment, differing in case only.
    copies = [(f"copy{n}", segments[n][1].upper(), None) for n in range(0, 100, 10)]
    for seed in range(5):
        summary, table = choose(
            tmp_path / str(seed), {"a": segments, "b": copies}, share=0.15, seed=seed
        )
        books = {name.split("-")[0] for name in table.filter(corpus="a")["id"]}
        expected = {name for name, _, group in segments if group in books}
        assert set(table.filter(corpus="a")["id"]) == expected
        held = set(table["text_hash"])
        assert set(table.filter(corpus="b")["id"]) == {
            name for name, text, _ in copies if text_hash(text) in held
        }
        assert summary.num_groups == len(books)
        assert summary.domain_groups == 20


def test_groups_of_one_name_in_two_corpora_are_two_groups(tmp_path):
    corpora = {
        corpus: [(f"{corpus}{n}", f"{corpus} {n}", "readme") for n in range(2)] for corpus in "ab"
    }
    summary, table = choose(tmp_path, corpora, share=0.5)
    assert summary.domain_groups == 2
    assert table["corpus"].n_unique() == 1


def test_a_chain_of_relations_is_one_group(tmp_path):
    # a0 -group- a1 -copy- b0 -group- b1
    corpora = {
        "a": [("a0", "one", "f"), ("a1", "same", "f"), *singles(10)],
        "b": [("b0", "SAME", "g"), ("b1", "two", "g")],
    }
    summary, _ = choose(tmp_path, corpora, share=0.2)
    assert summary.domain_groups == 11


def test_a_giant_group_is_passed_over(tmp_path):
    giant = [(f"g{n}", f"{n:04}" + "z" * 996, "giant") for n in range(20)]
    for seed in range(6):
        summary, table = choose(
            tmp_path / str(seed), {"a": [*giant, *singles(60)]}, share=0.05, seed=seed
        )
        assert not set(table["id"]) & {name for name, _, _ in giant}
        assert 1300 <= summary.num_chars <= 2600


def test_if_every_group_is_too_large_the_smallest_is_taken(tmp_path):
    documents = [("s", "x" * 800, None), ("m", "y" * 900, None), ("l", "z" * 1000, None)]
    summary, table = choose(tmp_path, {"a": documents}, share=0.01)
    assert table["id"].to_list() == ["s"]
    assert summary.passed_over == 3


def test_never_more_than_half_of_the_documents(tmp_path):
    documents = [*singles(10, chars=5), ("long", "w" * 1000, None)]
    for seed in range(6):
        summary, _ = choose(tmp_path / str(seed), {"a": documents}, share=0.4, seed=seed)
        assert summary.num_documents <= 5


@pytest.mark.parametrize(
    "documents",
    [[], singles(1), [(name, text, "one file") for name, text, _ in singles(9)]],
)
def test_a_domain_too_small_is_an_error_with_its_remedy(tmp_path, documents):
    message = f"a/documents.parquet: the domain has {len(documents)} documents in .*; add documents"
    with pytest.raises(DomainTooSmall, match=message):
        choose(tmp_path, {"a": documents})


@pytest.mark.parametrize(
    ("metadata", "message"), [("{", "metadata of document 'd0' is not JSON"), ("[]", r"is \[\]")]
)
def test_bad_metadata_names_its_document(tmp_path, metadata, message):
    folder = write_cleaned(tmp_path / "a", singles(2))
    path = folder / "documents.parquet"
    pl.read_parquet(path).with_columns(metadata=pl.lit(metadata)).write_parquet(path)
    with pytest.raises(BadDocuments, match=message):
        choose_heldout({"a": folder}, tmp_path, HeldoutConfig())


@pytest.mark.parametrize(
    "settings", [{"share": 0.0}, {"share": 0.6}, {"max_chars": 0}, {"seed": -1}, {"fraction": 0.1}]
)
def test_bad_settings(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        HeldoutConfig(**settings)
