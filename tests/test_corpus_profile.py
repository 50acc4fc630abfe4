import json

import polars as pl
import pytest

from quality import document_batches
from quality.corpus_profile import profile_corpus, write_profile
from quality.document_batches import BadDocuments
from quality.languages import identify_languages

ENGLISH = "The committee shall meet at least once a year and publish a report of its work."
GERMAN = "Der Ausschuss tritt mindestens einmal im Jahr zusammen und berichtet dem Parlament."


def write_raw(folder, texts, languages=None, reasons=()):
    pl.DataFrame(
        {
            "id": [str(number) for number in range(len(texts))],
            "text": texts,
            "language": languages or ["en"] * len(texts),
        },
        schema=dict.fromkeys(("id", "text", "language"), pl.String),
    ).write_parquet(folder / "documents.parquet")
    pl.DataFrame(
        {"source": ["file"] * len(reasons), "reason": reasons, "detail": [""] * len(reasons)},
        schema=dict.fromkeys(("source", "reason", "detail"), pl.String),
    ).write_parquet(folder / "unreadable.parquet")
    return folder


def test_counts_worked_by_hand(tmp_path):
    texts = [ENGLISH, GERMAN, ENGLISH.upper(), "b\ufffd b", "", "schÃ¶n wasnâ€™t \x01"]
    reasons = ["not UTF-8", "too large", "not UTF-8"]
    profile = profile_corpus(write_raw(tmp_path, texts, reasons=reasons))
    chars = sum(map(len, texts))
    num_bytes = sum(len(text.encode()) for text in texts)
    assert profile.num_documents == 6
    assert profile.num_chars == chars
    assert profile.num_bytes == num_bytes
    assert profile.num_words == sum(len(text.split()) for text in texts[:5]) + 3
    assert profile.estimated_tokens == round(num_bytes / 4)
    assert profile.num_exact_copies == 1
    assert profile.exact_copy_share == 1 / 6
    assert profile.num_empty_documents == 1
    assert profile.languages["de"].num_documents == 1
    assert profile.languages["de"].num_chars == len(GERMAN)
    assert profile.languages["und"].num_documents == 1
    assert sum(share.num_documents for share in profile.languages.values()) == 6
    assert sum(share.num_chars for share in profile.languages.values()) == chars
    assert profile.declared_languages == {"en": 6}
    assert profile.encoding_defects.replacement_character == 1
    assert profile.encoding_defects.mojibake == 1
    assert profile.encoding_defects.control_characters == 1
    assert profile.unreadable == {"not UTF-8": 2, "too large": 1}


def test_declared_share_counts_characters_of_documents_that_declare_a_language(tmp_path):
    raw = write_raw(tmp_path, [ENGLISH, GERMAN, GERMAN], ["en-GB", "en", "mul"])
    expected = len(ENGLISH) / (len(ENGLISH) + len(GERMAN))
    assert profile_corpus(raw).declared_share == pytest.approx(expected)


def test_no_declared_language_is_unknown_not_zero(tmp_path):
    assert profile_corpus(write_raw(tmp_path, [ENGLISH], ["zxx"])).declared_share is None


def test_lengths(tmp_path):
    profile = profile_corpus(write_raw(tmp_path, ["a" * n for n in (1, 1, 5, 10, 100)]))
    edges, bins = profile.length_histogram_edges_chars, profile.length_histogram_documents
    assert profile.length_quantiles_chars == {
        "0": 1, "0.05": 1, "0.25": 1, "0.5": 5, "0.75": 10, "0.95": 100, "1": 100,
    }  # fmt: skip
    assert edges[:5] == (1.0, 1.778, 3.162, 5.623, 10.0)
    assert len(edges) == len(bins) + 1
    assert (bins[0], bins[2], bins[4], bins[8]) == (2, 1, 1, 1)
    assert sum(bins) == 5
    assert edges[-1] > 100


def test_only_empty_documents(tmp_path):
    profile = profile_corpus(write_raw(tmp_path, ["", ""]))
    assert profile.num_empty_documents == 2
    assert sum(profile.length_histogram_documents) == 0


def test_batches_change_nothing(tmp_path, monkeypatch):
    raw = write_raw(tmp_path, [ENGLISH, GERMAN, ENGLISH] * 5)
    whole = profile_corpus(raw)
    steps = []
    monkeypatch.setitem(document_batches.read_batches.__kwdefaults__, "batch_rows", 4)
    assert profile_corpus(raw, progress=lambda *step: steps.append(step)) == whole
    assert steps == [(4, 15), (8, 15), (12, 15), (15, 15)]


def test_written_profile_is_json_and_repeats(tmp_path):
    profile = profile_corpus(write_raw(tmp_path, [ENGLISH]))
    write_profile(profile, tmp_path)
    text = (tmp_path / "profile.json").read_text()
    write_profile(profile, tmp_path)
    assert (tmp_path / "profile.json").read_text() == text
    content = json.loads(text)
    (confidence,) = identify_languages([ENGLISH])[1]
    found = {"num_chars": len(ENGLISH), "num_documents": 1, "mean_confidence": confidence}
    assert content["languages"] == {"en": found}


def test_bad_input(tmp_path):
    with pytest.raises(BadDocuments, match=r"unreadable\.parquet: no such file"):
        profile_corpus(tmp_path)
    write_raw(tmp_path, [])
    with pytest.raises(BadDocuments, match="0 documents"):
        profile_corpus(tmp_path)
    (tmp_path / "documents.parquet").unlink()
    with pytest.raises(BadDocuments, match=r"documents\.parquet: no such file"):
        profile_corpus(tmp_path)
