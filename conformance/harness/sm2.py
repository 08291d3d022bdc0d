"""SM2 signatures as the harness makes and judges them (GB/T 32918.2, 9.2-f), independent of every node.

Guarantees, whichever engine is underneath: a signature is raw `r || s`, 32 bytes each, big endian; the user id is
`1234567812345678`; `r` and `s` lie in [1, n-1]; a public point is 64 bytes `x || y` and lies on the curve; nonces and
private keys come from the operating system.

`TableSm2` is the harness's own arithmetic, quick at signing (`loadtests/bench_sm2.py`). `PlainSm2` is the pure Python
gmssl with its defects mended: it strips leading 0 and 4 digits of public keys, draws nonces from `random`, fixes the
user id, checks neither range nor curve, may sign nothing, and fails with a TypeError where a sum of points is infinity.

>>> point, private = engine().generate()
>>> signature = engine().sign(private, point, b"message")
>>> engine().verify(point, b"message", signature)
True
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from functools import cache
from types import ModuleType
from typing import Any, Protocol

import gmssl.sm2
from cryptography.hazmat.primitives import hashes

from conformance.harness import sm2_base
from conformance.harness.errors import Blame

USER_ID = b"1234567812345678"

P = sm2_base.P
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123

_SIZE = 32
# SEQUENCE { SEQUENCE { id-ecPublicKey, 1.2.156.10197.1.301 }, BIT STRING (no unused bits) 04 ... }
_SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
# PKCS#8 as OpenSSL writes it: the private scalar of 32 bytes, then the public point of 64
_KEY_HEAD = bytes.fromhex("308187020100301306072a8648ce3d020106082a811ccf5501822d046d306b0201010420")
_KEY_MIDDLE = bytes.fromhex("a14403420004")
_PRIVATE = re.compile(r"\s*-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----\s*")
_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


class Sm2Engine(Protocol):
    """What signs and verifies: points are `x || y` (64 bytes), private keys 32 bytes, signatures `r || s`."""

    def generate(self) -> tuple[bytes, bytes]:
        """Return a fresh (public point, private key)."""

    def sign(self, private: bytes, point: bytes, message: bytes) -> bytes:
        """Return the signature of the message."""

    def verify(self, point: bytes, message: bytes, signature: bytes) -> bool:
        """Say whether the signature is that of the message; anything malformed is not."""


def sm3(data: bytes) -> bytes:
    """Return the SM3 digest (GB/T 32905), 32 bytes."""
    state = hashes.Hash(hashes.SM3())
    state.update(data)
    return state.finalize()


def on_curve(point: bytes) -> bool:
    """Say whether 64 bytes `x || y` are a point of the SM2 curve with coordinates below p."""
    if len(point) != 2 * _SIZE:
        return False
    x, y = _pair(point)
    return x < P and y < P and (y * y - (x * x * x + A * x + B)) % P == 0


def in_range(signature: bytes) -> bool:
    """Say whether a signature is 64 bytes with `r` and `s` in [1, n-1] and `r + s != n`."""
    if len(signature) != 2 * _SIZE:
        return False
    r, s = _pair(signature)
    return 0 < r < N and 0 < s < N and r + s != N


def point_to_pem(point: bytes) -> str:
    """Return the PEM SubjectPublicKeyInfo of a point; the point is not judged, negative cases need wrong ones."""
    text = base64.b64encode(_SPKI_HEAD + point).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([_BEGIN, *lines, _END, ""])


def point_from_pem(pem: str) -> bytes:
    """Return the 64 bytes of the point; ValueError says what is wrong with the credential."""
    lines = pem.strip().splitlines()
    if len(lines) < 3 or lines[0].strip() != _BEGIN or lines[-1].strip() != _END:
        raise ValueError("not one PEM block of a PUBLIC KEY")
    try:
        der = base64.b64decode("".join(line.strip() for line in lines[1:-1]), validate=True)
    except binascii.Error as exc:
        raise ValueError(f"the PEM block is not base64: {exc}") from exc
    point = der.removeprefix(_SPKI_HEAD)
    if len(der) != len(_SPKI_HEAD) + 2 * _SIZE or len(point) != 2 * _SIZE:
        raise ValueError("not an uncompressed SM2 key as SubjectPublicKeyInfo")
    if not on_curve(point):
        raise ValueError("the point is not on the SM2 curve")
    return point


def pair_from_pem(pem: str) -> tuple[bytes, bytes]:
    """Return point and private key of an unencrypted PKCS#8 file; ValueError where it is none of SM2."""
    text = _PRIVATE.fullmatch(pem)
    data = base64.b64decode(text[1]) if text else b""
    private, middle, point = data[len(_KEY_HEAD) :][:_SIZE], data[len(_KEY_HEAD) + _SIZE :], data[-2 * _SIZE :]
    if not data.startswith(_KEY_HEAD) or middle != _KEY_MIDDLE + point or not on_curve(point):
        raise ValueError("not an SM2 key in PKCS#8 with its public half")
    return point, private


def message_digest(point: bytes, message: bytes, user_id: bytes = USER_ID) -> bytes:
    """Return e = SM3(Z || message), where Z binds user id, curve and public key (GB/T 32918.2, 5.5)."""
    bits = (len(user_id) * 8).to_bytes(2, "big")
    curve = b"".join(value.to_bytes(_SIZE, "big") for value in (A, B, sm2_base.GX, sm2_base.GY))
    return sm3(sm3(bits + user_id + curve + point) + message)


def sign_digest(private: bytes, digest: bytes) -> bytes:
    """Return the signature of a digest, whatever it was made of; negative cases need wrong ones."""
    d, e = int.from_bytes(private, "big"), int.from_bytes(digest, "big")
    while True:
        k = 1 + secrets.randbelow(N - 1)
        r = (e + sm2_base.multiple(k)[0]) % N
        s = pow(1 + d, -1, N) * (k - r * d) % N
        signature = r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big")
        if in_range(signature):
            return signature


class TableSm2:
    """The harness's own arithmetic; what it would refuse, gmssl is asked about before a target is blamed for it."""

    def __init__(self, second: Sm2Engine) -> None:
        self._second = second

    def generate(self) -> tuple[bytes, bytes]:
        """Return a fresh (public point, private key)."""
        secret = 1 + secrets.randbelow(N - 2)  # [1, n-2]: with n-1 no inverse of 1 + d exists
        x, y = sm2_base.multiple(secret)
        return x.to_bytes(_SIZE, "big") + y.to_bytes(_SIZE, "big"), secret.to_bytes(_SIZE, "big")

    def sign(self, private: bytes, point: bytes, message: bytes) -> bytes:
        """Return the signature of the message (GB/T 32918.2, 6.1)."""
        return sign_digest(private, message_digest(point, message))

    def verify(self, point: bytes, message: bytes, signature: bytes) -> bool:
        """Say whether the signature is that of the message (GB/T 32918.2, 7.1); anything malformed is not.

        Raises Blame when gmssl accepts what our own arithmetic refuses.
        """
        if not in_range(signature) or not on_curve(point):
            return False
        r, s = _pair(signature)
        e = int.from_bytes(message_digest(point, message), "big")
        sum_ = sm2_base.combination(s, (r + s) % N, _pair(point))
        if sum_ is not None and (e + sum_[0]) % N == r:
            return True
        if self._second.verify(point, message, signature):
            raise Blame("the harness's two implementations of SM2 disagree about a signature")
        return False


class PlainSm2:
    """The pure Python gmssl behind the checks that it lacks: the second opinion."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def _machine(self, private: str, point: bytes) -> Any:
        machine = self._module.CryptSM2(private_key=private, public_key="")
        machine.public_key = point.hex()  # set afterwards: the constructor strips digits that belong to the key
        return machine

    def generate(self) -> tuple[bytes, bytes]:
        """Return a fresh (public point, private key)."""
        secret = 1 + secrets.randbelow(N - 2)  # [1, n-2]: with n-1 no inverse of 1 + d exists
        machine = self._machine("", b"")
        point = machine._kg(secret, machine.ecc_table["g"])  # noqa: SLF001  it offers no other scalar product
        return bytes.fromhex(point), secret.to_bytes(_SIZE, "big")

    def sign(self, private: bytes, point: bytes, message: bytes) -> bytes:
        """Return the signature of the message."""
        if not 0 < int.from_bytes(private, "big") < N - 1 or not on_curve(point):
            raise Blame("an SM2 key of the harness is out of range")
        machine = self._machine(private.hex(), point)
        digest = message_digest(point, message)
        while True:
            nonce = 1 + secrets.randbelow(N - 1)
            signature = machine.sign(digest, f"{nonce:064x}")
            if signature is not None and in_range(raw := bytes.fromhex(signature)):
                return raw

    def verify(self, point: bytes, message: bytes, signature: bytes) -> bool:
        """Say whether the signature is that of the message; anything malformed is not."""
        if not in_range(signature) or not on_curve(point):
            return False
        try:
            return bool(self._machine("", point).verify(signature.hex(), message_digest(point, message)))
        except TypeError:  # s·G + t·P is infinity: it has no coordinates, hence no such signature exists
            return False


@cache
def engine() -> Sm2Engine:
    """Return the engine of the harness."""
    return TableSm2(PlainSm2(gmssl.sm2))


def _pair(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[:_SIZE], "big"), int.from_bytes(data[_SIZE:], "big")
