"""Read the files of a source distribution or wheel where they lie, without extracting them.

Nothing is written to disk, so no member can land outside a folder; a member with such a path is an
error all the same, because a well-made distribution has none.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from quality.documents import CorpusError

TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ZIP_SUFFIXES = (".whl", ".zip")


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One entry of an archive that is not a folder."""

    path: str
    """Relative path; the top folder of a source distribution, which carries the version, is cut."""
    num_bytes: int
    """Uncompressed size."""
    read: Callable[[], bytes] | None
    """Gives the content while this member is the current one; None: a link or a device."""


def iterate_members(file: Path) -> Iterator[Member]:
    """Yield the members in the order of the archive, which its checksum fixes.

    Raises:
        CorpusError: The archive is of another kind, damaged, truncated, or has a member outside
            it; damage within a member shows when the member is read.
    """
    with _complete(file):
        if file.name.endswith(TAR_SUFFIXES):
            yield from _tar_members(file)
        elif file.name.endswith(ZIP_SUFFIXES):
            yield from _zip_members(file)
        else:
            raise CorpusError(
                f"{file}: unknown kind of archive; name a file that ends in one of "
                f"{', '.join(TAR_SUFFIXES + ZIP_SUFFIXES)}"
            )


@contextmanager
def _complete(file: Path) -> Iterator[None]:
    """Turn what the archive libraries say about damage into one error."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, LZMAError) as e:
        raise CorpusError(
            f"{file} is no complete archive ({type(e).__name__}: {e}); delete it and run again"
        ) from e


def _tar_members(file: Path) -> Iterator[Member]:
    # As a stream: a compressed tar archive cannot go back without starting over.
    with tarfile.open(file, mode="r|*") as archive:
        for entry in archive:
            if not entry.isdir():
                read = partial(_read_tar, file, archive, entry) if entry.isfile() else None
                path = _inner_path(file, entry.name)
                yield Member(path=path, num_bytes=entry.size, read=read)


def _read_tar(file: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    with _complete(file):
        stream = archive.extractfile(entry)
        assert stream is not None  # a regular file has content
        with stream:
            return stream.read()


def _zip_members(file: Path) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if not entry.is_dir():
                path = _inner_path(file, entry.filename)
                read = partial(_read_zip, file, archive, entry)
                yield Member(path=path, num_bytes=entry.file_size, read=read)


def _read_zip(file: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with _complete(file):
        return archive.read(entry)


def _inner_path(file: Path, name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise CorpusError(
            f"{file}: member {name!r} lies outside the archive; do not trust this file"
        )
    parts = path.parts if file.name.endswith(".whl") else path.parts[1:]
    return "/".join(parts or path.parts)
