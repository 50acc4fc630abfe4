import pytest

from quality.documents import CorpusError, ReadRequest, Text
from quality.readers import text_folder
from quality.readers.text_folder import TextFolderReader
from quality.source_files import SourceFile


def read(reader, folder, select=()):
    request = ReadRequest(
        corpus="c",
        folder=folder,
        cache=folder,
        text_column="text",
        id_column=None,
        select=select,
        exclude=(),
    )
    return list(reader.read(request))


def test_files_become_texts_sorted_by_path(tmp_path):
    (tmp_path / "t" / "b").mkdir(parents=True)
    (tmp_path / "t" / "b" / "x.txt").write_text("second")
    (tmp_path / "t" / "a.txt").write_text("first")
    (tmp_path / "t" / "c.txt").write_bytes(b"\xff")
    first, second, bad = read(TextFolderReader(path="t"), tmp_path)
    assert first == Text(identity="a.txt", path="a.txt", source="a.txt", text="first")
    assert (second.identity, second.text) == ("b/x.txt", "second")
    assert (bad.source, bad.reason) == ("c.txt", "invalid_utf8")


def test_the_extractor_goes_by_the_path(tmp_path):
    (tmp_path / "m.py").write_text('"""Doc."""\n')
    reader = TextFolderReader(path=".", extract={"*.py": "docstrings"})
    assert [t.text for t in read(reader, tmp_path, select=("*.py",))] == ["Doc."]


def test_a_file_that_is_too_large_is_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(text_folder, "MAX_DOCUMENT_BYTES", 3)
    (tmp_path / "a.txt").write_text("four")
    assert [item.reason for item in read(TextFolderReader(path="."), tmp_path)] == ["too_large"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match=r"'source.path': .*gone does not exist"):
        read(TextFolderReader(path="gone"), tmp_path)


def test_a_file_that_vanishes_is_an_error(tmp_path, monkeypatch):
    gone = SourceFile(name="gone.txt", address=str(tmp_path / "gone.txt"))
    monkeypatch.setattr(text_folder, "find_files", lambda *_, **__: [("gone.txt", gone)])
    with pytest.raises(CorpusError, match=r"gone.txt cannot be read \(.*check that it exists"):
        read(TextFolderReader(path="."), tmp_path)
