"""Where other nodes say that they are: one spelling of each address, and which networks this node goes to (8.1.2-a).

An address is taken in plain spelling only: `0`, `2130706433` or `0x7f.1` are loopback to a resolver and nothing to a
reader, so they are refused whatever the policy. What is left is a literal IP address or a name; a name says where it
leads only when it is resolved, so each resolved address is judged (`Policy.judge`), never the name. What is taken is
written down in `specs/protocols/addresses.md`.

>>> read("http://127.0.0.1:8801/a").origin
('127.0.0.1', 8801)
>>> Policy(("public",)).judge(ip_address("::ffff:127.0.0.1"))
<Reason.LOOPBACK: 'loopback'>
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

SPOOL: Final = "spool"
GRPC: Final = "grpc"
HTTP: Final = frozenset({"http", "https"})
_USUAL: Final = {"http": 80, "https": 443}
_PORT_MOST: Final = 65_535
_LONGEST: Final = 512

IP = IPv4Address | IPv6Address


class Reason(StrEnum):
    """Why an address is refused."""

    SPELLING = "spelling"  # characters or a form that a plain address has not
    SCHEME = "scheme"  # a protocol that is not spoken to partners there
    USER = "user"  # user information
    HOST = "host"  # neither a plain IP address nor a plain name
    PORT = "port"  # none, or out of range
    PATH = "path"  # dot segments, empty segments, escapes, a query or a fragment
    GAP = "gap"  # spool:// to another node than the one whose address it is, or across a gap that is not configured
    OWN = "own"  # this node itself
    LOOPBACK = "loopback"
    PRIVATE = "private"
    LINK_LOCAL = "link-local"
    MULTICAST = "multicast"
    UNSPECIFIED = "unspecified"
    RESERVED = "reserved"  # broadcast, documentation, benchmarking, shared and other ranges that are not public


class Unfit(Exception):
    """An address that is refused."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Place:
    """An address that is spelled plainly: the host in lower case and without brackets, the path without its last /."""

    scheme: str
    host: str
    port: int
    path: str
    literal: IP | None

    @property
    def origin(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port


_PLAIN: Final = re.compile(r"[!-~]+")
_LABEL: Final = r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"({_LABEL}\.)*{_LABEL}")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label that resolvers take for a number
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
_NODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


@lru_cache(maxsize=4096)
def read(address: str) -> Place:
    """Return an address as it is meant; raise Unfit where it is not spelled plainly (RFC 3986)."""
    if not _PLAIN.fullmatch(address) or len(address) > _LONGEST or "\\" in address:
        raise Unfit(Reason.SPELLING)
    try:
        parts = urlsplit(address)
    except ValueError:
        raise Unfit(Reason.HOST) from None
    if parts.scheme == SPOOL:
        if not _NODE.fullmatch(parts.netloc) or address != f"{SPOOL}://{parts.netloc}":
            raise Unfit(Reason.SPELLING)
        return Place(SPOOL, parts.netloc, 0, "", None)
    if parts.scheme not in HTTP | {GRPC} or not parts.netloc:
        raise Unfit(Reason.SCHEME)
    if "@" in parts.netloc:
        raise Unfit(Reason.USER)
    if "#" in address or "?" in address:
        raise Unfit(Reason.PATH)
    host, literal = _host(parts.netloc)
    return Place(parts.scheme, host, _port(parts.netloc, parts.scheme), _path(parts.path, parts.scheme), literal)


def _host(netloc: str) -> tuple[str, IP | None]:
    bracketed = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](:[0-9]*)?", netloc)
    host = bracketed[1] if bracketed else netloc.partition(":")[0].lower()
    try:
        literal = ip_address(host)
    except ValueError:
        literal = None
    if bracketed:
        if not isinstance(literal, IPv6Address):
            raise Unfit(Reason.HOST)
        return str(literal), literal
    last = host.rpartition(".")[2]
    if literal is None and (not _NAME.fullmatch(host) or _NUMBER.fullmatch(last) or len(host) > 253):
        raise Unfit(Reason.HOST)
    return host, literal


def _port(netloc: str, scheme: str) -> int:
    rest = netloc.rpartition("]")[2] if netloc.startswith("[") else netloc
    _, colon, given = rest.partition(":")
    if not colon and scheme in _USUAL:
        return _USUAL[scheme]
    if not re.fullmatch(r"[1-9][0-9]{0,4}", given) or int(given) > _PORT_MOST:
        raise Unfit(Reason.PORT)
    return int(given)


def _path(path: str, scheme: str) -> str:
    path = path.removesuffix("/")
    segments = path.split("/")[1:]
    plain = all(_SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in segments)
    if not plain or (scheme == GRPC and path):
        raise Unfit(Reason.PATH)
    return path


# --- which networks ---------------------------------------------------------------------------------------------------

PUBLIC: Final = "public"
CLASSES: Final = (PUBLIC, Reason.PRIVATE.value, Reason.LOOPBACK.value)
_PRIVATE: Final = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_TRANSLATED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))  # an IPv4 address in the last 32 bits
_NEVER: Final = frozenset({Reason.UNSPECIFIED, Reason.MULTICAST, Reason.LINK_LOCAL})
_BROADCAST: Final = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Policy:
    """Where this node's calls may go: classes (`public`, `private`, `loopback`) and networks in CIDR notation.

    Link-local, multicast and unspecified addresses and broadcast are never called: no class and no network opens them.
    """

    networks: tuple[str, ...] = (PUBLIC,)

    def judge(self, address: IP) -> Reason | None:
        """Return why an address may not be called, None where it may; judged as well is the IPv4 address within it."""
        for meant in _meant(address):
            kind = kind_of(meant)
            if kind in _NEVER or meant == _BROADCAST:
                return kind
            if (kind.value if kind else PUBLIC) not in self.networks and not self._named(meant):
                return kind or Reason.RESERVED
        return None

    def _named(self, address: IP) -> bool:
        return any(address in ip_network(item) for item in self.networks if item not in CLASSES)


def kind_of(address: IP) -> Reason | None:
    """Return what an address is, None for a public one."""
    if address.is_unspecified:
        return Reason.UNSPECIFIED
    if address.is_loopback:
        return Reason.LOOPBACK
    if address.is_link_local:
        return Reason.LINK_LOCAL
    if address.is_multicast:
        return Reason.MULTICAST
    if any(address in network for network in _PRIVATE):
        return Reason.PRIVATE
    return None if address.is_global and not address.is_reserved else Reason.RESERVED


def network_problem(networks: Iterable[str]) -> str | None:
    """Return the first item that is neither a class nor a network in CIDR notation."""
    for item in networks:
        try:
            if item not in CLASSES:
                ip_network(item)
        except ValueError:
            return item
    return None


def _meant(address: IP) -> tuple[IP, ...]:
    """Return what a connection to an address reaches: itself, and in IPv6 the IPv4 address that it carries."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    carried: list[IP] = [address.sixtofour] if address.sixtofour else list(address.teredo or ())
    if not (address.is_loopback or address.is_unspecified) and any(address in network for network in _TRANSLATED):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return (address, *carried)
