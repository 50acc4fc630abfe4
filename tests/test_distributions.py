import hashlib
import io
import os
import tarfile

import pytest

from quality.distributions import Distribution, fetch_distribution, file_sha256
from quality.documents import CorpusError

UNREACHABLE = "http://127.0.0.1:9/simple"  # the discard port: nobody listens


@pytest.fixture
def links(monkeypatch, tmp_path):
    """A folder that pip is told to look into, and nowhere else."""
    folder = tmp_path / "links"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish(folder, filename="tiny_corpus-1.0.tar.gz", text=b"hello"):
    with tarfile.open(folder / filename, "w:gz") as archive:
        entry = tarfile.TarInfo("tiny_corpus-1.0/a.txt")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return Distribution(
        name="tiny-corpus",
        version="1.0",
        filename=filename,
        sha256=file_sha256(folder / filename),
    )


def test_the_checksum_is_that_of_the_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


def test_a_file_is_found_through_pips_settings_and_then_comes_from_the_cache(links, tmp_path):
    wanted = publish(links)
    file = fetch_distribution(wanted, tmp_path / "cache")
    assert file == tmp_path / "cache" / wanted.sha256 / wanted.filename
    assert file.read_bytes() == (links / wanted.filename).read_bytes()
    (links / wanted.filename).unlink()
    assert fetch_distribution(wanted, tmp_path / "cache") == file
    assert [path.name for path in file.parent.iterdir()] == [wanted.filename]


def test_a_damaged_file_in_the_cache_is_replaced(links, tmp_path, caplog):
    wanted = publish(links)
    file = fetch_distribution(wanted, tmp_path / "cache")
    file.write_bytes(b"damaged")
    assert file_sha256(fetch_distribution(wanted, tmp_path / "cache")) == wanted.sha256
    assert "is damaged in the cache" in caplog.text


def test_a_simple_index_is_read_and_an_unreachable_one_passed_over(links, tmp_path, monkeypatch):
    index = tmp_path / "index" / "tiny-corpus"
    index.mkdir(parents=True)
    wanted = publish(index)
    (index / "index.html").write_text(f'<a href="{wanted.filename}">{wanted.filename}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", UNREACHABLE)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", (tmp_path / "index").as_uri())
    file = fetch_distribution(wanted, tmp_path / "cache")
    assert file_sha256(file) == wanted.sha256


def test_a_wrong_checksum_names_both_and_leaves_nothing_behind(links, tmp_path):
    wanted = publish(links)
    actual = wanted.sha256
    (links / wanted.filename).unlink()
    publish(links, text=b"replaced")
    found = file_sha256(links / wanted.filename)
    assert found != actual
    message = (
        rf"{wanted.filename} from file://.*: wrong checksum, expected sha256 {actual}, got {found}"
    )
    with pytest.raises(CorpusError, match=message):
        fetch_distribution(wanted, tmp_path / "cache")
    assert list((tmp_path / "cache" / actual).iterdir()) == []


@pytest.mark.parametrize(
    ("version", "filename", "answer"),
    [
        ("2.0", "tiny_corpus-2.0.tar.gz", "no such version"),
        ("1.0", "tiny_corpus-1.0-py3-none-any.whl", r"tiny_corpus-1\.0\.tar\.gz"),
    ],
)
def test_a_file_that_is_nowhere_names_what_was_asked(links, tmp_path, version, filename, answer):
    publish(links)
    wanted = Distribution(name="tiny-corpus", version=version, filename=filename, sha256="0" * 64)
    message = rf"tiny-corpus {version}: no file {filename} was found. Asked: .*links: {answer}\."
    with pytest.raises(CorpusError, match=message):
        fetch_distribution(wanted, tmp_path / "cache")


def test_without_a_network_the_error_says_so(links, tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", UNREACHABLE.replace("//", "//user:secret@"))
    wanted = Distribution(name="tiny", version="1", filename="tiny-1.tar.gz", sha256="0" * 64)
    with pytest.raises(CorpusError, match="not reachable") as caught:
        fetch_distribution(wanted, tmp_path / "cache")
    assert "secret" not in str(caught.value)


def test_a_full_disk_names_the_file_of_the_cache(links, tmp_path, monkeypatch):
    wanted = publish(links)
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    monkeypatch.setattr("tempfile.mkstemp", lambda **_: (os.open(full, os.O_WRONLY), str(full)))
    with pytest.raises(OSError, match=r"full cannot be written .*No space left.*; free space"):
        fetch_distribution(wanted, tmp_path / "cache")
