import io
import tarfile
import zipfile

import pytest

from quality import documents
from quality.distributions import file_sha256
from quality.documents import CorpusError, ReadRequest
from quality.readers import package_index
from quality.readers.package_index import PackageIndexReader

MEMBERS = {
    "setup.py": b"raise SystemExit('a distribution must never be executed')",
    "docs/a.rst": b"A page.",
    "docs/b.rst": b"\xff",
    "docs/index.rst": b"Contents",
    "pkg/mod.py": b'"""Docs of a module."""\nraise SystemExit("executed")\n',
}


@pytest.fixture
def links(monkeypatch, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish_sdist(folder):
    file = folder / "tiny-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in MEMBERS.items():
            entry = tarfile.TarInfo(f"tiny-1.0/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("tiny-1.0/docs/link.rst")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file


def reader_of(file, **settings):
    settings = {"sha256": file_sha256(file), **settings}
    return PackageIndexReader(distribution="tiny", version="1.0", filename=file.name, **settings)


def read(reader, folder, select, exclude=()):
    request = ReadRequest(
        corpus="c",
        folder=folder,
        cache=folder / "cache",
        text_column="text",
        id_column=None,
        select=select,
        exclude=exclude,
    )
    return list(reader.read(request))


def test_selected_members_of_a_source_distribution_are_read_where_they_lie(links, tmp_path):
    reader = reader_of(publish_sdist(links), extract={"**/*.py": "docstrings"})
    items = read(reader, tmp_path, ("docs/*.rst", "pkg/*.py"), ("**/index.rst",))
    assert [(i.source, getattr(i, "text", None) or i.reason) for i in items] == [
        ("tiny-1.0.tar.gz/docs/a.rst", "A page."),
        ("tiny-1.0.tar.gz/docs/b.rst", "invalid_utf8"),
        ("tiny-1.0.tar.gz/pkg/mod.py", "Docs of a module."),
        ("tiny-1.0.tar.gz/docs/link.rst", "no_regular_file"),
    ]
    assert items[0].identity == items[0].path == "docs/a.rst"


def test_a_wheel_is_read_too(links, tmp_path):
    file = links / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tiny/text.txt", "In a wheel.")
    (text,) = read(reader_of(file), tmp_path, ("tiny/*.txt",))
    assert (text.identity, text.text) == ("tiny/text.txt", "In a wheel.")


def test_a_large_member_is_put_aside(links, tmp_path, monkeypatch):
    for module in (package_index, documents):
        monkeypatch.setattr(module, "MAX_DOCUMENT_BYTES", 5)
    items = read(reader_of(publish_sdist(links)), tmp_path, ("docs/a.rst",))
    assert [(i.reason, i.detail) for i in items] == [("too_large", "7 bytes, limit 5; split it")]


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ((), r"corpus 'c', field 'select': name the files to read"),
        (("docs/*.rst", "*.md"), r"'select': no file of tiny-1.0.tar.gz matches '\*\.md'; correct"),
    ],
)
def test_a_selection_that_takes_nothing_is_an_error(links, tmp_path, select, message):
    with pytest.raises(CorpusError, match=message):
        read(reader_of(publish_sdist(links)), tmp_path, select)


def test_a_truncated_distribution_with_the_stated_checksum_is_an_error(links, tmp_path):
    file = publish_sdist(links)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(CorpusError, match="is no complete archive"):
        read(reader_of(file), tmp_path, ("**/*.rst",))


def test_a_wrong_checksum_is_an_error(links, tmp_path):
    reader = reader_of(publish_sdist(links), sha256="0" * 64)
    with pytest.raises(CorpusError, match=f"wrong checksum, expected sha256 {'0' * 64}, got"):
        read(reader, tmp_path, ("**/*.rst",))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sha256": "abc"}, "sha256"),
        ({"filename": "../tiny-1.0.tar.gz"}, "filename"),
        ({"filename": "tiny-1.0.exe"}, "unknown kind of archive"),
        ({"extract": {"*": "pdf"}}, "unknown extractor 'pdf'"),
        ({"index": "https://x"}, "index"),
    ],
)
def test_wrong_settings_are_refused(changed, message):
    settings = {
        "distribution": "tiny",
        "version": "1.0",
        "filename": "tiny-1.0.tar.gz",
        "sha256": "0" * 64,
    }
    with pytest.raises(ValueError, match=message):
        PackageIndexReader(**{**settings, **changed})
