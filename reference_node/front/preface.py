r"""The PROXY protocol, versions 1 and 2: a balancer says before anything else whose connection it hands on.

Guarantees: any bytes give a `Preface`, None while more are needed, or `Malformed`; nothing after the preface is
touched. The connection of the balancer itself (its checks) is LOCAL or UNKNOWN and keeps the balancer's address.

>>> read(b"PROXY TCP4 192.0.2.7 10.0.0.1 40213 8801\r\n")
Preface(size=42, address='192.0.2.7', port=40213)
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from reference_node.front.head import Malformed

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_HEAD_BYTES: Final = 16
_MOST: Final = 4096
_MOST_V1: Final = 107
_V1: Final = re.compile(rb"PROXY (TCP4|TCP6) (\S+) (\S+) ([1-9]?[0-9]{1,4}) ([1-9]?[0-9]{1,4})\r\n")
_LOCAL, _PROXY = 0x20, 0x21
_FAMILIES: Final = {0x11: 4, 0x21: 16}  # how many bytes an address has


@dataclass(frozen=True, slots=True)
class Preface:
    """How many bytes it has, and whom it hands on; None where it is the balancer's own connection."""

    size: int
    address: str | None = None
    port: int | None = None


def read(data: bytes) -> Preface | None:
    """Return the preface with which the data begins, None while it is not whole; raise Malformed."""
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _second(data) if len(data) >= _HEAD_BYTES else None
    if data[:6] == b"PROXY "[: len(data)]:
        return _first(data)
    raise Malformed("preface")


def _first(data: bytes) -> Preface | None:
    end = data.find(b"\r\n", 0, _MOST_V1)
    if end < 0:
        if len(data) >= _MOST_V1:
            raise Malformed("preface")
        return None
    line = data[: end + 2]
    if line.startswith(b"PROXY UNKNOWN"):
        return Preface(len(line))
    found = _V1.fullmatch(line)
    if found is None:
        raise Malformed("preface")
    kind = ipaddress.IPv4Address if found[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        source, _ = kind(found[2].decode("ascii")), kind(found[3].decode("ascii"))
    except ValueError:
        raise Malformed("preface") from None
    return Preface(len(line), _spelt(source), _port(int(found[4])))


def _second(data: bytes) -> Preface | None:
    command, family, length = data[12], data[13], int.from_bytes(data[14:16])
    if command not in (_LOCAL, _PROXY) or length > _MOST:
        raise Malformed("preface")
    size = _HEAD_BYTES + length
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Preface(size)
    if family not in _FAMILIES:
        raise Malformed("preface")
    width = _FAMILIES[family]
    if length < 2 * width + 4:
        raise Malformed("preface")
    ports = _HEAD_BYTES + 2 * width
    source = ipaddress.ip_address(bytes(data[_HEAD_BYTES : _HEAD_BYTES + width]))
    return Preface(size, _spelt(source), int.from_bytes(data[ports : ports + 2]))


def _port(number: int) -> int:
    if number > 65535:
        raise Malformed("preface")
    return number


def _spelt(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address in its one spelling; an IPv4 address in IPv6 clothes is that IPv4 address."""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
