"""Identifiers: snowflakes for flows (8.3.1), random ones for approvals and whatever else this node names.

A snowflake is a positive 63-bit number written in decimal: 41 bits of milliseconds since 2024-01-01 UTC, 10 bits of
machine, 12 bits of sequence. One generator never repeats itself and always rises, also when the clock steps back and
also, given the last id it issued, across a restart. Ids of different nodes differ by the machine bits.

    >>> Snowflake(machine=1).next_id(1704067200001)
    '4198400'
"""

from __future__ import annotations

import hashlib
import secrets
import threading

EPOCH_MS = 1_704_067_200_000
_MACHINE_BITS, _SEQUENCE_BITS = 10, 12
_SEQUENCES = 1 << _SEQUENCE_BITS
_TIME_SHIFT = _MACHINE_BITS + _SEQUENCE_BITS


def machine_of(node_id: str) -> int:
    """Machine number of a node: ten bits of the digest of its id."""
    return int.from_bytes(hashlib.sha256(node_id.encode()).digest()[:2]) >> (16 - _MACHINE_BITS)


class Snowflake:
    """Generator of flow ids; safe for threads."""

    def __init__(self, machine: int, *, last_id: str | None = None) -> None:
        if not 0 <= machine < 1 << _MACHINE_BITS:
            raise ValueError("a machine number has ten bits")
        self._machine = machine
        self._lock = threading.Lock()
        self._tick = 0  # milliseconds and sequence as one number: it only rises
        if last_id is not None:
            self.skip(last_id)

    def next_id(self, now_ms: int) -> str:
        """Issue an id; a full millisecond or a clock that steps back borrows from the next one."""
        with self._lock:
            self._tick = max(self._tick + 1, (now_ms - EPOCH_MS) << _SEQUENCE_BITS)
            millis, sequence = divmod(self._tick, _SEQUENCES)
            return str(millis << _TIME_SHIFT | self._machine << _SEQUENCE_BITS | sequence)

    def skip(self, issued: str) -> None:
        """Never issue `issued` or anything before it."""
        number = int(issued)
        with self._lock:
            self._tick = max(self._tick, (number >> _TIME_SHIFT) << _SEQUENCE_BITS | number % _SEQUENCES)


def random_id(prefix: str) -> str:
    """Id that nobody can guess: `<prefix>-` and 32 hexadecimal digits."""
    return f"{prefix}-{secrets.token_hex(16)}"
