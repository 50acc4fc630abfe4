"""Each tagger on documents whose tag is known, and what all of them promise."""

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from quality.fitted_taggers import load_tagger, save_tagger
from quality.taggers import TAGGERS
from quality.taggers.clusters import ClusterSettings
from quality.taggers.interface import TAG_COLUMNS, require_columns
from quality.taggers.linear import LinearSettings
from quality.taggers.metadata import MetadataTagger
from quality.taggers.rules import RulesTagger, TagRule

VOCABULARY = {
    "sea": ["sail", "harbour", "wave", "anchor", "captain", "storm", "tide", "gull"],
    "farm": ["plough", "wheat", "barn", "cattle", "harvest", "meadow", "fence", "seed"],
    "court": ["judge", "verdict", "witness", "appeal", "counsel", "statute", "oath", "plea"],
}


def corpus(count, seed):
    rng = np.random.default_rng(seed)
    rows = [
        (f"{domain}-{number}", " ".join(rng.choice(words, size=30)), domain)
        for domain, words in VOCABULARY.items()
        for number in range(count)
    ]
    return pl.DataFrame(rows, schema=["id", "text", "domain"], orient="row")


TRAIN, TEST = corpus(30, 1), corpus(12, 2)
SETTINGS = {
    "metadata": {},
    "rules": {
        "rules": {d: {"pattern": "|".join(w), "min_density": 5} for d, w in VOCABULARY.items()}
    },
    "linear": {},
    "clusters": {"num_clusters": 3, "num_dimensions": 4},
}


@pytest.fixture(scope="module")
def fitted():
    return {name: TAGGERS[name](**SETTINGS[name]).fit(TRAIN) for name in TAGGERS}


@pytest.mark.parametrize("name", list(TAGGERS))
def test_every_tagger_answers_in_the_same_form(fitted, name):
    tags = fitted[name].tag(TEST)
    assert dict(tags.schema) == TAG_COLUMNS
    assert tags["id"].equals(TEST["id"])
    assert tags["confidence"].is_between(0, 1).all()
    assert tags["tag"].null_count() == 0
    if name != "metadata":
        assert set(tags["tag"]) <= set(fitted[name].labels)
    empty = fitted[name].tag(TEST.clear())
    assert (dict(empty.schema), empty.height) == (TAG_COLUMNS, 0)
    assert fitted[name].tag(TEST.reverse()).reverse().equals(tags)


@pytest.mark.parametrize("name", ["metadata", "rules", "linear"])
def test_named_taggers_find_the_domain(fitted, name):
    assert fitted[name].tag(TEST)["tag"].to_list() == TEST["domain"].to_list()


def test_clusters_are_the_domains_under_another_name(fitted):
    tags = fitted["clusters"].tag(TEST).with_columns(TEST["domain"])
    assert tags.group_by("domain").agg(pl.col("tag").n_unique())["tag"].to_list() == [1, 1, 1]
    assert tags["tag"].n_unique() == 3
    for tag, domain in tags.select("tag", "domain").unique().iter_rows():
        assert set(tag.split(": ")[1].split()) <= set(VOCABULARY[domain])
    again = ClusterSettings(num_clusters=3, num_dimensions=4).fit(TRAIN).tag(TEST)
    assert again.equals(tags.drop("domain"))


def test_a_text_without_a_known_word_is_in_no_cluster(fitted):
    tags = fitted["clusters"].tag(pl.DataFrame({"id": ["x"], "text": ["12 34"]}))
    assert tags.row(0) == ("x", None, 0.0)


def test_a_classifier_keeps_quiet_when_it_is_unsure(fitted):
    mixed = " ".join(word for words in VOCABULARY.values() for word in words)
    documents = pl.DataFrame({"id": ["x"], "text": [mixed]})
    assert fitted["linear"].tag(documents).row(0) == ("x", None, 0.0)
    certain = LinearSettings(min_confidence=0.0).fit(TRAIN).tag(documents)
    assert certain["confidence"][0] == pytest.approx(1 / 3, abs=0.1)
    np.testing.assert_allclose(fitted["linear"].probabilities(TEST).sum(axis=1), 1.0)


def test_two_classes_have_the_probabilities_of_a_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    from quality.hashed_ngrams import hash_ngrams

    two = TRAIN.filter(pl.col("domain") != "court")
    tagger = LinearSettings().fit(two)
    direct = LogisticRegression(C=10.0, class_weight="balanced", max_iter=200)
    direct.fit(hash_ngrams(two["text"].to_list()), two["domain"].to_list())
    expected = direct.predict_proba(hash_ngrams(TEST["text"].to_list()))
    assert tagger.labels == tuple(direct.classes_)
    np.testing.assert_allclose(tagger.probabilities(TEST), expected, atol=1e-3)


def test_a_rule_worked_by_hand():
    rules = {"a": TagRule(pattern="x", min_density=1), "b": TagRule(pattern="y", min_density=2)}
    texts = ["x" * 4 + "y" * 4 + "." * 992, "." * 1000, "y" + "." * 999, ""]
    tags = RulesTagger(rules=rules).tag(pl.DataFrame({"id": list("pqrs"), "text": texts}))
    # densities of the first text: a 4 / 1, b 4 / 2; confidence (4 - 2) / 4
    assert tags.rows() == [("p", "a", 0.5), ("q", None, 0.0), ("r", None, 0.0), ("s", None, 0.0)]


def test_default_rules_on_one_text_each():
    texts = {
        "code": "def f(x):\n    return x == 1\n\nfor i in y:\n    f(i)\n",
        "mathematics": r"Lemma. \frac{a}{b} ≤ \sum_i x_i ∀ x ∈ S. Proof. ∃ y ∞ □",
        "dialogue": "User: Hello there, friend.\nAssistant: Good day to you.\nUser: Bye now.",
        "legal": "§ 3 Abs. 2: (a) the licensee shall pursuant to Art. 4 (b) be liable.",
        None: "The old man walked slowly down to the river and looked at the water.",
    }
    documents = pl.DataFrame({"id": list(map(str, texts)), "text": list(texts.values())})
    assert RulesTagger().tag(documents)["tag"].to_list() == list(texts)


def test_metadata_reads_columns_and_keys_and_renames():
    metadata = ['{"topic": "sea"}', '{"topic": "farm"}', "{}", None, '{"topic": ""}']
    documents = pl.DataFrame({"id": list("abcde"), "metadata": metadata})
    tagger = MetadataTagger(column="metadata", key="topic", rename={"sea": "ocean"})
    tags = tagger.fit(documents).tag(documents)
    assert tags["tag"].to_list() == ["ocean", "farm", None, None, None]
    assert tags["confidence"].to_list() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert tagger.labels == ("ocean",)


def test_what_taggers_refuse():
    with pytest.raises(ValueError, match="no string column 'text'"):
        require_columns(TRAIN.drop("text"), "id", "text")
    with pytest.raises(ValueError, match="no string column 'topic'"):
        MetadataTagger(column="topic").fit(TRAIN)
    with pytest.raises(ValueError, match="a classifier needs two"):
        LinearSettings().fit(TRAIN.filter(pl.col("domain") == "sea"))
    with pytest.raises(ValueError, match="5 documents are too few for 8 clusters"):
        ClusterSettings().fit(TRAIN.head(5))
    with pytest.raises(ValidationError, match="no regular expression"):
        TagRule(pattern="(", min_density=1)
    with pytest.raises(ValidationError):
        RulesTagger(rules={})
    with pytest.raises(ValidationError):
        LinearSettings(penalty=1)


@pytest.mark.parametrize("name", list(TAGGERS))
def test_a_tagger_comes_back_from_disk(fitted, name, tmp_path):
    settings = TAGGERS[name](**SETTINGS[name])
    save_tagger(fitted[name], tmp_path / "one.npz")
    save_tagger(fitted[name], tmp_path / "other.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    back = load_tagger(settings, tmp_path / "one.npz")
    assert back.labels == fitted[name].labels
    before, after = fitted[name].tag(TEST), back.tag(TEST)
    assert after["tag"].equals(before["tag"])
    np.testing.assert_allclose(after["confidence"], before["confidence"], atol=1e-6)


def test_what_is_no_tagger_is_not_loaded(fitted, tmp_path):
    save_tagger(fitted["rules"], tmp_path / "rules.npz")
    for path in (tmp_path / "rules.npz", tmp_path / "absent.npz"):
        with pytest.raises(ValueError, match="no fitted tagger"):
            load_tagger(LinearSettings(), path)
