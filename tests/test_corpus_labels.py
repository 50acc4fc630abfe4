"""Skill tags and quality scores of a corpus: tables, suites, and that `datasets` loads them."""

import json

import numpy as np
import polars as pl
import pytest

from quality.corpus_sample import SAMPLE_COLUMNS, sample_training_text
from quality.corpus_scores import CrossFittedScore, fit_score, half_of, write_scores
from quality.corpus_tags import TagChoice, TaggerChoice, read_skills, write_tags
from quality.dedup.exact import text_hash
from quality.dedup.members import COLUMNS as MEMBERS
from quality.document_batches import RAW_COLUMNS
from quality.suites import score_tables, tag_tables
from quality.taggers.interface import require_columns

VERSE = ["sail", "harbour", "wave", "anchor", "captain", "storm", "tide", "gull", "rose", "summer"]
CODE = [
    "class",
    "return",
    "import",
    "self",
    "value",
    "index",
    "string",
    "buffer",
    "lambda",
    "yield",
]


def text(words, seed):
    return " ".join(np.random.default_rng(seed).choice(words, size=25))


def corpus(folder, domain, words, count=60, seed=0):
    folder.mkdir(parents=True)
    texts = [text(words, [seed, number]) for number in range(count)]
    columns = dict.fromkeys(RAW_COLUMNS, "x")
    rows = {**columns, "id": [f"{folder.name}/{n}" for n in range(count)], "text": texts}
    table = pl.DataFrame({**rows, "domain": domain, "metadata": "{}"}).select(RAW_COLUMNS)
    hashes = pl.Series("text_hash", [text_hash(one) for one in texts])
    table.with_columns(hashes).write_parquet(folder / "documents.parquet")
    return folder


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory):
    root = tmp_path_factory.mktemp("cleaned")
    folders = {
        "poems": corpus(root / "poems", "verse", VERSE),
        "modules": corpus(root / "modules", "code", CODE, seed=1),
    }
    return folders


@pytest.fixture(scope="module")
def sample(cleaned, tmp_path_factory):
    root = tmp_path_factory.mktemp("aside")
    none = {"corpus": pl.String, "id": pl.String, "text_hash": pl.String, "cluster": pl.String}
    held = pl.DataFrame([("poems", "poems/0", "-", None)], none, orient="row")
    held.write_parquet(root / "documents.parquet")
    pl.DataFrame(schema=MEMBERS).write_parquet(root / "members.parquet")
    leaks = pl.DataFrame({"id": ["poems/1"], "kind": ["contaminated"]})
    leaks.write_parquet(root / "matches.parquet")
    aside = dict.fromkeys(cleaned, root)
    return sample_training_text(cleaned, aside, members=aside, contaminated=aside, rows=58)


def test_a_sample_is_even_and_leaves_out_what_is_not_trained_on(sample):
    assert tuple(sample.columns) == SAMPLE_COLUMNS
    assert dict(sample.group_by("corpus").len().iter_rows()) == {"poems": 58, "modules": 58}
    assert set(sample.filter(pl.col("corpus") == "poems")["id"]) == {
        f"poems/{n}" for n in range(2, 60)
    }


@pytest.fixture(scope="module")
def tagged(cleaned, sample, tmp_path_factory):
    """Tags of the poems by two taggers."""
    out = tmp_path_factory.mktemp("tags")
    taggers = {
        "linear": TaggerChoice(tagger="linear").make().fit(sample),
        "rules": TaggerChoice(tagger="rules").make(),
    }
    made = write_tags(cleaned["poems"], taggers, out, counting="linear", cleaned_version="v1")
    return out, *made


def test_tags_have_a_row_per_document_and_tagger(tagged):
    out, summary, compared = tagged
    tags = pl.read_parquet(out / "tags.parquet")
    assert tags.columns == ["id", "skill", "confidence", "tagger"]
    assert tags.group_by("tagger").len().sort("tagger").rows() == [("linear", 60), ("rules", 60)]
    assert (summary.tagger, summary.num_documents, summary.skills) == ("linear", 60, {"verse": 60})
    assert summary.labels == ("code", "verse")
    assert compared.coverage == (1.0, 0.0)
    assert json.loads((out / "comparison.json").read_text())["second"] == "rules"
    assert read_skills(out) == {f"poems/{n}": "verse" for n in range(60)}


def failures(criteria):
    return {row.column or row.name for row in criteria if not row.passed}


@pytest.fixture
def tag_folder(tagged, tmp_path):
    for file in tagged[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_sound_tags_pass(tag_folder):
    assert failures(tag_tables.judge(tag_folder)) == set()


def first(column, value):
    row = pl.int_range(pl.len()) == 0
    return pl.when(row).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ([first("id", "poems/1")], {"id", "documents_only_the_second_tagger_knows"}),
        ([first("id", None)], {"id", "documents_only_the_second_tagger_knows"}),
        ([first("skill", "opera")], {"skill"}),
        ([first("confidence", 1.5)], {"confidence"}),
        ([first("skill", None)], {"labelled_without_confidence"}),
        (
            [first("tagger", "rules"), first("id", "nobody")],
            {"summary_counts_documents", "documents_only_the_second_tagger_knows"},
        ),
        ([pl.lit(None, pl.String).alias("skill"), pl.lit(0.0).alias("confidence")], {"coverage"}),
    ],
)
def test_each_defect_of_tags_fails_its_criterion(tag_folder, change, failed):
    path = tag_folder / "tags.parquet"
    pl.read_parquet(path).with_columns(change).write_parquet(path)
    assert failures(tag_tables.judge(tag_folder)) == failed


def test_low_coverage_only_warns(tag_folder):
    criteria = tag_tables.judge(tag_folder, tag_tables.TagLimits(min_coverage=1.0))
    assert failures(criteria) == set()
    path = tag_folder / "tags.parquet"
    changes = [first("skill", None), first("confidence", 0.0)]
    pl.read_parquet(path).with_columns(changes).write_parquet(path)
    (row,) = [
        row
        for row in tag_tables.judge(tag_folder, tag_tables.TagLimits(min_coverage=1.0))
        if not row.passed
    ]
    assert (row.name, row.severity, row.observed) == ("coverage", "warning", 59 / 60)


def test_a_corpus_may_have_a_tagger_of_its_own():
    own = TaggerChoice(tagger="metadata", settings={"column": "source"})
    choice = TagChoice(by=TaggerChoice(tagger="rules"), corpora={"poems": own})
    assert choice.counting("poems") is own
    assert choice.counting("modules").tagger == "rules"
    with pytest.raises(ValueError, match="no string column"):
        require_columns(pl.DataFrame({"id": ["a"]}), "source")


@pytest.fixture(scope="module")
def score():
    reference = [text(VERSE, [2, n]) for n in range(150)]
    return fit_score(reference, [text(CODE, [3, n]) for n in range(150)])


def test_a_document_is_scored_by_the_model_of_the_other_half(score):
    texts = [text(VERSE, [4, n]) for n in range(20)]
    scores = score.score(texts)
    assert {half_of(one) for one in texts} == {0, 1}
    for one, found in zip(texts, scores, strict=True):
        assert found == score.halves[1 - half_of(one)].score([one])[0]
    assert score.score([]).shape == (0,)
    assert scores.min() > 0.5
    assert score.separation.auc == 1.0


def test_a_score_comes_back_from_disk(score, tmp_path):
    score.save(tmp_path)
    texts = [text(VERSE + CODE, [5, n]) for n in range(8)]
    np.testing.assert_allclose(
        CrossFittedScore.load(tmp_path).score(texts), score.score(texts), atol=1e-6
    )
    with pytest.raises(ValueError, match="no quality model"):
        CrossFittedScore.load(tmp_path / "half-0")


def test_too_few_documents_for_two_halves_are_refused():
    few = [text(VERSE, [6, n]) for n in range(30)]
    with pytest.raises(ValueError, match="a score needs at least 20"):
        fit_score(few, [text(CODE, [7, n]) for n in range(30)])


@pytest.fixture
def scored(cleaned, score, tmp_path):
    write_scores(cleaned["poems"], score, tmp_path, cleaned_version="v1")
    return tmp_path


def test_sound_scores_pass_and_say_what_they_are_worth(scored):
    assert failures(score_tables.judge(scored)) == set()
    summary = json.loads((scored / "summary.json").read_text())
    scores = pl.read_parquet(scored / "scores.parquet")["quality_score"]
    assert (summary["num_documents"], summary["auc"]) == (60, 1.0)
    assert summary["quantiles"]["50"] == pytest.approx(np.median(scores.to_numpy()))


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ([first("id", "poems/1")], {"id"}),
        ([first("quality_score", 1.5)], {"quality_score"}),
        ([first("quality_score", None)], {"quality_score"}),
        ([first("num_bytes", 0)], {"num_bytes"}),
        ([pl.lit(0.5).alias("quality_score")], {"quality_score"}),
    ],
)
def test_each_defect_of_scores_fails_its_criterion(scored, change, failed):
    path = scored / "scores.parquet"
    table = pl.read_parquet(path)
    table.with_columns(change).cast(dict(table.schema)).write_parquet(path)
    limits = score_tables.ScoreLimits(min_unique_share=0.1)
    assert failures(score_tables.judge(scored, limits)) == failed


def test_a_score_that_tells_nothing_apart_fails(scored):
    content = json.loads((scored / "summary.json").read_text())
    (scored / "summary.json").write_text(json.dumps({**content, "auc": 0.55}))
    assert failures(score_tables.judge(scored)) == {"separation_of_unseen_documents"}
    (scored / "summary.json").write_text(json.dumps({**content, "num_documents": 61}))
    assert failures(score_tables.judge(scored)) == {"summary_counts_documents"}


def test_datasets_loads_tags_and_scores(tagged, scored, tmp_path):
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    for name, folder, columns in (
        ("tags.parquet", tagged[0], ["id", "skill", "confidence", "tagger"]),
        ("scores.parquet", scored, ["id", "quality_score", "num_bytes"]),
    ):
        loaded = load_dataset(
            "parquet",
            data_files=str(folder / name),
            split="train",
            cache_dir=str(tmp_path / "cache"),
        )
        assert loaded.column_names == columns
        assert loaded["id"][:2] == ["poems/0", "poems/1"]
        assert loaded.num_rows == pl.read_parquet(folder / name).height
