"""How many connections there may be, and which goes when there are too many: pure bookkeeping.

Rules: an address has at most `each` connections, all together at most `most`. Where an address is at its bound, its own
connection that waits longest goes; where all are, the one that waits longest at the address that has most of them. Of
an address go first those on which nothing was ever answered, so a flood takes nothing from those who keep a
connection, and nothing from other addresses. A connection whose request is being answered never goes.

>>> bounds: Bounds[str] = Bounds(most=2, each=2)
>>> for line in ("a", "b"): bounds.enter(line, "192.0.2.1"); bounds.wait(line, proven=False)
>>> bounds.victim("192.0.2.7")
'a'
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Line = TypeVar("Line")


def whose(address: str) -> str:
    """Return for whom an address counts: an IPv4 address for itself, an IPv6 address for its network of 64 bits."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False).network_address)


@dataclass(slots=True)
class _Party(Generic[Line]):
    """What one address has: how many connections, and those that wait, the longest waiting first."""

    count: int = 0
    fresh: dict[Line, None] = field(default_factory=dict)
    proven: dict[Line, None] = field(default_factory=dict)

    @property
    def first(self) -> Line | None:
        """The connection that goes first."""
        return next(iter(self.fresh), None) or next(iter(self.proven), None)


class Bounds(Generic[Line]):
    """Who has which connections. Not for several threads at once."""

    def __init__(self, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._whose: dict[Line, str] = {}
        self._parties: dict[str, _Party[Line]] = {}

    def __len__(self) -> int:
        """Return how many connections there are."""
        return len(self._whose)

    def full(self, address: str, *, exempt: bool = False) -> bool:
        """Tell whether one more connection of this address needs another to go."""
        party = self._parties.get(address)
        crowded = party is not None and party.count >= self._each and not exempt
        return crowded or len(self._whose) >= self._most

    def victim(self, address: str, *, exempt: bool = False) -> Line | None:
        """Return the connection that goes so that this address may have one more; None where none can go."""
        party = self._parties.get(address)
        if party is not None and party.count >= self._each and not exempt:
            return party.first
        best = max(self._parties.values(), key=lambda each: (len(each.fresh), len(each.proven)), default=None)
        if best is not None and not best.fresh:
            best = max(self._parties.values(), key=lambda each: len(each.proven))
        return None if best is None else best.first

    def enter(self, line: Line, address: str) -> None:
        """Count a connection."""
        self._whose[line] = address
        self._parties.setdefault(address, _Party()).count += 1

    def wait(self, line: Line, *, proven: bool) -> None:
        """Note that a connection waits for its other end; `proven` where something was answered on it."""
        party = self._parties[self._whose[line]]
        (party.proven if proven else party.fresh)[line] = None

    def work(self, line: Line) -> None:
        """Note that a connection is served."""
        party = self._parties[self._whose[line]]
        party.fresh.pop(line, None)
        party.proven.pop(line, None)

    def leave(self, line: Line) -> None:
        """Forget a connection."""
        address = self._whose.pop(line, None)
        if address is None:
            return
        party = self._parties[address]
        party.count -= 1
        party.fresh.pop(line, None)
        party.proven.pop(line, None)
        if not party.count:
            del self._parties[address]
