"""Where this node's calls may go: each address is read, resolved and judged before anything is sent (9.2-e).

Guarantees: what is connected to is one of the very IP addresses that were judged, at every connection anew, so a name
that leads elsewhere by then gains nothing; a name of which one address may not be called is not called at all; this
node is not called by itself; across the isolation gap a node is reached under its own id only. Names of RFC 6761 that
lead nowhere are never looked up.

>>> places.judged("http://node-b.example:8801", "node-b")   # resolved, and each address within the policy
(IPv4Address('198.51.100.7'),)
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from reference_node.domain.places import IP, SPOOL, Place, Policy, Reason, Unfit, read
from reference_node.faults import Faults

Resolver = Callable[[str], Sequence[str]]
_NOWHERE: Final = (".invalid", ".test")
_PATIENCE: Final = 1.0  # seconds that whoever applies can have a name looked up
_AT_ONCE: Final = 2  # lookups on behalf of others
_KEPT: Final = 1024


def resolve(host: str) -> Sequence[str]:
    """Return all addresses of a name, none where it has none or nobody can tell."""
    if f".{host}".endswith(_NOWHERE):
        return ()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(item[4][0]) for item in found))


class Places:
    """The judge of one node; any thread may use it.

    `bound` are the host and port of each socket that the node listens on, `announced` where it says that it is.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        resolver: Resolver = resolve,
        beyond: frozenset[str] = frozenset(),
        faults: Faults | None = None,
    ) -> None:
        self._faults = Faults() if faults is None else faults
        self._resolver = resolver
        self._beyond = beyond
        self._lookups = threading.BoundedSemaphore(_AT_ONCE)
        self._verdict = lru_cache(maxsize=_KEPT)(policy.judge)
        self.bound: tuple[tuple[str, int], ...] = ()
        self.announced: Callable[[], Sequence[str]] = tuple

    def judged(self, address: str, node_id: str) -> tuple[IP, ...]:
        """Return the IP addresses of a node's address, none where it has none just now; raise Unfit."""
        place = self._read(address, node_id)
        return () if place.scheme == SPOOL else self.connectable(place.host, place.port)

    def told(self, address: str, node_id: str, *, schemes: frozenset[str]) -> tuple[IP, ...]:
        """Judge an address that somebody tells, or that is to be shown; a name is looked up for a second at most."""
        place = self._read(address, node_id)
        if place.scheme not in schemes:
            raise Unfit(Reason.SCHEME)
        if not self._faults.on("own-address-taken") and any(_within(place, own) for own in self.announced()):
            raise Unfit(Reason.OWN)
        if place.scheme == SPOOL:
            return ()
        if place.literal is not None:
            return self.connectable(place.host, place.port)
        if not self._lookups.acquire(blocking=False):
            return ()
        found: list[Sequence[str]] = []

        def _look() -> None:
            try:
                found.append(self._resolver(place.host))
            finally:
                self._lookups.release()

        looking = threading.Thread(target=_look, name="name-lookup", daemon=True)
        looking.start()
        looking.join(_PATIENCE)
        return self._allowed(found[0], place.port) if found else ()

    def connectable(self, host: str, port: int) -> tuple[IP, ...]:
        """Return the judged IP addresses of a host, to connect to one of them and nothing else; raise Unfit."""
        return self._allowed(_literal(host) or self._resolver(host), port)

    def _read(self, address: str, node_id: str) -> Place:
        place = read(address)
        if place.scheme == SPOOL and (place.host != node_id or node_id not in self._beyond):
            raise Unfit(Reason.GAP)
        return place

    def _allowed(self, found: Sequence[str], port: int) -> tuple[IP, ...]:
        addresses = tuple(dict.fromkeys(ip_address(item.partition("%")[0]) for item in found))
        for address in addresses:
            reason = self._verdict(address)
            if reason is not None:
                raise Unfit(reason)
            own = any(port == own_port and _ours(host, address) for host, own_port in self.bound)
            if own and not self._faults.on("own-address-taken"):
                raise Unfit(Reason.OWN)
        return addresses


def _literal(host: str) -> tuple[str, ...]:
    try:
        return (str(ip_address(host)),)
    except ValueError:
        return ()


def _within(place: Place, own: str) -> bool:
    """Tell whether an address leads to one of this node's own, whose path it may go on from."""
    try:
        ours = read(own)
    except Unfit:
        return False
    rest = place.path.removeprefix(ours.path) if place.path.startswith(ours.path) else None
    return place.origin == ours.origin and rest is not None and rest[:1] in ("", "/")


def _ours(bound: str, address: IP) -> bool:
    """Tell whether a socket that is bound here is reached at an address."""
    own = ip_address(*_literal(bound) or ("127.0.0.1",))  # the one name that is listened on is localhost
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return own == address or (own.is_unspecified and _local(address))


@lru_cache(maxsize=_KEPT)
def _local(address: IP) -> bool:
    """Tell whether an address is of this machine: no other can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def policy_of(networks: Sequence[str] | None, hosts: Sequence[str]) -> Policy:
    """Return the policy that is configured, else the usual one: public, and loopback where nobody else can call here.

    A node that listens on the loopback interface alone has its partners there: the demonstration, a laboratory.
    """
    if networks is not None:
        return Policy(tuple(networks))
    return Policy(("public", "loopback") if all(map(_loopback, hosts)) else ("public",))


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
