import pytest
from fsspec.implementations.memory import MemoryFileSystem

from quality.documents import CorpusError, ReadRequest
from quality.readers.jsonl import JsonlReader
from quality.readers.parquet import ParquetReader
from quality.readers.text_folder import TextFolderReader
from quality.source_files import SourceFile, is_url, list_files


@pytest.fixture
def remote(tmp_path):
    """Write files into memory; gives their URL."""
    system = MemoryFileSystem()

    def write(**files):
        for name, content in files.items():
            system.pipe(f"/{tmp_path.name}/{name.replace('_', '/', 1).replace('_', '.')}", content)
        return f"memory://{tmp_path.name}"

    return write


def test_files_of_a_url_and_of_a_folder_are_listed_alike(tmp_path, remote):
    url = remote(b_x_txt=b"second", a_y_txt=b"first")
    for name, content in (("b/x.txt", "second"), ("a/y.txt", "first")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    for address in (url, str(tmp_path), tmp_path.as_uri()):
        files = list_files(address)
        assert [file.name for file in files] == ["a/y.txt", "b/x.txt"]
        assert [file.num_bytes() for file in files] == [5, 6]
        with files[1].open() as stream:
            assert stream.read() == b"second"
        (alone,) = list_files(files[0].address)
        assert (alone.name, alone.suffix) == ("y.txt", ".txt")


@pytest.mark.parametrize(
    ("reader", "name", "content"),
    [
        (JsonlReader, "in_d_jsonl", b'{"text": "hello"}\n'),
        (TextFolderReader, "in_d_txt", b"hello"),
    ],
)
def test_readers_of_a_catalogue_take_urls(tmp_path, remote, reader, name, content):
    url = remote(**{name: content})
    request = ReadRequest(
        corpus="c",
        folder=tmp_path,
        cache=tmp_path,
        text_column="text",
        id_column=None,
        select=(),
        exclude=(),
    )
    assert [item.text for item in reader(path=url).read(request)] == ["hello"]
    with pytest.raises(CorpusError, match=r"'source.path': memory://.*gone"):
        list(ParquetReader(path=f"{url}/gone").read(request))


def test_what_is_a_url():
    assert is_url("s3://bucket/x")
    assert not is_url("/data/a:b")


def test_a_file_that_is_gone_is_an_error(tmp_path, remote):
    for address in (str(tmp_path / "gone"), f"{remote(a_x=b'')}/gone"):
        file = SourceFile(name="gone", address=address)
        with pytest.raises(OSError, match="gone"):
            file.open()
        with pytest.raises(OSError, match="gone"):
            file.num_bytes()
