"""The little DER and PEM that keys and certificates need, strict: one spelling for each key, or CredentialMalformed.

SM2 keys have a place of their own because general X.509 libraries refuse their curve. They are written as OpenSSL
writes them: id-ecPublicKey with the named curve 1.2.156.10197.1.301 (RFC 5480, RFC 5915, RFC 5958).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from reference_node.security.errors import CredentialMalformed

EC_KEY: Final = bytes.fromhex("2a8648ce3d0201")  # 1.2.840.10045.2.1 id-ecPublicKey
RSA_KEY: Final = bytes.fromhex("2a864886f70d010101")  # 1.2.840.113549.1.1.1 rsaEncryption
SM2_CURVE: Final = bytes.fromhex("2a811ccf5501822d")  # 1.2.156.10197.1.301
P256_CURVE: Final = bytes.fromhex("2a8648ce3d030107")  # 1.2.840.10045.3.1.7

_INTEGER, _BITS, _OCTETS, _OID, _SEQUENCE = 0x02, 0x03, 0x04, 0x06, 0x30
_PARAMETERS, _PUBLIC = 0xA0, 0xA1
_SHORT: Final = 0x80
_PEM_LIMIT: Final = 16 * 1024
_PEM: Final = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\r?\n(?P<body>[A-Za-z0-9+/=\r\n]+)-----END (?P=label)-----"
)


def sm2_public(point: bytes) -> bytes:
    """Write an SM2 public key (65 bytes point) as SubjectPublicKeyInfo."""
    return wrap(_SEQUENCE, _sm2_algorithm() + wrap(_BITS, b"\x00" + point))


def sm2_private(private: int, point: bytes | None = None) -> bytes:
    """Write an SM2 private key as PKCS#8, with its public half where given."""
    half = b"" if point is None else wrap(_PUBLIC, wrap(_BITS, b"\x00" + point))
    key = wrap(_SEQUENCE, wrap(_INTEGER, b"\x01") + wrap(_OCTETS, private.to_bytes(32, "big")) + half)
    return wrap(_SEQUENCE, wrap(_INTEGER, b"\x00") + _sm2_algorithm() + wrap(_OCTETS, key))


def read_public(data: bytes) -> tuple[bytes, bytes | None, bytes]:
    """Read a SubjectPublicKeyInfo: key algorithm OID, named curve OID if any, and the key's bits."""
    whole, rest = _read(data, _SEQUENCE)
    algorithm, tail = _read(whole, _SEQUENCE)
    bits, more = _read(tail, _BITS)
    if rest or more or not bits.startswith(b"\x00"):
        raise CredentialMalformed("the public key's DER has surplus bytes")
    return *_algorithm(algorithm), bits[1:]


def read_sm2_private(data: bytes) -> tuple[int, bytes | None]:
    """Read the PKCS#8 of an SM2 key: the scalar, and the public half if it is there; other keys are malformed."""
    whole, rest = _read(data, _SEQUENCE)
    version, tail = _read(whole, _INTEGER)
    algorithm, tail = _read(tail, _SEQUENCE)
    wrapped, more = _read(tail, _OCTETS)
    if rest or more or version != b"\x00" or _algorithm(algorithm) != (EC_KEY, SM2_CURVE):
        raise CredentialMalformed("the private key is not an SM2 key in PKCS#8")
    key, rest = _read(wrapped, _SEQUENCE)
    version, tail = _read(key, _INTEGER)
    scalar, tail = _read(tail, _OCTETS)
    if tail[:1] == bytes([_PARAMETERS]):  # some writers repeat the curve inside
        _, tail = _read(tail, _PARAMETERS)
    point: bytes | None = None
    if tail:
        half, tail = _read(tail, _PUBLIC)
        bits, surplus = _read(half, _BITS)
        point, rest = bits[1:], rest + surplus
    if rest or tail or version != b"\x01":
        raise CredentialMalformed("the SM2 private key's DER has surplus bytes")
    return int.from_bytes(scalar, "big"), point


def oid(dotted: str) -> bytes:
    """Write an object identifier."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(_SHORT | (arc & 0x7F))
        content += bytes(reversed(septets))
    return wrap(_OID, bytes(content))


def integer(value: int) -> bytes:
    """Write a non-negative integer."""
    return wrap(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bits(content: bytes) -> bytes:
    """Write a bit string of whole bytes."""
    return wrap(_BITS, b"\x00" + content)


def sequence(*parts: bytes) -> bytes:
    """Write a sequence of elements."""
    return wrap(_SEQUENCE, *parts)


def is_sm2_private(data: bytes) -> bool:
    """Tell whether a PKCS#8 names the SM2 curve, so that the right reader is asked."""
    try:
        _, tail = _read(_read(data, _SEQUENCE)[0], _INTEGER)
        return _algorithm(_read(tail, _SEQUENCE)[0]) == (EC_KEY, SM2_CURVE)
    except CredentialMalformed:
        return False


def to_pem(label: str, data: bytes) -> str:
    """Write one PEM block."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def from_pem(label: str, text: str) -> bytes:
    """Read exactly one PEM block of the given label."""
    if len(text) > _PEM_LIMIT:
        raise CredentialMalformed(f"the PEM text is longer than {_PEM_LIMIT} characters")
    match = _PEM.fullmatch(text.strip(" \t\r\n"))
    if match is None:
        raise CredentialMalformed("the text is not exactly one PEM block")
    if match["label"] != label:
        raise CredentialMalformed(f"the PEM block is not of the kind {label}")
    try:
        return base64.b64decode(match["body"].replace("\r", "").replace("\n", ""), validate=True)
    except binascii.Error as wrong:
        raise CredentialMalformed("the PEM block is not base64") from wrong


def _sm2_algorithm() -> bytes:
    return wrap(_SEQUENCE, wrap(_OID, EC_KEY) + wrap(_OID, SM2_CURVE))


def _algorithm(content: bytes) -> tuple[bytes, bytes | None]:
    oid, parameters = _read(content, _OID)
    if parameters[:1] != bytes([_OID]):
        return oid, None
    curve, rest = _read(parameters, _OID)
    if rest:
        raise CredentialMalformed("the key's algorithm has surplus parameters")
    return oid, curve


def wrap(tag: int, *parts: bytes) -> bytes:
    """Write one element of the given tag."""
    content = b"".join(parts)
    length = len(content)
    if length < _SHORT:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, _SHORT | len(octets)]) + octets + content


def _read(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Take one element of the given tag: its content, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise CredentialMalformed("the key's DER has not the expected structure")
    length, start = data[1], 2
    if length >= _SHORT:
        count = length - _SHORT
        start += count
        length = int.from_bytes(data[2:start], "big")
        if not 1 <= count <= 2 or length < _SHORT or data[2] == 0:
            raise CredentialMalformed("the key's DER has a length that is not in shortest form")
    if len(data) < start + length:
        raise CredentialMalformed("the key's DER ends early")
    return data[start : start + length], data[start + length :]
