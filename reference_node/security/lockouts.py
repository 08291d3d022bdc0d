"""Who is refused for a while after failures of authentication (9.2-a-5), and what a failure counts against.

Guarantees: a failure counts against what proved something, the node that the connection's certificate is of, else
against the remote address alone, and never against an id that a request merely claims. A node that its certificate has
proved is refused whole while it is locked out. A locked address refuses only what does not prove itself: whoever signs
rightly is served from there too, for behind a balancer all partners come from one address. What fails from a locked
address costs a verification and writes nothing. The rows are bounded: one for each node or address (of IPv6 for each
/64), `MOST` in all, of which the oldest make way.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, tuple_
from sqlalchemy.orm import Session

from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security import signing
from reference_node.security.incoming import Incoming
from reference_node.store.guards import LockoutRow

MOST: Final = 10_000  # rows
EVICTED: Final = 500  # of them at once, so that a flood pays for its room seldom
_NETWORK_BITS: Final = 64  # what one subscriber of IPv6 has to himself
_FOR_EVER: Final = 2**53
# built once: making and hashing a statement costs as much as running it
_LOCKOUT: Final = select(LockoutRow.locked_until).where(
    LockoutRow.source == bindparam("locked"), LockoutRow.remote == bindparam("remote")
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands: whether failures are on record that a success ends, and how long (ms) it is locked still."""

    failures: bool = False
    left_ms: int = 0


def block(remote: str) -> str:
    """Return what failures from an address count against: it alone, of IPv6 its /64; what is no address as it is."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote[:64]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))


def standing(node: Node, connection: Connection, incoming: Incoming) -> Standing:
    """Return how the caller stands; raise LOCKED_OUT where it is refused whatever it shows."""
    source, remote = _charged(node, incoming)
    row = connection.execute(_LOCKOUT, {"locked": source, "remote": remote}).first()
    if row is None:
        return Standing()
    left = row.locked_until - node.now()
    if left <= 0:
        return Standing(failures=True)
    if source or node.faults.on("locked-address-locks-proved-caller"):
        raise _locked_out(node, left)
    return Standing(left_ms=left)


def failed(node: Node, incoming: Incoming, before: Standing, *, counts: bool = True) -> None:
    """Count a failure of authentication; raise LOCKED_OUT where the caller is locked out already."""
    if before.left_ms > 0:
        raise _locked_out(node, before.left_ms)
    if not counts or node.faults.on("lockout-never-triggers"):
        return
    source, remote = _charged(node, incoming)
    now = node.now()
    with node.store.begin() as session:
        row = session.get(LockoutRow, (source, remote))
        if row is None:
            _make_room(session, now)
            row = LockoutRow(source=source, remote=remote, failures=0, locked_until=0, failed_at=now)
            session.add(row)
        row.claimed, row.seen_from = incoming.headers[signing.SOURCE], incoming.remote
        row.failures += 1
        row.failed_at = now
        if row.failures >= node.config.lockout_threshold:
            row.failures = 0
            row.locked_until = now + node.config.lockout_seconds * 1000
            if node.faults.on("lockout-never-ends"):
                row.locked_until = _FOR_EVER


def forgive(node: Node, incoming: Incoming, before: Standing) -> None:
    """Forget the failures that a success ends: only those in a row count. A lock-out that stands is not ended by it."""
    if not before.failures or node.faults.on("lockout-counts-across-successes"):
        return
    source, remote = _charged(node, incoming)
    with node.store.begin() as session:
        session.execute(
            delete(LockoutRow).where(
                LockoutRow.source == source, LockoutRow.remote == remote, LockoutRow.locked_until <= node.now()
            )
        )


def prune(node: Node, session: Session) -> None:
    """Forget failures that nobody waits for any more."""
    now = node.now()
    aged = now - 2 * node.config.lockout_seconds * 1000
    session.execute(delete(LockoutRow).where(LockoutRow.failed_at < aged, LockoutRow.locked_until < now))


def _charged(node: Node, incoming: Incoming) -> tuple[str, str]:
    """Return the key of the row: the node that a certificate proves, else the address."""
    if node.faults.on("lockout-hits-others"):
        return "everybody", "everywhere"
    if node.faults.on("failures-count-against-claimed-id"):
        return incoming.headers[signing.SOURCE], block(incoming.remote)
    holder = None if incoming.channel is None else incoming.channel.holder
    return ("", block(incoming.remote)) if holder is None else (holder.node_id, "")


def _make_room(session: Session, now: int) -> None:
    """Have the oldest rows make way where there are too many, those first that lock nobody out."""
    if (session.scalar(select(func.count()).select_from(LockoutRow)) or 0) < MOST:
        return
    oldest = select(LockoutRow.source, LockoutRow.remote).order_by(LockoutRow.locked_until > now, LockoutRow.failed_at)
    key = tuple_(LockoutRow.source, LockoutRow.remote)
    session.execute(delete(LockoutRow).where(key.in_(oldest.limit(EVICTED))), execution_options=_UNSYNCHRONISED)


_UNSYNCHRONISED: Final = {"synchronize_session": False}


def _locked_out(node: Node, left_ms: int) -> Refusal:
    return Refusal("LOCKED_OUT", retry_after=min(-(-left_ms // 1000), node.config.lockout_seconds))
