import io
import tarfile
import zipfile

import pytest

from quality.archives import iterate_members
from quality.documents import CorpusError


def write_tar(file, members, mode="w:gz"):
    with tarfile.open(file, mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def contents(file):
    return [(m.path, m.num_bytes, m.read() if m.read else None) for m in iterate_members(file)]


@pytest.mark.parametrize(
    ("name", "mode"), [("p-1.tar.gz", "w:gz"), ("p-1.tar.bz2", "w:bz2"), ("p-1.tar.xz", "w:xz")]
)
def test_members_of_a_source_distribution_lose_their_top_folder(tmp_path, name, mode):
    write_tar(tmp_path / name, {"p-1/b/x.txt": b"one", "p-1/a.txt": b"two", "top": b"3"}, mode)
    assert contents(tmp_path / name) == [
        ("b/x.txt", 3, b"one"),
        ("a.txt", 3, b"two"),
        ("top", 1, b"3"),
    ]


def test_members_of_a_wheel_keep_their_path_and_those_of_a_zip_do_not(tmp_path):
    for name in ("p-1-py3-none-any.whl", "p-1.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.mkdir("p")
            archive.writestr("p/a.txt", "one")
    assert contents(tmp_path / "p-1-py3-none-any.whl") == [("p/a.txt", 3, b"one")]
    assert contents(tmp_path / "p-1.zip") == [("a.txt", 3, b"one")]


def test_links_have_no_content(tmp_path):
    with tarfile.open(tmp_path / "p-1.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("p-1/link")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    assert contents(tmp_path / "p-1.tar.gz") == [("link", 0, None)]


@pytest.mark.parametrize("name", ["/etc/passwd", "p-1/../../x", "p-1\\x"])
def test_a_member_outside_the_archive_is_an_error(tmp_path, name):
    write_tar(tmp_path / "p-1.tar.gz", {name: b"x"})
    with pytest.raises(CorpusError, match="lies outside the archive; do not trust"):
        contents(tmp_path / "p-1.tar.gz")


@pytest.mark.parametrize("name", ["p-1.tar.gz", "p-1.tar.xz", "p-1.whl"])
def test_a_truncated_archive_is_an_error(tmp_path, name):
    file = tmp_path / name
    if name.endswith(".whl"):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.txt", "x" * 5000)
    else:
        noise = bytes((i * i * 31 + i // 7) % 251 for i in range(50_000))
        write_tar(file, {"p-1/a.txt": noise}, "w:xz" if name.endswith("xz") else "w:gz")
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(CorpusError, match=rf"{name} is no complete archive .*delete it"):
        contents(file)


def test_another_kind_of_archive_is_refused(tmp_path):
    with pytest.raises(
        CorpusError, match=r"p-1.rar: unknown kind of archive; name a file that ends"
    ):
        contents(tmp_path / "p-1.rar")
