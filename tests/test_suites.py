"""The suites over documents: sound artifacts pass, each defect fails its own criterion."""

import json

import polars as pl
import pytest

from quality.dedup.exact import text_hash
from quality.suites import SUITES, cleaned_shards, raw_corpora

TEXTS = [f"Document number {n} holds an English sentence of its own." for n in range(8)]


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


@pytest.fixture
def raw(tmp_path):
    documents = pl.DataFrame({"id": [f"c/{n}" for n in range(8)], "text": TEXTS}).with_columns(
        source=pl.lit("file.txt"),
        licence=pl.lit("MIT"),
        language=pl.lit("en"),
        domain=pl.lit("prose"),
        metadata=pl.lit("{}"),
    )
    documents.write_parquet(tmp_path / "documents.parquet")
    columns = dict.fromkeys(("source", "reason", "detail"), pl.String)
    pl.DataFrame(schema=columns).write_parquet(tmp_path / "unreadable.parquet")
    counts = {"num_documents": 8, "num_unreadable": 0, "num_texts": 8, "num_left_out": 0}
    (tmp_path / "summary.json").write_text(json.dumps(counts))
    return tmp_path


def put_aside(folder, *reasons):
    rows = [{"source": "bad.txt", "reason": reason, "detail": ""} for reason in reasons]
    pl.DataFrame(rows).write_parquet(folder / "unreadable.parquet")
    edit_json(folder / "summary.json", num_unreadable=len(reasons))


def documents(*changes, **named):
    return lambda folder: edit(folder / "documents.parquet", *changes, **named)


def summary(**changes):
    return lambda folder: edit_json(folder / "summary.json", **changes)


def empty(folder):
    pl.read_parquet(folder / "documents.parquet").head(0).write_parquet(
        folder / "documents.parquet"
    )
    edit_json(folder / "summary.json", num_documents=0, raw=0, kept=0, rejected=[])


def drop(*columns):
    def change(folder):
        path = folder / "documents.parquet"
        pl.read_parquet(path).drop(columns).write_parquet(path)

    return change


def truncate(file):
    def change(folder):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return change


def remove(file):
    return lambda folder: (folder / file).unlink()


UNREADABLE = [
    (truncate("documents.parquet"), "readable"),
    (remove("documents.parquet"), "readable"),
    (truncate("summary.json"), "readable"),
    (remove("summary.json"), "readable"),
    (lambda folder: (folder / "summary.json").write_text("[]"), "readable"),
    (empty, "not_empty"),
]


def test_a_sound_raw_corpus_passes(raw):
    criteria = raw_corpora.judge(raw)
    assert failures(criteria) == set()
    assert {"expect_column_values_to_be_unique", "unreadable_share"} <= {r.name for r in criteria}


@pytest.mark.parametrize(
    ("damage", "failed"),
    [
        (documents(first("id", "c/1")), "expect_column_values_to_be_unique id"),
        (documents(first("id", "")), "expect_column_value_lengths_to_be_between id"),
        (documents(first("text", "")), "expect_column_values_to_be_between text_chars"),
        (documents(licence=pl.lit("unknown")), "expect_column_values_to_not_be_in_set licence"),
        (
            documents(first("licence", "BSD")),
            "expect_column_unique_value_count_to_be_between licence",
        ),
        (
            documents(first("domain", "code")),
            "expect_column_unique_value_count_to_be_between domain",
        ),
        (lambda folder: put_aside(folder, "invalid_utf8"), "unreadable_share"),
        (summary(num_documents=9), "summary_counts_documents"),
        (summary(num_unreadable=1), "summary_counts_unreadable"),
        (summary(num_documents="8"), "readable"),
        (drop("licence"), "columns"),
        (documents(text=pl.lit(3)), "columns"),
        (remove("unreadable.parquet"), "readable"),
        *UNREADABLE,
    ],
)
def test_each_defect_of_a_raw_corpus_fails_its_criterion(raw, damage, failed):
    damage(raw)
    assert failures(raw_corpora.judge(raw)) == {failed}


def test_nulls_in_a_raw_corpus_fail_column_by_column(raw):
    columns = ("id", "text", "source", "licence", "language", "domain")
    edit(raw / "documents.parquet", *(first(column, None) for column in columns))
    assert failures(raw_corpora.judge(raw)) == {
        f"expect_column_values_to_not_be_null {column}"
        for column in ("id", "text_chars", "source", "licence", "language", "domain")
    }


@pytest.fixture
def cleaned(tmp_path):
    pl.DataFrame({"id": [f"c/{n}" for n in range(8)], "text": TEXTS}).with_columns(
        language=pl.lit("en-GB"),
        detected_language=pl.lit("en"),
        text_hash=pl.Series([text_hash(text) for text in TEXTS]),
    ).write_parquet(tmp_path / "documents.parquet")
    pl.DataFrame(
        {"id": ["c/8", "c/9"], "operator": ["length"] * 2, "reason": ["too short"] * 2}
    ).write_parquet(tmp_path / "rejected.parquet")
    rejected = [{"operator": "length", "reason": "too short", "num_documents": 2}]
    content = {"raw": 10, "kept": 8, "rejected": rejected, "redacted_kinds": ["email"]}
    (tmp_path / "summary.json").write_text(json.dumps(content))
    return tmp_path


def rejections(*changes, **named):
    return lambda folder: edit(folder / "rejected.parquet", *changes, **named)


def test_sound_cleaned_shards_pass(cleaned):
    criteria = cleaned_shards.judge(cleaned)
    assert failures(criteria) == set()
    assert "raw_is_kept_plus_rejected" in {row.name for row in criteria}


def test_examples_name_the_documents_with_control_characters(cleaned):
    edit(cleaned / "documents.parquet", first("text", "A title\x0cand a page break in the text."))
    (failed,) = [row for row in cleaned_shards.judge(cleaned) if not row.passed]
    assert (failed.column, failed.examples) == ("control_characters_in", ("c/0",))


def test_tab_and_line_feed_are_no_defects(cleaned):
    edit(cleaned / "documents.parquet", first("text", "A title\n\tand a line with a tab."))
    assert failures(cleaned_shards.judge(cleaned)) == set()


def test_the_language_is_not_judged_where_none_is_promised(cleaned):
    edit(cleaned / "documents.parquet", language=pl.lit("mul"), detected_language=pl.lit("de"))
    assert failures(cleaned_shards.judge(cleaned)) == set()


def test_lengths_are_judged_by_quantiles(cleaned):
    limits = cleaned_shards.CleanedLimits(min_median_chars=70)
    (failed,) = [row for row in cleaned_shards.judge(cleaned, limits) if not row.passed]
    assert failed.name == "expect_column_quantile_values_to_be_between"


@pytest.mark.parametrize(
    ("damage", "failed"),
    [
        (
            documents(first("text_hash", text_hash(TEXTS[1]))),
            "expect_column_values_to_be_unique text_hash",
        ),
        (documents(first("text_hash", "xyz")), "expect_column_values_to_match_regex text_hash"),
        (documents(first("text", "")), "expect_column_values_to_be_between text_chars"),
        (
            documents(detected_language=pl.lit("de")),
            "expect_column_values_to_be_in_set detected_language",
        ),
        (summary(raw=11), "raw_is_kept_plus_rejected"),
        (summary(kept=9, raw=11), "summary_counts_kept"),
        (rejections(first("reason", "too long")), "summary_counts_rejected"),
        (rejections(first("id", "c/0")), "ids_unique_over_kept_and_rejected"),
        (rejections(first("id", None)), "every_rejection_has_a_reason"),
        (summary(redacted_kinds=["name"]), "readable"),
        (
            documents(first("text", "Write to ada@lovelace.org about it, soon.")),
            "expect_column_values_to_be_between num_pii_email",
        ),
        (summary(rejected=3), "readable"),
        (summary(rejected=[3]), "readable"),
        (summary(rejected=[{"operator": "length"}]), "readable"),
        (drop("text_hash"), "columns"),
        (remove("rejected.parquet"), "readable"),
    ],
)
def test_each_defect_of_cleaned_shards_fails_its_criterion(cleaned, damage, failed):
    damage(cleaned)
    assert failures(cleaned_shards.judge(cleaned)) == {failed}


def test_pii_that_the_profile_leaves_is_a_warning_where_it_is_frequent(cleaned):
    texts = [f"Pay {n} with the card 4111 1111 1111 1111 in the shop." for n in range(8)]
    edit(cleaned / "documents.parquet", pl.Series("text", texts))
    (failed,) = [row for row in cleaned_shards.judge(cleaned) if not row.passed]
    assert (failed.column, failed.severity) == ("num_pii_card", "warning")


def test_nulls_in_cleaned_shards_fail_column_by_column(cleaned):
    columns = ("text", "text_hash", "detected_language")
    edit(cleaned / "documents.parquet", *(first(column, None) for column in columns))
    assert failures(cleaned_shards.judge(cleaned)) == {
        f"expect_column_values_to_not_be_null {column}"
        for column in ("text_chars", "text_hash", "detected_language")
    }


def test_two_declared_languages_fail(cleaned):
    edit(cleaned / "documents.parquet", first("language", "de"))
    assert "expect_column_unique_value_count_to_be_between language" in failures(
        cleaned_shards.judge(cleaned)
    )


@pytest.mark.parametrize(("damage", "failed"), UNREADABLE)
def test_unreadable_cleaned_shards_fail(cleaned, damage, failed):
    damage(cleaned)
    assert failed in failures(cleaned_shards.judge(cleaned))


def test_an_id_twice_among_the_kept_fails_twice(cleaned):
    edit(cleaned / "documents.parquet", first("id", "c/1"))
    assert failures(cleaned_shards.judge(cleaned)) == {
        "expect_column_values_to_be_unique id",
        "ids_unique_over_kept_and_rejected",
    }


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_refuses_an_empty_folder(tmp_path, name):
    assert failures(SUITES[name](tmp_path)) == {"readable"}
