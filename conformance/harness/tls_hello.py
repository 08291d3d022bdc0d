"""The first message of a TLS handshake, byte by byte: made with any version and suites, and read (RFC 5246, RFC 8446).

TLCP (GB/T 38636) begins like TLS, under a version of its own and without extensions. TLS libraries refuse to offer what
is too old or too weak, so offers of that kind are spelt here. Guarantees: nothing is agreed on and no key is made;
reading takes any bytes and raises ValueError at most.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TLCP = 0x0101
TLS_1_2 = 0x0303
TLS_1_3 = 0x0304
HANDSHAKE = 22
ALERT = 21
_CLIENT_HELLO = 1
_SERVER_HELLO = 2
_SERVER_NAME, _GROUPS, _FORMATS, _SIGNATURES, _VERSIONS, _SHARES = 0, 10, 11, 13, 43, 51
_NO_RENEGOTIATION = 0x00FF  # TLS_EMPTY_RENEGOTIATION_INFO_SCSV


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client offers: the newest version, suites, groups, signatures."""

    version: int
    suites: tuple[int, ...]
    groups: tuple[int, ...] = (0x001D, 0x0017, 0x0018)
    signatures: tuple[int, ...] = (0x0403, 0x0503, 0x0804, 0x0401, 0x0203, 0x0201)

    def spell(self, host: str) -> bytes:
        """Return the record that carries it; without key shares, so that TLS 1.3 answers with a retry at most."""
        extensions = [(_GROUPS, _list(self.groups)), (_FORMATS, b"\x01\x00"), (_SIGNATURES, _list(self.signatures))]
        if self.version >= TLS_1_3:
            extensions += [(_VERSIONS, b"\x02" + self.version.to_bytes(2)), (_SHARES, b"\x00\x00")]
        if not _numeric(host):
            name = host.encode("idna")
            extensions.append((_SERVER_NAME, _sized(b"\x00" + _sized(name, 2), 2)))
        block = _sized(b"".join(kind.to_bytes(2) + _sized(value, 2) for kind, value in extensions), 2)
        suites = _list((*self.suites, _NO_RENEGOTIATION))
        version = min(self.version, TLS_1_2)
        body = version.to_bytes(2) + secrets.token_bytes(32) + _sized(secrets.token_bytes(32), 1)
        body += suites + b"\x01\x00" + (b"" if self.version == TLCP else block)
        message = bytes([_CLIENT_HELLO]) + _sized(body, 3)
        return bytes([HANDSHAKE]) + min(version, 0x0301).to_bytes(2) + _sized(message, 2)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server says to an offer: what it has chosen, or the number of its alert."""

    version: int = 0
    suite: int = 0
    alert: int = -1


@dataclass(frozen=True, slots=True)
class Offered:
    """What was read of the offer of another; `versions` holds the oldest that it names first."""

    versions: tuple[int, ...]
    suites: tuple[int, ...]


def read_reply(record: bytes) -> Reply:
    """Read the first record of a server."""
    if len(record) >= 7 and record[0] == ALERT:
        return Reply(alert=record[6])
    if len(record) < 6 or record[0] != HANDSHAKE or record[5] != _SERVER_HELLO:
        raise ValueError("this is no answer of TLS")
    reader = _Reader(record[9:])
    version = reader.number(2)
    reader.take(32)
    reader.take(reader.number(1))
    suite = reader.number(2)
    reader.take(1)
    chosen = dict(reader.extensions()).get(_VERSIONS)
    return Reply(int.from_bytes(chosen) if chosen else version, suite)


def read_offer(record: bytes) -> Offered:
    """Read the first record of a client."""
    if len(record) < 6 or record[0] != HANDSHAKE or record[5] != _CLIENT_HELLO:
        raise ValueError("this is no handshake of TLS")
    reader = _Reader(record[9:])
    version = reader.number(2)
    reader.take(32)
    reader.take(reader.number(1))
    suites = _pairs(reader.take(reader.number(2)))
    reader.take(reader.number(1))
    named = dict(reader.extensions()).get(_VERSIONS)
    versions = _pairs(named[1:]) if named else (version,)
    return Offered(tuple(sorted(each for each in versions if not _grease(each))), _named(suites))


def _named(suites: Sequence[int]) -> tuple[int, ...]:
    signals = (_NO_RENEGOTIATION, 0x5600)
    return tuple(suite for suite in suites if suite not in signals and not _grease(suite))


def _grease(value: int) -> bool:
    """Tell the numbers that mean nothing on purpose (RFC 8701)."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) != count:
            raise ValueError("the handshake breaks off")
        self._at += count
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def extensions(self) -> Iterator[tuple[int, bytes]]:
        if self._at >= len(self._data):
            return
        end = self.number(2) + self._at
        while self._at < end:
            kind = self.number(2)
            yield kind, self.take(self.number(2))


def _sized(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size) + data


def _list(values: Sequence[int]) -> bytes:
    return _sized(b"".join(value.to_bytes(2) for value in values), 2)


def _pairs(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[at : at + 2]) for at in range(0, len(data) - 1, 2))


def _numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
