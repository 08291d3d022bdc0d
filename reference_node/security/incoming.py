"""A request as it arrived, whatever carried it: what the guards look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reference_node.security.tls import Presented


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it arrived; header names in lower case, path and query raw; `channel` is None without TLS."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    remote: str
    channel: Presented | None = None
