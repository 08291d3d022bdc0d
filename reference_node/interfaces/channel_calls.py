"""What the HTTP and gRPC sides of the data plane share, so that an operation gives the same over either (9.1-c)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security import guards
from reference_node.security.incoming import Incoming
from reference_node.transport import stamps
from reference_node.transport.frames import SEQUENCE, TOPIC, TOPIC_LIMIT, Assembler, whole
from reference_node.transport.sessions import Session, Ticket

BODY_LIMIT: Final = 64 * 1024 * 1024
POP_SECONDS: Final = 120.0
PUSH_SECONDS: Final = 30.0
BLACKBOX_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 600.0
DONE: Final = "成功"
EMPTY: Final = "没有消息"
TICKET: Final = "x-ptp-ticket"
_PARTNER_HEADERS: Final = (
    stamps.VERSION,
    stamps.TRACE,
    stamps.TOKEN,
    stamps.URI,
    stamps.SESSION,
    stamps.SOURCE,
    stamps.TARGET,
)
_COMPONENT_HEADERS: Final = (stamps.TRACE, stamps.TOKEN, stamps.SESSION, stamps.TARGET)
_PROVIDER_SHOWN: Final = 32
_HOLDER: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_SECONDS: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came from a node; without a number where the sender has none."""

    topic: str
    sequence: int | None
    payload: bytes


def check_headers(headers: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Refuse a request that lacks one of the API's headers; the provider's is taken in either spelling."""
    for name in names:
        if not headers.get(name):
            raise Refusal("HEADER_MISSING", pointer=name)
    if not (headers.get(stamps.PROVIDER) or headers.get(stamps.PROVIDER_MISSPELT)):
        raise Refusal("HEADER_MISSING", pointer=stamps.PROVIDER)


def component_session(node: Node, headers: Mapping[str, str], form: str = "GRPC") -> Session:
    """Admit a component of this node by its session's token; note in which form it calls."""
    check_headers(headers, _COMPONENT_HEADERS)
    session = node.sessions.of_component(headers[stamps.SESSION], headers[stamps.TOKEN])
    provider = headers.get(stamps.PROVIDER) or headers[stamps.PROVIDER_MISSPELT]
    node.sessions.spoke(session, f"{form} {provider[:_PROVIDER_SHOWN]}")
    return session


def partner_session(node: Node, incoming: Incoming) -> Session:
    """Admit another node by its signature (9.2-b), its contract and the session's token."""
    caller = guards.known(node, incoming, contract=True)
    if not node.faults.on("message-nonce-not-recorded"):
        with node.store.session() as store:
            guards.admit(node, store, caller)
            store.commit()
    headers = incoming.headers
    undemanding = node.faults.on("message-headers-not-demanded")
    check_headers(headers, (*_COMPONENT_HEADERS, stamps.SOURCE) if undemanding else _PARTNER_HEADERS)
    if headers[stamps.SOURCE] != caller.node_id and not node.faults.on("message-source-unchecked"):
        raise Refusal("NOT_YOURS", pointer=stamps.SOURCE)
    if headers[stamps.TARGET] != node.node_id and not node.faults.on("message-target-unchecked"):
        raise Refusal("TARGET_MISMATCH", pointer=stamps.TARGET)
    return node.sessions.of_partner(headers[stamps.SESSION], headers[stamps.TOKEN], caller.node_id)


def arrival(payload: bytes, metadata: Mapping[str, str], headers: Mapping[str, str]) -> Arrival:
    """Return a message by its metadata, which the signature covers, or where it has none by the headers."""
    topic = metadata.get(TOPIC, headers.get(TOPIC, ""))
    number = metadata.get(SEQUENCE, headers.get(SEQUENCE))
    return Arrival(checked_topic(topic), None if number is None else whole(number, SEQUENCE), payload)


def take_in(node: Node, session: Session, source: str, message: Arrival) -> bool:
    """Put a message from another node into its topic; return False when it had arrived before."""
    if not message.payload and node.faults.on("empty-message-dropped"):
        return True
    return session.mailbox.put(
        message.topic,
        node.sessions.spool.keep(message.payload),
        timeout=node.config.receive_seconds,
        source=source,
        sequence=message.sequence,
    )


def assembler(node: Node, session: Session, headers: Mapping[str, str]) -> Assembler:
    """Return what puts the messages of a stream together; its frames are authenticated by the token alone."""
    if not session.proved:
        raise Refusal("SESSION_TOKEN_INVALID", pointer=stamps.TOKEN, reason="no token was issued for frames to rest on")
    return Assembler(
        session.mailbox,
        node.sessions.spool,
        stamps.frame_code(dict(headers), node.faults),
        headers[stamps.SOURCE],
        patience=node.config.receive_seconds,
        faults=node.faults,
    )


def checked_topic(topic: Any) -> str:
    """Return a topic that is one."""
    if not isinstance(topic, str) or len(topic) > TOPIC_LIMIT:
        raise Refusal("REQUEST_INVALID", pointer=TOPIC)
    return topic


def ticket(node: Node, headers: Mapping[str, str]) -> Ticket | None:
    """Return the ticket by which a repetition of this push or pop is known, where the component gives one."""
    if TICKET not in headers:
        return None
    holder, _, number = headers[TICKET].rpartition("-")
    if node.faults.on("bad-ticket-taken") and not (_HOLDER.fullmatch(holder) and number.isdecimal()):
        return None
    if not _HOLDER.fullmatch(holder):
        raise Refusal("REQUEST_INVALID", pointer=TICKET)
    return Ticket(holder, whole(number, TICKET))


def base64_bytes(value: Any, pointer: str) -> bytes:
    """Read bytes as JSON carries them."""
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (AttributeError, ValueError):
        raise Refusal("REQUEST_INVALID", pointer=pointer) from None


def text_pairs(value: Any, pointer: str) -> dict[str, str]:
    """Read metadata: texts by name."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Refusal("REQUEST_INVALID", pointer=pointer)
    return value


def seconds(value: Any, default: float) -> float:
    """Read a time-out in seconds: a number, its digits, or (as the public API types it) the base64 of its digits."""
    if value in (None, "", 0):
        return default
    text = str(value)
    if not _SECONDS.fullmatch(text):
        try:
            text = base64.b64decode(text, validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            raise Refusal("REQUEST_INVALID", pointer="/timeout") from None
    if not _SECONDS.fullmatch(text):
        raise Refusal("REQUEST_INVALID", pointer="/timeout")
    return min(float(text), LONGEST_SECONDS)
