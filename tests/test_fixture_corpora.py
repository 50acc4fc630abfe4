from pathlib import Path

import polars as pl
import pytest

from quality.catalogue import load_catalogue
from quality.raw_corpus import write_raw_corpus

CATALOGUE = Path(__file__).parents[1] / "examples" / "fixtures" / "corpora.yaml"
CORPORA = load_catalogue(CATALOGUE)


@pytest.mark.parametrize("name", CORPORA)
def test_every_fixture_corpus_is_readable_and_large_enough_to_hold_some_of_it_out(name, tmp_path):
    summary = write_raw_corpus(CORPORA[name], tmp_path, cache=tmp_path / "cache")
    documents = pl.read_parquet(tmp_path / "documents.parquet")
    assert summary.num_unreadable == 0
    assert summary.num_documents == documents["id"].n_unique() >= 60
    assert 100_000 <= summary.num_bytes <= 160_000
    assert documents["metadata"].str.json_path_match("$.group").n_unique() >= 20


def test_the_fixtures_cover_four_kinds_of_source_and_domains():
    assert len({corpus.reader for corpus in CORPORA.values()}) == 4
    assert len({corpus.domain for corpus in CORPORA.values()}) == 4
    assert not (CATALOGUE.parent / "cache").exists()
