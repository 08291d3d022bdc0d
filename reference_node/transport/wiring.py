"""Puts the data plane of a node together: spool, sessions, and the relays by scheme of address."""

from __future__ import annotations

from sqlalchemy import select

from reference_node.clock import Clock
from reference_node.config import Config
from reference_node.domain import Status
from reference_node.errors import Refusal
from reference_node.faults import Faults
from reference_node.gap.link import SCHEME
from reference_node.identity import Identity
from reference_node.security import signing
from reference_node.security.tls import SecureChannel
from reference_node.store import Store
from reference_node.store.contracts import ContractRow
from reference_node.transport.outbound import Outbound
from reference_node.transport.partner import Peer
from reference_node.transport.places import Places
from reference_node.transport.relay_grpc import Dial, GrpcRelay
from reference_node.transport.relay_http import HttpRelay
from reference_node.transport.sessions import Limits, Sessions
from reference_node.transport.spool import Spool
from reference_node.transport.stamps import Stamps

_MIB = 1024 * 1024


def data_plane(
    node_id: str,
    config: Config,
    store: Store,
    clock: Clock,
    outbound: Outbound,
    identity: Identity,
    faults: Faults,
    places: Places,
    tls: SecureChannel | None = None,
    dial: Dial | None = None,
) -> Sessions:
    """Return the sessions of a node, none of them open."""
    chunk = config.channel_chunk_kib * 1024
    stamps = Stamps(node_id, clock, identity, faults)
    http = HttpRelay(stamps, outbound, places, timeout=config.channel_timeout_seconds, chunk=chunk)
    seconds = config.tls_handshake_seconds
    grpc = GrpcRelay(
        stamps,
        places,
        timeout=config.channel_timeout_seconds,
        chunk=chunk,
        tls=tls,
        handshake_seconds=seconds,
        dial=dial,
        faults=faults,
    )
    spool = Spool(
        None if config.data is None else config.data / "spool",
        memory=config.channel_memory_mib * _MIB,
        inline=min(4 * _MIB, config.channel_memory_mib * _MIB),
    )
    return Sessions(
        node_id,
        spool,
        Limits(config.channel_quota_mib * _MIB, config.channel_patience_seconds, chunk),
        find_peer=lambda partner: _peer(store, clock, partner),
        relays={"http": http, "https": http, "grpc": grpc, SCHEME: http},
        now=lambda: clock.now_ms() / 1000,
        threaded=config.background,
        faults=faults,
    )


def _peer(store: Store, clock: Clock, node_id: str) -> Peer:
    """Return whom a contract in force makes known under this id."""
    with store.read() as session:
        row = session.scalar(
            select(ContractRow)
            .where(
                ContractRow.partner_node_id == node_id,
                ContractRow.status == Status.APPROVED,
                ContractRow.expired_time > clock.now_ms(),
            )
            .order_by(ContractRow.updated_at.desc())
            .limit(1)
        )
        if row is None:
            raise Refusal("CONTRACT_NOT_ACTIVE")
        base = row.partner.get(signing.ANNOUNCED, signing.OLDEST)
        return Peer(node_id, row.partner_address, row.own_auth_type, min(base, signing.NEWEST))
