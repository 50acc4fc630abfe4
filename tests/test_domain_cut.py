"""Domains by skill and by score: who belongs where, worked by hand and as a property."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.corpus_scores import COLUMNS as SCORE_COLUMNS
from quality.corpus_scores import read_scores
from quality.corpus_tags import COLUMNS as TAG_COLUMNS
from quality.document_batches import BadDocuments
from quality.domain_cut import DomainCut, best_documents, documents_of_skill, stratum_of

SKILLS = {
    "a": {"a/0": "code", "a/1": None, "a/2": "law"},
    "b": {"b/0": "verse", "b/1": "code"},
}
SCORES = {"a": [0.1, 0.9, 0.2], "b": [0.5, 0.8]}


@pytest.fixture
def tags(tmp_path):
    """Skill tags of two corpora; the second tagger calls everything noise."""
    for corpus, skills in SKILLS.items():
        (tmp_path / corpus).mkdir()
        rows = [(name, skill, float(skill is not None), "linear") for name, skill in skills.items()]
        rows += [(name, "noise", 1.0, "rules") for name in skills]
        pl.DataFrame(rows, TAG_COLUMNS, orient="row").write_parquet(
            tmp_path / corpus / "tags.parquet"
        )
        (tmp_path / corpus / "summary.json").write_text(json.dumps({"tagger": "linear"}))
    return {corpus: tmp_path / corpus for corpus in SKILLS}


def write_scores(root, scores, num_bytes=100):
    for corpus, values in scores.items():
        (root / corpus).mkdir(exist_ok=True)
        rows = [(f"{corpus}/{n}", value, num_bytes) for n, value in enumerate(values)]
        pl.DataFrame(rows, SCORE_COLUMNS, orient="row").write_parquet(
            root / corpus / "scores.parquet"
        )
    return {corpus: root / corpus for corpus in scores}


def flat(chosen):
    return sorted(name for names in chosen.values() for name in names)


def test_a_domain_has_the_documents_of_its_skills_and_rest_all_others(tags):
    cut = DomainCut(skills={"programs": ["code"], "prose": ["verse", "letters"]}, rest="others")
    assert cut.domains(("x", "y")) == ("others", "programs", "prose")
    found = {domain: flat(documents_of_skill(cut, domain, tags)) for domain in cut.domains(())}
    assert found == {
        "programs": ["a/0", "b/1"],
        "prose": ["b/0"],
        "others": ["a/1", "a/2"],
    }


def test_without_rest_other_documents_are_in_no_domain(tags):
    cut = DomainCut(skills={"programs": ["code"], "prose": ["verse"]})
    assert cut.domains(()) == ("programs", "prose")
    assert flat(documents_of_skill(cut, "programs", tags)) == ["a/0", "b/1"]


def test_strata_by_hand(tmp_path):
    scores = write_scores(tmp_path, SCORES)
    cut = DomainCut(strata=2)
    assert cut.domains(("law", "code")) == ("code-q1", "code-q2", "law-q1", "law-q2")
    assert cut.corpus_domain("code-q2") == "code"
    assert DomainCut(skills={"a": ["x"], "b": ["y"]}).corpus_domain("a") is None
    low, high = (stratum_of(cut, f"law-q{k}", scores) for k in (1, 2))
    assert flat(low.documents) == ["a/0", "a/2", "b/0"]
    assert flat(high.documents) == ["a/1", "b/1"]
    assert (low.least_score, low.greatest_score) == (0.1, 0.5)
    assert (high.least_score, high.greatest_score) == (0.8, 0.9)
    # Odds 1/9, 1/4, 1 below and 9, 4 above: mean 14.3611 / 5 over all.
    assert low.sampling_weight == pytest.approx((1 / 9 + 1 / 4 + 1) / 3 / (14.3611111 / 5))
    assert high.sampling_weight == pytest.approx(13 / 2 / (14.3611111 / 5))


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_strata_part_the_documents_and_their_weights_average_to_one(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("scores")
    values = st.lists(st.floats(0, 1), min_size=3, max_size=20)
    scores = write_scores(root, {"a": data.draw(values), "b": data.draw(values)})
    cut = DomainCut(strata=data.draw(st.integers(2, 5)))
    strata = [stratum_of(cut, name, scores) for name in cut.domains(("law",))]
    everyone = flat({str(n): flat(one.documents) for n, one in enumerate(strata)})
    assert everyone == sorted(read_scores(scores)["id"])
    sizes = np.array([len(flat(one.documents)) for one in strata])
    assert sizes.max() - sizes.min() <= 1
    weights = np.array([one.sampling_weight for one in strata])
    assert (weights * sizes).sum() == pytest.approx(sizes.sum())
    assert (np.diff(weights) >= -1e-9).all()


def test_the_filter_keeps_the_best_share(tmp_path):
    scores = write_scores(tmp_path, SCORES)
    assert flat(best_documents(0.4, scores)) == ["a/1", "b/1"]
    assert flat(best_documents(0.41, scores)) == ["a/1", "b/0", "b/1"]
    assert len(flat(best_documents(1.0, scores))) == 5


def test_missing_scores_are_an_error_not_no_documents(tmp_path):
    with pytest.raises(BadDocuments, match="no complete table of scores"):
        best_documents(0.5, {"a": tmp_path})
