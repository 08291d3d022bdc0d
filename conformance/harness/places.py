"""Where the nodes that are played call from, and what is done where the target locks that place out.

A target counts the failures of whom it does not know against the address that they come from. On one machine each node
that is played therefore has an address of its own, of the many that Linux has for loopback; elsewhere all share the
machine's. Guarantees: a scenario that meets a lock-out which another one has caused waits it out and asks again, a few
times, where the profile's lock-out is short; scenarios about lock-outs see them as they come.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from conformance.harness.steps import Told
    from conformance.harness.world import World

LOCKED_OUT = "LOCKED_OUT"
LOOPBACK = "127.0.0.1"
LONGEST_LOCKOUT = 5  # seconds that are waited for
_TIMES = 4
_GRACE = 0.2


def of(host: str, node_id: str) -> str:
    """Return the address that a node calls a host from, "" where it has none of its own."""
    if host != LOOPBACK or not node_id or not sys.platform.startswith("linux"):
        return ""
    second, third, fourth = sha256(node_id.encode()).digest()[:3]
    return f"127.{second % 254 + 1}.{third}.{fourth % 254 + 1}"


class FromPlace(requests.adapters.HTTPAdapter):
    """Carries requests from one address of this machine."""

    def __init__(self, address: str, pool_connections: int, pool_maxsize: int) -> None:
        self._address = address
        super().__init__(pool_connections=pool_connections, pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools with the address."""
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


def waited_out(world: World, ask: Callable[[], Told]) -> Told:
    """Ask, and again after each lock-out that this scenario has not caused."""
    told = ask()
    seconds = world.profile.timings.lockout_seconds
    if not world.waits_out_lockouts or seconds > LONGEST_LOCKOUT:
        return told
    for _ in range(_TIMES):
        if told.reading is None or told.reading.error != LOCKED_OUT:
            break
        world.elapse(seconds + _GRACE)
        told = ask()
    return told
