"""IPv4 and IPv6: over which of them a target is reached, and where this machine listens over each (9.1-e).

Guarantees: nothing is resolved where a profile names one address only; an address that is written in figures is of its
own version; a name is of that version which the other address has not, as far as it resolves to one.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from conformance.harness.profile_model import PartnerPlace, Target

VERSIONS: Final = (4, 6)
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}


def other(version: int) -> int:
    """Return the version that this one is not."""
    return 10 - version


def version_of(host: str) -> int:
    """Return the version of an address in figures, 0 for a name."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0


def places(target: Target) -> Mapping[int, str]:
    """Return where a target is reached over each version; raise OSError where a name does not resolve to one."""
    hosts = {url: urlsplit(url).hostname or "" for url in (target.url, target.other_url) if url}
    found = {version_of(host): url for url, host in hosts.items() if version_of(host)}
    names = [url for url, host in hosts.items() if not version_of(host)]
    for version in VERSIONS:
        if version not in found and names:
            found[version] = _in_figures(names[-1], version)
    return found


def _in_figures(url: str, version: int) -> str:
    parts = urlsplit(url)
    host = socket.getaddrinfo(parts.hostname, None, _FAMILIES[version], socket.SOCK_STREAM)[0][4][0]
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=f"{f'[{host}]' if version == 6 else host}{port}"))


def listens(place: PartnerPlace, target: str) -> str:
    """Return the host for partners of the other version than the usual one's; "" where none would be reached."""
    host = urlsplit(target).hostname or ""
    here = version_of(host) and ipaddress.ip_address(host).is_loopback
    return place.other_host or (_LOOPBACK[other(usual(place))] if here else "")


def usual(place: PartnerPlace) -> int:
    """Return the version over which partners listen anyway."""
    return version_of(place.host.strip("[]")) or 4


def missing(host: str) -> str:
    """Say why this machine cannot listen on a host; empty where it can."""
    try:
        socket.create_server((host, 0), family=_FAMILIES[version_of(host) or 4]).close()
    except OSError as failure:
        return str(failure)
    return ""
