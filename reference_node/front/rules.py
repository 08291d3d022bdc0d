"""What the gate goes by, and what it asks of others: deadlines, bounds, the secure channel, the server behind it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, Protocol

from OpenSSL import SSL

from reference_node.front.head import Lax, Malformed
from reference_node.front.lines import Limits, Line

SILENT: Final = "CONNECTION_SILENT"  # what is noted of a connection on which no request came in time


@dataclass(frozen=True, slots=True)
class Rules:
    """Deadlines in seconds, the least rate of a body in bytes per second, and bounds in connections and bytes.

    `most` connections in all and `each` of one address; `buffered` bytes of unfinished requests; `streams` workers at
    most that read bodies; `proxies` are the balancers that say whose connection they hand on.
    """

    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    handshake_seconds: float = 10.0
    linger_seconds: float = 5.0
    grace_seconds: float = 5.0
    rate: float = 16 * 1024
    most: int = 16_384
    each: int = 1024
    buffered: int = 64 * 1024 * 1024
    streams: int = 192
    limits: Limits = field(default_factory=Limits)
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()


class Security(Protocol):
    """What the gate asks of the secure channel."""

    def context(self) -> SSL.Context:
        """Return what connections are made from; raise ConfigError."""

    def environ(self, connection: SSL.Connection) -> dict[str, Any]:
        """Return what requests of a connection find in their environment; raise SecurityFailure."""

    def plain(self, first: int) -> dict[str, Any] | None:
        """Return the environment where a defect takes a connection that does not begin with a handshake."""


class House(Protocol):
    """The server behind the gate."""

    socket: socket.socket
    lax: Lax

    def serve_line(self, line: Line) -> None:
        """Have a worker answer the request of a connection."""

    def streams(self, path: bytes) -> bool:
        """Tell whether a worker reads bodies for this path while they come."""

    def noted(self, reason: str, address: str) -> None:
        """Take note of a connection from an address on which no request came, or of one that was none."""

    def refusal(self, wrong: Malformed, accept: bytes) -> bytes:
        """Return the whole answer to what is no request."""
