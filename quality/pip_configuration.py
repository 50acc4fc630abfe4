"""Where the user's own pip looks for distributions.

pip is asked (`pip config list`) rather than imitated, so that its files, their precedence and its
environment variables count as they do for `pip download`: settings of [download] override [global],
the environment overrides both.
"""

import ast
import logging
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quality.documents import CorpusError

DEFAULT_INDEX = "https://pypi.org/simple"
_LINE = re.compile(r"(?P<section>[^.=]+)\.(?P<name>[^=]+)=(?P<value>.*)")
_SECTIONS = ("global", "download", ":env:")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageSources:
    """The settings of pip that decide where a distribution comes from."""

    index_urls: tuple[str, ...]
    """Simple indexes in the order in which they are asked."""
    find_links: tuple[str, ...]
    """Folders or pages with distributions, asked after the indexes."""
    trusted_hosts: tuple[str, ...]
    """Hosts that may be asked without a valid certificate."""
    certificate: Path | None
    """Bundle of certificate authorities; None: the one of the HTTP client."""
    proxy: str | None
    """Proxy URL; None: what the environment says."""
    timeout_seconds: float
    """Limit for each connection and each read, seconds."""


def list_pip_settings() -> dict[str, str]:
    """Ask pip for its configuration, as name -> value.

    Raises:
        CorpusError: pip is not installed beside this Python, or its configuration is broken.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        raise CorpusError(
            f"{' '.join(command)} failed: {listing.stderr.strip()}; repair pip's configuration, or "
            "install pip with `python -m ensurepip`"
        )
    return parse_pip_settings(listing.stdout)


def parse_pip_settings(listing: str) -> dict[str, str]:
    """Merge the lines `section.name='value'` of `pip config list` as `pip download` would."""
    sections: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listing.splitlines():
        found = _LINE.fullmatch(line.strip())
        if found is not None and found["section"] in sections:
            name = found["name"].strip().replace("_", "-")
            sections[found["section"]][name] = str(ast.literal_eval(found["value"]))
    return {name: value for section in _SECTIONS for name, value in sections[section].items()}


def choose_sources(settings: Mapping[str, str]) -> PackageSources:
    """Read the sources out of pip's settings; a find-links folder that is missing is skipped.

    Args:
        settings: As from `list_pip_settings`.

    Raises:
        CorpusError: The settings leave no source at all.
    """
    indexes: list[str] = []
    if settings.get("no-index", "false").lower() in ("false", "0", "no", "off"):
        indexes = [settings.get("index-url") or settings.get("pypi-url") or DEFAULT_INDEX]
        indexes += settings.get("extra-index-url", "").split()
    links: list[str] = []
    for link in settings.get("find-links", "").split():
        if "://" in link or Path(link).exists():
            links.append(link)
        else:
            logger.warning("pip's find-links names %s, which does not exist: skipped", link)
    if not indexes and not links:
        raise CorpusError(
            "pip's configuration has no-index and no usable find-links, so no distribution can be "
            "found; set PIP_INDEX_URL or PIP_FIND_LINKS"
        )
    certificate = settings.get("cert")
    return PackageSources(
        index_urls=tuple(indexes),
        find_links=tuple(links),
        trusted_hosts=tuple(settings.get("trusted-host", "").split()),
        certificate=Path(certificate) if certificate else None,
        proxy=settings.get("proxy"),
        timeout_seconds=float(settings.get("timeout") or settings.get("default-timeout") or 15),
    )
