"""Secrets: private keys, access tokens of known services, passwords in addresses and assignments.

Tokens are recognised by the prefix and length that their service documents; such a prefix exists
so that leaked tokens can be found. A private key is a PEM block (RFC 7468) with a body of at least
64 characters. A password in the user part of a URL is RFC 3986, 3.2.1. A value assigned to a name
such as `api_key` counts only if it looks random: at least 16 characters, letters and digits, and
`MIN_ENTROPY_BITS` of Shannon entropy per character. Yelp's detect-secrets uses 4.5 bits for base64
without asking for a name; with the name, a lower limit does, because 16 characters hold 4 bits at
most.
"""

import math
import re
from collections import Counter

from quality.pii.detector import Detector, Span

MIN_ENTROPY_BITS = 3.5
"""Least Shannon entropy of an assigned value, bits per character."""

_TOKENS = (
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",  # Amazon Web Services
    r"gh[pousr]_[A-Za-z0-9]{36,255}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{50,255}",
    r"glpat-[A-Za-z0-9_-]{20,64}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"AIza[0-9A-Za-z_-]{35}",  # Google
    r"[sr]k_live_[0-9a-zA-Z]{16,247}",  # Stripe
    r"sk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,200}",  # OpenAI, Anthropic
    r"hf_[A-Za-z0-9]{30,64}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}",  # npm
    r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,250}",  # PyPI
    r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",  # SendGrid
    # JSON Web Token (RFC 7519):
    r"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,2000}",
)
_NAMES = (
    r"(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key"
    r"|client[_-]?secret)"
)
_VALUE = r"[A-Za-z0-9+/=_.~!$%^&*-]"
_TOKEN = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_TOKENS)})(?![A-Za-z0-9_-])", re.ASCII)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"
    r"(?P<headers>(?:\s{0,2}[A-Za-z-]{1,40}: [^\n]{1,200}\n){0,4})"
    r"(?P<body>[^-]{64,12000})-----END [A-Z ]{0,40}PRIVATE KEY-----"
)
_IN_ADDRESS = re.compile(
    r"://[A-Za-z0-9._~%-]{1,64}:(?P<value>[A-Za-z0-9._~%!$&'()*+,;=-]{3,128})@[A-Za-z0-9\[]"
)
_ASSIGNED = re.compile(
    rf"(?i:{_NAMES})[\"']?\s{{0,4}}(?:=>|:=|[:=])\s{{0,4}}"
    rf"(?P<quote>[\"'])(?P<value>{_VALUE}{{16,200}})(?P=quote)"
)
_UNQUOTED = re.compile(
    rf"(?m)^(?:export )?[A-Z0-9_]{{0,60}}(?i:{_NAMES})=(?P<value>{_VALUE}{{16,200}})$"
)
_STAND_IN = re.compile(
    r"(?i)example|your|dummy|changeme|placeholder|xxxx|test|insecure|\A(?:my)?(?:pass|pw|secret)"
)
"""What documentation writes where a secret belongs."""


def find_secret_keys(text: str) -> list[Span]:
    """Find keys, tokens and passwords."""
    spans = [match.span() for match in _PRIVATE_KEY.finditer(text)]
    spans += [match.span() for match in _TOKEN.finditer(text)]
    spans += [
        match.span("value")
        for match in _IN_ADDRESS.finditer(text)
        if not _STAND_IN.search(match.group("value"))
    ]
    spans += [
        match.span("value")
        for pattern in (_ASSIGNED, _UNQUOTED)
        for match in pattern.finditer(text)
        if _looks_random(match.group("value"))
    ]
    kept: list[Span] = []
    for start, end in sorted(spans):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def _looks_random(value: str) -> bool:
    has_both = any(char.isdigit() for char in value) and any(char.isalpha() for char in value)
    return has_both and _STAND_IN.search(value) is None and entropy_bits(value) >= MIN_ENTROPY_BITS


def entropy_bits(value: str) -> float:
    """Shannon entropy of the characters of a text that is not empty, bits per character."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


SECRET_KEYS = Detector(
    kind="secret",
    placeholder="<SECRET>",
    screen=(
        r"PRIVATE KEY-----|://[^\s/@:]{1,64}:[^\s/@]{3,128}@"
        r"|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|AIza|k_live_|sk-|hf_|npm_"
        r"|pypi-A|SG\.|eyJ"
        rf"|(?i:{_NAMES})[\"']?\s{{0,4}}(?:=>|:=|[:=])\s{{0,4}}[\"']?{_VALUE}{{16}}"
    ),
    find=find_secret_keys,
)
"""The detector."""
