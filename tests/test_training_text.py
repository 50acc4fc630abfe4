import polars as pl
import pytest

from quality.dedup.exact import text_hash
from quality.document_batches import BadDocuments
from quality.heldout import HeldoutConfig, choose_heldout
from quality.training_text import iterate_training_documents


def write(folder, texts, corpus):
    folder.mkdir()
    pl.DataFrame(
        {
            "id": [f"{n}" for n in range(len(texts))],
            "corpus": [corpus] * len(texts),
            "text": texts,
            "text_hash": [text_hash(text) for text in texts],
            "metadata": ["{}"] * len(texts),
            "cluster": pl.Series([None] * len(texts), dtype=pl.String),
        }
    ).write_parquet(folder / "documents.parquet")
    return folder


def test_held_out_ids_and_copies_of_held_out_text_are_left_out(tmp_path):
    cleaned = {
        "b": write(tmp_path / "b", ["b zero", "Copy of   HELD", "b two"], "b"),
        "a": write(tmp_path / "a", ["a zero", "a one"], "a"),
    }
    # Names a/0 by id (its text has changed since), and holds a text that b/1 repeats.
    heldout = write(tmp_path / "heldout", ["a zero, older"], "a")
    other_domain = write(tmp_path / "other", ["copy of held"], "elsewhere")
    documents = list(iterate_training_documents(cleaned, [heldout, other_domain]))
    assert documents == [("1", "a one"), ("0", "b zero"), ("2", "b two")]


def test_training_and_heldout_part_the_domain(tmp_path):
    texts = [f"document {number} " + "x" * number for number in range(60)]
    cleaned = {"a": write(tmp_path / "a", texts, "a")}
    out = tmp_path / "heldout"
    out.mkdir()
    choose_heldout(cleaned, out, HeldoutConfig(share=0.2))
    held = set(pl.read_parquet(out / "documents.parquet")["id"])
    trained = [name for name, _ in iterate_training_documents(cleaned, [out])]
    assert held
    assert held.isdisjoint(trained)
    assert held | set(trained) == {str(number) for number in range(60)}
    assert trained == sorted(trained, key=int)


def test_missing_heldout_set_is_an_error_not_nothing_held_out(tmp_path):
    cleaned = {"a": write(tmp_path / "a", ["text"], "a")}
    with pytest.raises(BadDocuments, match="no such file"):
        list(iterate_training_documents(cleaned, [tmp_path / "absent"]))
