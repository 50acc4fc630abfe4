"""The suites over tokens: sound artifacts pass, each defect fails its own criterion."""

import hashlib
import json

import numpy as np
import polars as pl
import pytest

from quality.dedup import members
from quality.dedup.exact import text_hash
from quality.gate_tables import TableRefused
from quality.suites import token_shards, whole_corpus
from training.shards import write_token_shards


def failures(criteria):
    """Names of failed criteria, with the column where there is one."""
    return {
        f"{row.name} {row.column}" if row.column else row.name for row in criteria if not row.passed
    }


def edit(path, *changes, **named):
    pl.read_parquet(path).with_columns(*changes, **named).write_parquet(path)


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def first(column, value):
    """Set a column's first value."""
    return (
        pl.when(pl.int_range(pl.len()) == 0)
        .then(pl.lit(value))
        .otherwise(pl.col(column))
        .alias(column)
    )


def truncate(file):
    def change(folder):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return change


def remove(file):
    return lambda folder: (folder / file).unlink()


GAP = "expect_column_values_to_be_between gap"
TWICE = "expect_column_values_to_be_unique document_id"
NO_END = "expect_column_values_to_be_null no_end_token_in"
LIMITS = token_shards.TokenLimits(context_tokens=8, min_rows=20)


def write_domain(folder, *, train=20, heldout=4, prefix="c", tokenizer="t1", vocab_size=300):
    for split, num_documents in (("train", train), ("heldout", heldout)):
        (folder / split).mkdir(parents=True)
        write_token_shards(
            (
                (f"{prefix}/{split}/{n}", 30, 1 + np.arange(10 + n % 3) % 40)
                for n in range(num_documents)
            ),
            folder / split,
            vocab_size=vocab_size,
            eos_id=0,
            tokenizer_digest=tokenizer,
            shard_tokens=100,
        )
    return folder


@pytest.fixture
def tokens(tmp_path):
    return write_domain(tmp_path / "tokens")


def reseal(folder):
    """Make the manifest agree with files that were changed on purpose."""
    manifest = json.loads((folder / "manifest.json").read_text())

    def digest(name):
        return hashlib.sha256((folder / name).read_bytes()).hexdigest()

    manifest["documents_sha256"] = digest("documents.parquet")
    for shard in manifest["shards"]:
        shard["sha256"] = digest(shard["file"])
        shard["offsets_sha256"] = digest(shard["file"].replace(".tok", ".doc"))
    (folder / "manifest.json").write_text(json.dumps(manifest))


def table(*changes, split="train"):
    def change(folder):
        edit(folder / split / "documents.parquet", *changes)
        reseal(folder / split)

    return change


def manifest(split="train", **changes):
    return lambda folder: edit_json(folder / split / "manifest.json", **changes)


def set_token(index, value):
    def change(folder):
        path = folder / "train" / "00000.tok"
        content = np.fromfile(path, dtype="<u2")
        content[index] = value
        content.tofile(path)
        reseal(folder / "train")

    return change


def flip_byte(file, *, sealed=False):
    def change(folder):
        content = bytearray((folder / file).read_bytes())
        content[8] ^= 1
        (folder / file).write_bytes(content)
        if sealed:
            reseal((folder / file).parent)

    return change


def test_sound_token_shards_pass(tokens):
    criteria = token_shards.judge(tokens, LIMITS)
    assert failures(criteria) == set()
    # 20 documents of 11, 12, 13 tokens: shards of 107 = 9 documents, 107 and 23 tokens.
    found = {row.name: row.observed for row in criteria}
    assert found["train_rows"] == 106 // 8 + 106 // 8 + 22 // 8
    assert found["train_largest_token"] == 12


@pytest.mark.parametrize(
    ("damage", "failed"),
    [
        (flip_byte("train/00000.tok"), {"train_damaged_files"}),
        (flip_byte("train/00001.doc"), {"train_damaged_files"}),
        (truncate("heldout/00000.tok"), {"heldout_damaged_files"}),
        (remove("train/00001.tok"), {"train_damaged_files"}),
        (set_token(3, 300), {"train_largest_token"}),
        (flip_byte("train/00000.doc", sealed=True), {"train_differing_offsets"}),
        (set_token(10, 7), {NO_END}),
        (table(first("document_id", "c/train/1")), {TWICE}),
        (table(first("document_id", "c/train/0"), split="heldout"), {TWICE}),
        (
            table(first("document_id", None)),
            {"expect_column_values_to_not_be_null document_id"},
        ),
        (
            table(first("start", 1)),
            {GAP, NO_END, "train_differing_offsets"},
        ),
        (table(first("num_bytes", 31)), {"train_bytes_match_manifest"}),
        (manifest(num_tokens=1), {"train_tokens_match_manifest"}),
        (manifest(num_documents=1), {"train_documents_match_manifest"}),
        (manifest(eos_id=300), {"train_end_token", NO_END}),
        (manifest(vocab_size=70_000), {"train_vocab_size"}),
        (manifest(split="heldout", tokenizer_digest="t2"), {"same_tokenizer_in_both_splits"}),
        (manifest(dtype="uint8"), {"readable"}),
        (manifest(shards=[]), {"readable"}),
        (remove("heldout/manifest.json"), {"readable"}),
        (truncate("train/documents.parquet"), {"readable"}),
    ],
)
def test_each_defect_of_token_shards_fails_its_criterion(tokens, damage, failed):
    damage(tokens)
    assert failures(token_shards.judge(tokens, LIMITS)) == failed


def test_a_document_without_tokens_fails(tokens):
    table(first("num_tokens", 0))(tokens)
    assert "expect_column_values_to_be_between num_tokens" in failures(
        token_shards.judge(tokens, LIMITS)
    )


def test_too_few_sequences_fail(tokens):
    limits = token_shards.TokenLimits(context_tokens=8, min_rows=29, min_heldout_rows=6)
    assert failures(token_shards.judge(tokens, limits)) == {"train_rows", "heldout_rows"}


def words_of(name):
    """Thirty words in a row that no other document has."""
    digest = text_hash(name)
    letters = digest.translate(str.maketrans("0123456789", "ghijklmnop"))
    return " ".join(f"{letters}{chr(97 + n)}" for n in range(30))


@pytest.fixture
def world(tmp_path):
    """Two domains of one corpus each: token shards, held-out sets, cleaned shards."""
    kinds = ("token_shards", "heldout_sets", "cleaned_shards", "cluster_members")
    folders = {kind: {} for kind in kinds}
    for domain in ("code", "prose"):
        folders["token_shards"][domain] = write_domain(tmp_path / "tokens" / domain, prefix=domain)
        ids = {
            split: pl.read_parquet(tmp_path / "tokens" / domain / split / "documents.parquet")[
                "document_id"
            ].to_list()
            for split in ("train", "heldout")
        }
        for kind, chosen in (
            ("heldout_sets", ids["heldout"]),
            ("cleaned_shards", ids["train"] + ids["heldout"]),
        ):
            folder = tmp_path / kind / domain
            folder.mkdir(parents=True)
            documents = {"id": chosen, "text": map(words_of, chosen)}
            pl.DataFrame({**documents, "text_hash": map(text_hash, chosen)}).write_parquet(
                folder / "documents.parquet"
            )
            folders[kind][domain] = folder
        folder = tmp_path / "members" / domain
        folder.mkdir(parents=True)
        pl.DataFrame(schema=members.COLUMNS).write_parquet(folder / members.MEMBERS_FILE)
        folders["cluster_members"][domain] = folder
    return folders


def cluster(domain, *documents):
    """Make a cluster of (id, kind) rows known to a domain's corpus."""
    rows = [
        {"id": name, "cluster": "c", "kind": kind, "kept_in": [domain]} for name, kind in documents
    ]

    def change(world):
        path = world["cluster_members"][domain] / members.MEMBERS_FILE
        table = pl.DataFrame(rows, schema_overrides=members.COLUMNS)
        pl.concat([pl.read_parquet(path), table], how="diagonal").write_parquet(path)

    return change


def judge_world(world, out, **limits):
    whole_corpus.write_shard_profile(**world, out=out)
    return whole_corpus.judge(out, whole_corpus.WholeLimits(**limits))


def test_the_profile_has_one_row_per_domain_and_shard(world, tmp_path):
    profile = whole_corpus.write_shard_profile(**world, out=tmp_path)
    assert profile.select("domain", "shard").rows() == [
        (domain, shard) for domain in ("code", "prose") for shard in range(3)
    ]
    assert profile["num_documents"].to_list() == [9, 9, 2] * 2
    assert profile["domain_token_share"].to_list() == pytest.approx([0.5] * 6)
    assert failures(whole_corpus.judge(tmp_path)) == set()


def rename_training(domain, new):
    """Give the first training document of a domain another id."""
    return lambda world: table(first("document_id", new))(world["token_shards"][domain])


def plant(domain, source, share):
    """Give a training document of a domain the first share of a held-out text."""

    def change(world):
        words = words_of(source).split()
        copied = " ".join(words[: 12 + round(share * (len(words) - 12))])
        path = world["cleaned_shards"][domain] / "documents.parquet"
        edit(path, first("text", f"{copied} and so on"))

    return change


def rehash(kind, domain, value):
    return lambda world: edit(world[kind][domain] / "documents.parquet", first("text_hash", value))


@pytest.mark.parametrize(
    ("damage", "columns"),
    [
        (
            rename_training("code", "prose/train/3"),
            {"ids_seen_elsewhere", "texts_seen_elsewhere"},
        ),
        (rename_training("code", "nowhere/1"), {"ids_not_cleaned"}),
        (
            rename_training("code", "prose/heldout/0"),
            {"heldout_ids", "heldout_texts", "leaking_documents"},
        ),
        (rehash("heldout_sets", "code", text_hash("prose/train/5")), {"heldout_texts"}),
        (
            cluster("code", ("code/train/1", "kept"), ("code/heldout/1", "kept")),
            {"heldout_clusters"},
        ),
        (cluster("code", ("code/train/1", "exact")), {"removed_copies"}),
        (plant("code", "prose/heldout/2", 0.5), {"leaking_documents"}),
        (plant("code", "prose/heldout/2", 0.4), set()),
        (rehash("cleaned_shards", "code", text_hash("prose/train/5")), {"texts_seen_elsewhere"}),
    ],
)
def test_each_leak_between_domains_fails_its_columns(world, tmp_path, damage, columns):
    damage(world)
    criteria = judge_world(world, tmp_path)
    assert {row.column for row in criteria if not row.passed} == columns


def test_a_heldout_text_of_another_domain_names_the_training_domain(world, tmp_path):
    rehash("heldout_sets", "code", text_hash("prose/train/5"))(world)
    profile = whole_corpus.write_shard_profile(**world, out=tmp_path)
    assert profile.filter(pl.col("heldout_texts") > 0)["domain"].to_list() == ["prose"]


@pytest.mark.parametrize(
    ("splits", "failed"),
    [
        (
            ("train", "heldout"),
            "expect_column_unique_value_count_to_be_between tokenizer_digest",
        ),
        (
            ("heldout",),
            "expect_column_pair_values_to_be_equal tokenizer_digest, heldout_tokenizer_digest",
        ),
    ],
)
def test_another_tokenizer_in_one_domain_fails(world, tmp_path, splits, failed):
    for split in splits:
        manifest(split=split, tokenizer_digest="t2")(world["token_shards"]["code"])
    assert failures(judge_world(world, tmp_path)) == {failed}


def test_shares_and_the_number_of_domains_are_judged(world, tmp_path):
    criteria = judge_world(world, tmp_path, min_domains=3, max_token_share=0.4)
    assert {(row.column, row.severity) for row in criteria if not row.passed} == {
        ("domain", "error"),
        ("domain_token_share", "warning"),
    }


def test_a_profile_of_nothing_fails(tmp_path):
    whole_corpus.write_shard_profile(
        token_shards={}, heldout_sets={}, cleaned_shards={}, cluster_members={}, out=tmp_path
    )
    assert failures(whole_corpus.judge(tmp_path)) == {"not_empty"}


def test_a_truncated_table_is_named_when_the_profile_is_written(world, tmp_path):
    truncate("documents.parquet")(world["cleaned_shards"]["code"])
    with pytest.raises(TableRefused, match=r"readable: observed documents\.parquet"):
        whole_corpus.write_shard_profile(**world, out=tmp_path)
