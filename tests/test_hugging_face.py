import json

import pytest
from datasets import Dataset, DatasetDict

from quality.documents import CorpusError, ReadRequest
from quality.readers.hugging_face import BATCH_ROWS, HuggingFaceReader

ROWS = {"text": ["one", None, "three", " "], "key": ["a", "b", "c", "d"]}


def read(reader, folder, text_column="text", id_column=None, select=()):
    request = ReadRequest(
        corpus="c",
        folder=folder,
        cache=folder,
        text_column=text_column,
        id_column=id_column,
        select=select,
        exclude=(),
    )
    return list(reader.read(request))


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def test_a_saved_dataset_is_read_in_order(tmp_path):
    Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
    one, null, three, blank = read(HuggingFaceReader(path="saved"), tmp_path, id_column="key")
    assert (one.identity, one.text, one.source) == ("a", "one", "saved:1")
    assert (null.reason, null.source) == ("null_text", "saved:2")
    assert (three.identity, three.text) == ("c", "three")
    assert blank.reason == "empty"


def test_rows_are_numbered_through_batches(tmp_path):
    texts = [str(i) for i in range(BATCH_ROWS + 2)]
    Dataset.from_dict({"text": texts}).save_to_disk(tmp_path / "saved")
    found = read(HuggingFaceReader(path="saved"), tmp_path)
    assert [t.text for t in found] == texts
    assert found[-1].identity == f"saved:{BATCH_ROWS + 2}"


def test_a_split_is_chosen_and_a_missing_one_is_an_error(tmp_path):
    splits = {
        "train": Dataset.from_dict({"text": ["t"]}),
        "test": Dataset.from_dict({"text": ["e"]}),
    }
    DatasetDict(splits).save_to_disk(tmp_path / "saved")
    assert [t.text for t in read(HuggingFaceReader(path="saved", split="test"), tmp_path)] == ["e"]
    message = r"'source.split': saved has no split 'dev'; its splits are \['test', 'train'\]"
    with pytest.raises(CorpusError, match=message):
        read(HuggingFaceReader(path="saved", split="dev"), tmp_path)


def test_a_dataset_by_name_is_streamed(tmp_path):
    (tmp_path / "named").mkdir()
    lines = [json.dumps({"body": text}) for text in ("x", "y")]
    (tmp_path / "named" / "train.jsonl").write_text("\n".join(lines))
    reader = HuggingFaceReader(name=str(tmp_path / "named"))
    assert [t.text for t in read(reader, tmp_path, text_column="body")] == ["x", "y"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_column": "body"}, r"'text_column': saved has no column 'body'.* \['text', 'key'\]"),
        ({"select": ("*.txt",)}, r"'select': a Hugging Face dataset has rows, not files; remove"),
    ],
)
def test_a_corpus_entry_that_does_not_fit_is_an_error(tmp_path, options, message):
    Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
    with pytest.raises(CorpusError, match=message):
        read(HuggingFaceReader(path="saved"), tmp_path, **options)


def test_a_missing_or_damaged_dataset_is_an_error(tmp_path):
    with pytest.raises(
        CorpusError, match=r"'source': the dataset 'gone', split 'train', cannot be"
    ):
        read(HuggingFaceReader(path="gone"), tmp_path)
    with pytest.raises(CorpusError, match=r"the dataset 'no/such' cannot|'no/such', split 'train'"):
        read(HuggingFaceReader(name="no/such"), tmp_path)
    Dataset.from_dict({"text": ["long " * 1000]}).save_to_disk(tmp_path / "saved")
    (shard,) = (tmp_path / "saved").glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(CorpusError, match=r"the dataset 'saved', split 'train', cannot be read"):
        read(HuggingFaceReader(path="saved"), tmp_path)


@pytest.mark.parametrize("settings", [{}, {"path": "a", "name": "b"}])
def test_either_path_or_name(settings):
    with pytest.raises(ValueError, match="either 'path'"):
        HuggingFaceReader(**settings)
