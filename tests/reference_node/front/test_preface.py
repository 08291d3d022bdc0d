"""The PROXY protocol: both versions, and nothing that only looks like them."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.front.head import Malformed
from reference_node.front.preface import SIGNATURE, Preface, read

ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6).filter(lambda found: found.ipv4_mapped is None)


def second(address: str, port: int, extra: bytes = b"", command: int = 0x21) -> bytes:
    """Return a preface of version 2."""
    packed = ip_address(address).packed
    family = 0x11 if len(packed) == 4 else 0x21
    body = packed + packed + struct.pack("!HH", port, 8801) + extra
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body


@given(ADDRESSES, st.integers(0, 65535), st.binary(max_size=40))
def test_version_two_hands_the_address_on(address: object, port: int, rest: bytes) -> None:
    """Whole it is read, cut off it is waited for; what follows is not touched."""
    sent = second(str(address), port, extra=b"\x04\x00\x01x")
    assert read(sent + rest) == Preface(len(sent), str(address), port)
    assert all(read(sent[:cut]) is None for cut in range(1, len(sent)))


@given(ADDRESSES, st.integers(0, 65535))
def test_version_one_hands_the_address_on(address: object, port: int) -> None:
    """The same as a line."""
    kind = "TCP6" if ":" in str(address) else "TCP4"
    sent = f"PROXY {kind} {address} {address} {port} 8801\r\n".encode()
    assert read(sent + b"GET /") == Preface(len(sent), str(address), port)
    assert all(read(sent[:cut]) is None for cut in range(1, len(sent)))


def test_the_balancers_own_connections_keep_its_address() -> None:
    """LOCAL and UNKNOWN are its health checks."""
    assert read(second("192.0.2.1", 1, command=0x20)) == Preface(28)
    assert read(b"PROXY UNKNOWN\r\n") == Preface(15)


def test_an_address_has_one_spelling() -> None:
    """IPv4 within IPv6 is the IPv4 address it is."""
    assert read(second("::ffff:192.0.2.1", 1)) == Preface(52, "192.0.2.1", 1)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n", b"PROXY TCP4 a b 1 2\r\n", b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 1\r\n", b"PROXY TCP4 " + b"1" * 120,
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", SIGNATURE + b"\x31\x11\x00\x0c", SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x21\x11\x00\x04abcd", SIGNATURE + b"\x21\x31\x00\x0c" + b"a" * 12,
    ],
)  # fmt: skip
def test_what_is_no_preface_is_refused(sent: bytes) -> None:
    """A balancer that is named must speak it well."""
    with pytest.raises(Malformed):
        read(sent)


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda rest: SIGNATURE + rest))
def test_whatever_comes_ends_well(sent: bytes) -> None:
    """A preface, nothing yet, or Malformed."""
    try:
        found = read(sent)
    except Malformed:
        return
    assert found is None or found.size <= len(sent)
