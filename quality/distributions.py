"""Fetch a distribution from the user's package index, without installing or executing anything.

(`pip download` would run the setup script of a source distribution.) A file is accepted only with
the sha256 that the catalogue states, and kept in a cache under that name.
"""

import hashlib
import logging
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from quality.documents import CorpusError
from quality.pip_configuration import PackageSources, choose_sources, list_pip_settings

if TYPE_CHECKING:
    from unearth import Link
    from unearth.fetchers import Fetcher, PyPIClient

_CHUNK_BYTES = 1 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One file on a package index."""

    name: str
    """Name of the project, such as `django`."""
    version: str
    """Version, such as `5.2.19`."""
    filename: str
    """File of that version: a source distribution or a wheel."""
    sha256: str
    """Expected checksum of the file, 64 hexadecimal digits."""


def fetch_distribution(distribution: Distribution, cache: Path) -> Path:
    """Return the path of the verified file, from the cache or downloaded into it.

    Args:
        distribution: What to fetch.
        cache: Folder that holds one folder per sha256; made if missing.

    Raises:
        CorpusError: The file is not found, cannot be downloaded or has another checksum.
        OSError: The cache cannot be written; names the folder.
    """
    file = cache / distribution.sha256 / distribution.filename
    if file.is_file():
        if file_sha256(file) == distribution.sha256:
            return file
        logger.warning("%s is damaged in the cache and is downloaded again", file)
    sources = choose_sources(list_pip_settings())
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        origin = _download(distribution, sources, temporary)
        found = file_sha256(temporary)
        if found != distribution.sha256:
            raise CorpusError(
                f"{distribution.filename} from {origin}: wrong checksum, expected sha256 "
                f"{distribution.sha256}, got {found}; if the file was replaced on purpose, correct "
                "'source.sha256' in the catalogue, otherwise do not trust that index"
            )
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return file


def file_sha256(file: Path) -> str:
    """Compute the sha256 of a file as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(distribution: Distribution, sources: PackageSources, target: Path) -> str:
    """Write the first file of that name to `target`; return where it came from, without secrets."""
    import httpx2
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import PyPIClient

    verify = ssl.create_default_context(cafile=sources.certificate) if sources.certificate else True
    with PyPIClient(
        trusted_hosts=sources.trusted_hosts,
        verify=verify,
        proxy=sources.proxy,
        timeout=sources.timeout_seconds,
        follow_redirects=True,
    ) as session:
        session.auth = MultiDomainBasicAuth(prompting=False, index_urls=sources.index_urls)
        link = _find(distribution, sources, session)
        try:
            with session.get_stream(link.normalized) as response, target.open("wb") as stream:
                response.raise_for_status()
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    stream.write(chunk)
        except OSError as error:
            raise OSError(
                f"{target} cannot be written ({error}); free space in the cache folder"
            ) from error
        except httpx2.HTTPError as error:
            raise CorpusError(
                f"{distribution.filename}: download from {link.redacted} failed ({error}); check "
                "the network and pip's configuration (`pip config list`), then run again"
            ) from error
    return link.redacted


def _find(distribution: Distribution, sources: PackageSources, session: "PyPIClient") -> "Link":
    """Ask one source after the other for the file."""
    import httpx2
    from unearth import Link, PackageFinder

    answers: list[str] = []
    places = [(url, True) for url in sources.index_urls] + [
        (url, False) for url in sources.find_links
    ]
    for url, is_index in places:
        finder = PackageFinder(
            # unearth states its protocol more narrowly than its own client is typed
            cast("Fetcher", session),
            index_urls=[url] if is_index else [],
            find_links=[] if is_index else [url],
            trusted_hosts=sources.trusted_hosts,
            ignore_compatibility=True,  # it is read, not installed
        )
        shown = Link(url).redacted if "://" in url else url
        try:
            packages = finder.find_all_packages(distribution.name, allow_yanked=True)
            links = [p.link for p in packages if p.version == distribution.version]
        except httpx2.HTTPError as error:
            answers.append(f"{shown}: not reachable ({error})")
            continue
        for link in links:
            if link.filename == distribution.filename:
                return link
        others = sorted({link.filename for link in links})
        answers.append(f"{shown}: {', '.join(others[:3]) if others else 'no such version'}")
    raise CorpusError(
        f"distribution {distribution.name} {distribution.version}: no file {distribution.filename} "
        f"was found. Asked: {'; '.join(answers)}. Check 'source' in the catalogue, the network "
        "and pip's configuration (`pip config list`)"
    )
