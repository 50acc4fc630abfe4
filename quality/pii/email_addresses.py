"""E-mail addresses.

Local part and domain follow the dot-atom form of RFC 5322 with letters of Latin scripts, lengths as
in RFC 5321 (64 characters before the sign, labels of 63), which covers addresses as people write
them. Quoted local parts, braces, comments and address literals are left out: in real text they
belong to templates and source code.

Not personal and therefore kept: domains reserved for documentation and tests (RFC 2606, RFC 6761),
the remote of a repository (`git@host:path`), and names of image variants (`icon@2x.png`).
"""

import re

from quality.pii.detector import Detector, Span

_LATIN = "A-Za-z0-9À-ÖØ-öø-ɏ"
_LOCAL = re.compile(rf"[{_LATIN}.!#$%&'*+/=?^_`~-]{{1,64}}\Z")
_DOMAIN = re.compile(
    rf"@((?:[{_LATIN}](?:[{_LATIN}-]{{0,61}}[{_LATIN}])?\.){{1,8}}[A-Za-zÀ-ÖØ-öø-ɏ]{{2,24}})"
    rf"(?![{_LATIN}_@])"
)
_REMOTE = re.compile(r":[\w~/.-]")
_LEADING = ".!#$%&'*+/=?^`~-"
"""Characters that an address may hold but hardly begins with: quotes, slashes, signs."""
_RESERVED_DOMAINS = ("example.com", "example.org", "example.net", "localhost.localdomain")
_RESERVED_ENDINGS = (".example", ".test", ".invalid", ".localhost", ".local")
_FILE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".css", ".js", ".py", ".html")


def find_email_addresses(text: str) -> list[Span]:
    """Find addresses that may belong to somebody."""
    spans: list[Span] = []
    done = 0
    for match in _DOMAIN.finditer(text):
        window = text[max(done, match.start() - 64) : match.start()]
        local = _LOCAL.search(window)
        if local is None:
            continue
        name = local.group().lstrip(_LEADING)
        if not name or name[-1] == "." or not _may_be_personal(name, match, text):
            continue
        spans.append((match.start() - len(name), match.end()))
        done = match.end()
    return spans


def _may_be_personal(name: str, match: re.Match[str], text: str) -> bool:
    domain = match.group(1).lower()
    if domain.endswith(_FILE_ENDINGS + _RESERVED_ENDINGS):
        return False
    if any(domain == known or domain.endswith(f".{known}") for known in _RESERVED_DOMAINS):
        return False
    return not (name == "git" and _REMOTE.match(text, match.end()))


EMAIL_ADDRESSES = Detector(
    kind="email",
    placeholder="<EMAIL>",
    screen=r"[^\s@]@[^\s@.]+\.[^\s\d]{2}",
    find=find_email_addresses,
)
"""The detector."""
