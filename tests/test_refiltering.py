import json

import polars as pl
import pytest

from quality.cleaning import clean_corpus
from quality.cleaning_profiles import CleaningProfile, find_profile
from quality.document_batches import RAW_COLUMNS, BadDocuments
from quality.judgement import VERDICT
from quality.refiltering import refilter

LONG = " ".join(f"The {n} birds of winter came down to the river and sang." for n in "abcdefgh")
TEXTS = [
    LONG,
    "Too short to stay.",
    LONG.upper(),
    "- one\n- two",
    "Seven words are enough for some people.",
    LONG,
]
PROSE = find_profile("prose")
LOOSE = CleaningProfile(name="loose", filters={"length": {"min_words": 5}})


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    rows = {name: [""] * len(TEXTS) for name in RAW_COLUMNS}
    rows |= {"id": [f"doc-{n}" for n in range(len(TEXTS))], "text": TEXTS}
    rows["language"] = ["de", *["en"] * (len(TEXTS) - 1)]
    pl.DataFrame(rows).write_parquet(folder / "documents.parquet")
    return folder


def folder(tmp_path, name):
    made = tmp_path / name
    made.mkdir()
    return made


def cleaned(raw, tmp_path, profile=PROSE, name="cleaned"):
    made = folder(tmp_path, name)
    clean_corpus(raw, made, profile)
    return made


@pytest.mark.parametrize("first", [PROSE, LOOSE, find_profile("code")])
@pytest.mark.parametrize("then", [PROSE, LOOSE, find_profile("code")])
def test_verdicts_are_those_of_cleaning_again(raw, tmp_path, first, then):
    stored = cleaned(raw, tmp_path, first)
    out = folder(tmp_path, "out")
    summary = refilter(stored, out, then)
    again = cleaned(raw, tmp_path, then, "again")
    verdicts = pl.read_parquet(out / "verdicts.parquet")
    expected = pl.concat(
        [
            pl.read_parquet(again / "documents.parquet", columns=["id", "document_row"]),
            pl.read_parquet(again / "rejected.parquet", columns=["id", "document_row", *VERDICT]),
        ],
        how="diagonal",
    ).sort("document_row")
    assert verdicts.select(expected.columns).equals(expected)
    assert summary.raw == len(TEXTS)
    assert summary.kept == verdicts["operator"].is_null().sum()
    assert summary.kept + sum(row.num_documents for row in summary.rejected) == len(TEXTS)


def test_which_copy_is_kept_depends_on_which_documents_pass(raw, tmp_path):
    # The first copy declares another language: only without that filter is it the one to keep.
    out = folder(tmp_path, "out")
    summary = refilter(cleaned(raw, tmp_path), out, LOOSE)
    verdicts = pl.read_parquet(out / "verdicts.parquet")
    assert verdicts.filter(pl.col("operator").is_null())["id"].to_list() == ["doc-0", "doc-4"]
    assert verdicts.filter(operator="exact_deduplication").select("id", "value").rows() == [
        ("doc-2", "doc-0"),
        ("doc-5", "doc-0"),
    ]
    assert (summary.newly_kept, summary.newly_rejected) == (2, 1)
    written = json.loads((out / "summary.json").read_text())
    assert written["kept"] == 2
    assert written["rules"][1]["limit"] == ">= 5"


def test_no_text_is_read(raw, tmp_path):
    stored = cleaned(raw, tmp_path)
    for name in ("documents.parquet", "rejected.parquet"):
        pl.read_parquet(stored / name).drop("text").write_parquet(stored / name)
    assert refilter(stored, folder(tmp_path, "out"), LOOSE).kept == 2


def test_a_folder_that_is_not_cleaned(tmp_path):
    with pytest.raises(BadDocuments, match=r"summary\.json: no such file; clean the corpus first"):
        refilter(tmp_path, tmp_path, PROSE)


def test_a_missing_table_and_a_missing_metric(raw, tmp_path):
    stored = cleaned(raw, tmp_path)
    path = stored / "documents.parquet"
    pl.read_parquet(path).drop("num_words").write_parquet(path)
    with pytest.raises(BadDocuments, match="no column 'num_words'; clean the corpus again"):
        refilter(stored, tmp_path, LOOSE)
    path.unlink()
    with pytest.raises(BadDocuments, match=r"documents\.parquet: no such file"):
        refilter(stored, tmp_path, LOOSE)


def test_metrics_of_whole_texts_do_not_serve_a_profile_that_edits_lines(raw, tmp_path):
    with pytest.raises(ValueError, match=r"'web' judges edited texts, but the metrics in .* whole"):
        refilter(cleaned(raw, tmp_path), tmp_path, find_profile("web"))
    edited = cleaned(raw, tmp_path, find_profile("web"), "edited")
    with pytest.raises(ValueError, match="'prose' judges whole texts"):
        refilter(edited, tmp_path, PROSE)
    both = CleaningProfile(name="both", filters={"c4": {}, "length": {}})
    with pytest.raises(ValueError, match="use gopher_quality"):
        refilter(edited, tmp_path, both)
