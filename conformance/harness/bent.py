"""Signatures and keys that are wrong in one respect each, for the attacks of 9.1-b, 9.2-f and 9.2-g.

Guarantees: what is bent is bent in the named respect only, so that a target that takes it lacks just that check;
`rogues` are keys of one credential of which the first signs as it should. Nothing here is fit for anything else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from enum import StrEnum

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from conformance.harness import sm2
from conformance.harness.keys import ALGS, AuthType, Key

Bend = Callable[[bytes], bytes]

P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ORDERS: Mapping[str, int] = {AuthType.SM3_SM2: sm2.N, AuthType.SHA256_ECDSA: P256_N}
SOUND = "sound"

_SIZE = 32
_EC_KEY, _RSA_KEY = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06092a864886f70d0101010500")
_SM2_CURVE, _P256_CURVE = bytes.fromhex("06082a811ccf5501822d"), bytes.fromhex("06082a8648ce3d030107")
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class OddKind(StrEnum):
    """Key material that is no key of its suite, or not as a credential carries it."""

    INFINITY = "infinity"
    ZERO_POINT = "zero-point"
    SM2_AS_P256 = "sm2-as-p256"
    P256_AS_SM2 = "p256-as-sm2"
    COMPRESSED = "compressed"
    RSA_EXPONENT_ONE = "rsa-exponent-one"
    PRIVATE = "private"
    TWO_KEYS = "two-keys"


def scalars(auth_type: str) -> dict[str, Bend]:
    """Return signatures on a curve whose r or s lies outside [1, n-1]."""
    zero, order, most = bytes(_SIZE), ORDERS[auth_type].to_bytes(_SIZE, "big"), b"\xff" * _SIZE
    return {
        "zeros": lambda _right: zero + zero,
        "r-zero": lambda right: zero + right[_SIZE:],
        "s-zero": lambda right: right[:_SIZE] + zero,
        "r-n": lambda right: order + right[_SIZE:],
        "s-n": lambda right: right[:_SIZE] + order,
        "both-n": lambda _right: order + order,
        "ones": lambda _right: most + most,
    }


def encodings(auth_type: str) -> dict[str, Bend]:
    """Return a right signature in other clothes: longer, shorter, on a curve in DER or with leading zeros."""
    common: dict[str, Bend] = {"trailing": lambda right: right + b"\x00", "short": lambda right: right[:-1]}
    if auth_type not in ORDERS:
        return {**common, "leading": lambda right: b"\x00" + right}
    return {
        **common,
        "leading": lambda right: b"\x00" + right[:_SIZE] + b"\x00" + right[_SIZE:],
        "der": lambda right: encode_dss_signature(*_pair(right)),
    }


def negated(auth_type: str) -> Bend:
    """Return what makes (r, n-s) of (r, s): with ECDSA it verifies as well, with SM2 it must not."""
    order = ORDERS[auth_type]
    return lambda right: right[:_SIZE] + (order - _pair(right)[1]).to_bytes(_SIZE, "big")


def rogues(auth_type: str) -> dict[str, Key]:
    """Return keys of one credential: SOUND, and others that sign the wrong digest with it."""
    kind = AuthType(auth_type)
    if kind is AuthType.SM3_SM2:
        return _sm2_rogues()
    private = ec.generate_private_key(ec.SECP256R1()) if kind in ORDERS else rsa.generate_private_key(65537, 2048)
    found = {}
    for name, algorithm in ((SOUND, hashes.SHA256()), ("sha1", hashes.SHA1())):  # noqa: S303  wrong on purpose
        found[name] = Key(kind, ALGS[kind], _pem(private.public_key()), _signer(private, algorithm))
    return found


def odd_key(kind: str) -> Key:
    """Return a key whose credential is odd; what it signs would hold wherever the odd key were taken."""
    match OddKind(kind):
        case OddKind.INFINITY:
            return _claimed(_spki(_EC_KEY + _SM2_CURVE, b"\x00"))
        case OddKind.ZERO_POINT:
            return _claimed(_spki(_EC_KEY + _SM2_CURVE, b"\x04" + bytes(2 * _SIZE)))
        case OddKind.P256_AS_SM2:
            return _claimed(_spki(_EC_KEY + _SM2_CURVE, _p256_point()))
        case OddKind.SM2_AS_P256:
            point, _ = sm2.engine().generate()
            return _claimed(_spki(_EC_KEY + _P256_CURVE, b"\x04" + point), AuthType.SHA256_ECDSA)
        case OddKind.RSA_EXPONENT_ONE:
            return _exponent_one()
        case OddKind.PRIVATE:
            return _private()
        case OddKind.COMPRESSED | OddKind.TWO_KEYS as shape:
            point, private = sm2.engine().generate()
            other, _ = sm2.engine().generate()
            short = bytes([2 + point[-1] % 2]) + point[:_SIZE]
            pem = _block(_spki(_EC_KEY + _SM2_CURVE, short))
            if shape is OddKind.TWO_KEYS:
                pem = sm2.point_to_pem(point) + sm2.point_to_pem(other)
            return _sm2(pem, lambda message: sm2.engine().sign(private, point, message))


def _sm2_rogues() -> dict[str, Key]:
    point, private = sm2.engine().generate()
    digests: dict[str, Bend] = {
        SOUND: lambda message: sm2.message_digest(point, message),
        "no-user-id": lambda message: sm2.message_digest(point, message, b""),
        "other-user-id": lambda message: sm2.message_digest(point, message, b"ALICE123@YAHOO.COM"),
        "no-identity": sm2.sm3,
    }

    def signing(digest: Bend) -> Bend:
        return lambda message: sm2.sign_digest(private, digest(message))

    return {name: _sm2(sm2.point_to_pem(point), signing(digest)) for name, digest in digests.items()}


def _signer(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, algorithm: hashes.HashAlgorithm) -> Bend:
    if isinstance(private, rsa.RSAPrivateKey):
        return lambda message: private.sign(message, padding.PKCS1v15(), algorithm)
    return lambda message: _raw(private.sign(message, ec.ECDSA(algorithm)))


def _raw(der: bytes) -> bytes:
    return b"".join(value.to_bytes(_SIZE, "big") for value in decode_dss_signature(der))


def _exponent_one() -> Key:
    """Return an RSA key with which everybody signs: the padded digest is its own signature."""
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    numbers = _tlv(0x02, b"\x00" + modulus.to_bytes(256, "big")) + _tlv(0x02, b"\x01")

    def sign(message: bytes) -> bytes:
        info = _SHA256_INFO + hashlib.sha256(message).digest()
        return b"\x00\x01" + b"\xff" * (256 - 3 - len(info)) + b"\x00" + info

    kind = AuthType.SHA256_RSA
    return Key(kind, ALGS[kind], _block(_spki(_RSA_KEY, _tlv(0x30, numbers))), sign)


def _private() -> Key:
    """Return a key that is shown whole, its secret half included."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    kind = AuthType.SHA256_ECDSA
    return Key(kind, ALGS[kind], pem, _signer(private, hashes.SHA256()))


def _claimed(spki: bytes, auth_type: AuthType = AuthType.SM3_SM2) -> Key:
    """Return a credential that nobody has the private half of; a sound key of its suite signs in its place."""
    return Key(auth_type, ALGS[auth_type], _block(spki), Key.generate(auth_type).sign)


def _sm2(pem: str, sign: Bend) -> Key:
    return Key(AuthType.SM3_SM2, ALGS[AuthType.SM3_SM2], pem, sign)


def _p256_point() -> bytes:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _pem(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _spki(algorithm: bytes, bits: bytes) -> bytes:
    return _tlv(0x30, _tlv(0x30, algorithm) + _tlv(0x03, b"\x00" + bits))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _block(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def _pair(right: bytes) -> tuple[int, int]:
    return int.from_bytes(right[:_SIZE], "big"), int.from_bytes(right[_SIZE:], "big")
