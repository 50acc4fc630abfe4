"""Public IP addresses of version 4 and 6, validated by Python's `ipaddress`.

As in FineWeb (Penedo et al. 2024, arXiv:2406.17557) only addresses of the public internet count:
private, loopback, link-local and documentation ranges name nobody.

Deviations, both because numbers with dots are more often something else: an address of version 4
counts only if one of its numbers has three digits, which sections and versions have not and 97.7 %
of all addresses have, and if it does not follow the word "version", "release", "section" or a
section sign. Of version 6 only 2000::/3 counts, the range that is assigned to the internet
(RFC 4291), because `ab::cd` is also a name in several languages.
"""

import ipaddress
import re

from quality.pii.detector import Detector, Span

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_VERSION_4 = re.compile(
    rf"(?<![\w.:-])(?P<address>{_OCTET}(?:\.{_OCTET}){{3}})(?![\w]|\.[0-9]|-[0-9])", re.ASCII
)
_NUMBERED = re.compile(r"(?:\b(?:version|release|section|sec\.|v\.)|§)\s{0,3}\Z", re.IGNORECASE)
_VERSION_6 = re.compile(
    r"(?<![\w:.])(?P<address>[23][0-9a-fA-F]{3}:[0-9a-fA-F:]{2,34}[0-9a-fA-F:])(?![\w:])", re.ASCII
)
_ASSIGNED_6 = ipaddress.IPv6Network("2000::/3")


def find_ip_addresses(text: str) -> list[Span]:
    """Find addresses on the public internet."""
    spans = [
        match.span("address")
        for match in _VERSION_4.finditer(text)
        if _is_public_4(match.group("address"))
        and not _NUMBERED.search(text[max(0, match.start() - 16) : match.start()])
    ]
    spans += [
        match.span("address")
        for match in _VERSION_6.finditer(text)
        if _is_public_6(match.group("address"))
    ]
    return sorted(spans)


def _is_public_4(written: str) -> bool:
    address = ipaddress.IPv4Address(written)
    has_large_number = any(int(number) > 99 for number in written.split("."))
    return has_large_number and address.is_global and not address.is_multicast


def _is_public_6(written: str) -> bool:
    try:
        address = ipaddress.IPv6Address(written)
    except ipaddress.AddressValueError:
        return False
    return address in _ASSIGNED_6 and address.is_global


IP_ADDRESSES = Detector(
    kind="ip",
    placeholder="<IP_ADDRESS>",
    screen=(
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9a-fA-F]{3}:[0-9a-fA-F]{0,4}:[0-9a-fA-F:]"
    ),
    find=find_ip_addresses,
)
"""The detector."""
