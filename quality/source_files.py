"""Files that texts are read from: on local disks, or behind any URL that fsspec knows.

An address with `://` is a URL (`s3://bucket/folder`, `https://...`, `file:///...`, `memory://...`);
every other one is a path of this machine. Remote files are read in blocks as they are needed and
not copied.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from quality.documents import CorpusError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One file of a source."""

    name: str
    """Path relative to the source, with forward slashes; its own name if the source is one file."""
    address: str
    """Path or URL."""

    def __str__(self) -> str:
        return self.address

    @property
    def suffix(self) -> str:
        """Last ending of the name, `.gz` for example, or nothing."""
        return Path(self.name).suffix

    def open(self) -> IO[bytes]:
        """Open for reading; the caller closes it.

        Raises:
            OSError: The file is gone or may not be read.
        """
        if not is_url(self.address):
            return Path(self.address).open("rb")
        system, path = _file_system(self.address)
        stream: IO[bytes] = system.open(path, "rb")
        return stream

    def num_bytes(self) -> int:
        """Size as stored.

        Raises:
            OSError: The file is gone or may not be read.
        """
        if not is_url(self.address):
            return Path(self.address).stat().st_size
        system, path = _file_system(self.address)
        return int(system.size(path))


def is_url(address: str) -> bool:
    """Whether an address is a URL and no path."""
    return "://" in address


def list_files(address: str) -> list[SourceFile]:
    """List one file, or every file below a folder, sorted by name.

    Args:
        address: Path or URL of a file or folder.

    Raises:
        CorpusError: Nothing is there, or the kind of URL is unknown or cannot be reached.
    """
    if not is_url(address):
        return _list_local(Path(address))
    try:
        system, root = _file_system(address)
        if system.isfile(root):
            return [SourceFile(name=Path(root).name, address=address)]
        found = system.find(root)
    except OSError as error:
        raise CorpusError(f"{address} cannot be listed ({error}); correct the URL") from error
    if not found:
        raise CorpusError(f"{address} does not exist or is empty; correct the URL")
    base = system._strip_protocol(root).rstrip("/") + "/"
    named = {path.removeprefix(base): str(system.unstrip_protocol(path)) for path in found}
    return [SourceFile(name=name, address=named[name]) for name in sorted(named)]


def _list_local(root: Path) -> list[SourceFile]:
    if root.is_file():
        return [SourceFile(name=root.name, address=str(root))]
    if not root.is_dir():
        raise CorpusError(f"{root} does not exist; correct the path")
    found = ((file.relative_to(root).as_posix(), file) for file in root.rglob("*"))
    return [
        SourceFile(name=name, address=str(file)) for name, file in sorted(found) if file.is_file()
    ]


def _file_system(address: str) -> "tuple[AbstractFileSystem, str]":
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address)
    except (ValueError, ImportError) as error:  # unknown protocol, or its package is not installed
        raise CorpusError(f"{address} cannot be opened: {error}") from error
    return system, str(path)
