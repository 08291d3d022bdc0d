"""Keys of the harness: the suites of 9.1-a and 9.2-f, and keys that must be refused.

Guarantees: a `Key` signs in its suite and never shows its private part; `PublicKey.from_credential` takes only what
the suite allows (SM2 on its curve, P-256, RSA of at least 2048 bits), so that a weak key of the target is a finding;
`PublicKey.verify` raises and returns nothing. Signatures are raw: `r || s` for SM2 and ECDSA.

    CredentialError
    ├── CredentialWrong   the key material is not what its auth_type promises
    └── SignatureWrong    the signature is not that of the message

>>> key = Key.generate("SM3_SM2")
>>> key.public.verify(b"message", key.sign(b"message"))
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from conformance.harness import sm2

_RSA_BITS = 2048
_EXPONENT = 65537
_P256_SIZE = 32


class AuthType(StrEnum):
    """How a node proves who it is; the names that go over the wire."""

    SM3_SM2 = "SM3_SM2"
    SHA256_ECDSA = "SHA256_ECDSA"
    SHA256_RSA = "SHA256_RSA"


class WeakKind(StrEnum):
    """Key material that no node may take."""

    RSA_1024 = "rsa-1024"
    P_192 = "p-192"
    SECP256K1 = "secp256k1"
    SM2_OFF_CURVE = "sm2-off-curve"
    GARBAGE = "garbage"


ALGS = {
    AuthType.SM3_SM2: "sm2-sm3",
    AuthType.SHA256_ECDSA: "ecdsa-p256-sha256",
    AuthType.SHA256_RSA: "rsa-v1_5-sha256",
}


class CredentialError(ValueError):
    """Base of what can be wrong with key material or signatures that the target shows."""


class CredentialWrong(CredentialError):
    """The credential is not a key that its auth_type allows; the message says why."""


class SignatureWrong(CredentialError):
    """The signature is not that of the message under this key."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that is fit for its suite."""

    auth_type: str
    alg: str
    _matches: Callable[[bytes, bytes], bool] = field(repr=False, compare=False)

    @classmethod
    def from_credential(cls, auth_type: object, pem: object) -> Self:
        """Read `auth_credential`, whatever a target put there; CredentialWrong where the suite does not allow it."""
        if not isinstance(auth_type, str) or auth_type not in set(AuthType):
            raise CredentialWrong(f"auth_type {auth_type!r:.60} is none of {', '.join(AuthType)}")
        if not isinstance(pem, str):
            raise CredentialWrong(f"auth_credential is no string but {pem!r:.60}")
        kind = AuthType(auth_type)
        return cls(kind, ALGS[kind], _READERS[kind](pem))

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return nothing when the signature is right; SignatureWrong otherwise, however malformed it is."""
        if not self._matches(message, signature):
            raise SignatureWrong(f"not a {self.alg} signature of these {len(message)} bytes")


@dataclass(frozen=True, slots=True)
class Key:
    """A private key; `credential` is the PEM SubjectPublicKeyInfo that partners get, `alg` what it signs with."""

    auth_type: str
    alg: str
    credential: str = field(repr=False)
    _sign: Callable[[bytes], bytes] = field(repr=False, compare=False)

    @classmethod
    def generate(cls, auth_type: str) -> Key:
        """Return a fresh key of the suite; RSA takes some tens of milliseconds, see `KeyRing`."""
        match AuthType(auth_type):
            case AuthType.SM3_SM2:
                return _sm2_key()
            case AuthType.SHA256_ECDSA:
                return _ecdsa_key(ec.SECP256R1())
            case AuthType.SHA256_RSA:
                return _rsa_key(_RSA_BITS)

    @classmethod
    def of_sm2(cls, pem: str) -> Key:
        """Return the key of a PKCS#8 file; CredentialWrong where it holds none of SM2."""
        try:
            point, private = sm2.pair_from_pem(pem)
        except ValueError as exc:
            raise CredentialWrong(str(exc)) from exc
        return _sm2_with(sm2.point_to_pem(point), point, private)

    @property
    def public(self) -> PublicKey:
        """The public half; CredentialWrong for a weak key."""
        return PublicKey.from_credential(self.auth_type, self.credential)

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature."""
        return self._sign(message)


def weak_credential(kind: str) -> Key:
    """Return a key that must be refused for its weakness alone: wherever such a key can sign, it signs rightly.

    An off-curve point and garbage have no private half; they sign with a sound SM2 key that nobody knows.
    """
    match WeakKind(kind):
        case WeakKind.RSA_1024:
            return _rsa_key(1024)
        case WeakKind.P_192:
            return _ecdsa_key(ec.SECP192R1())
        case WeakKind.SECP256K1:
            return _ecdsa_key(ec.SECP256K1())
        case WeakKind.SM2_OFF_CURVE:
            point, private = sm2.engine().generate()
            off = point[:-1] + bytes([point[-1] ^ 1])
            return _sm2_with(sm2.point_to_pem(off), point, private)
        case WeakKind.GARBAGE:
            point, private = sm2.engine().generate()
            return _sm2_with("not a key", point, private)


class KeyRing:
    """Keys by owner, made once: asking twice for the same owner and suite gives the same key; thread-safe.

    `prepare` makes RSA keys ahead of their owners.
    """

    def __init__(self, generate: Callable[[str], Key] = Key.generate) -> None:
        self._generate = generate
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], Key] = {}
        self._spare: dict[str, list[Key]] = {}

    def prepare(self, auth_type: str, count: int) -> None:
        """Keep `count` keys of the suite ready."""
        for _ in range(count - len(self._spare.get(auth_type, ()))):
            key = self._generate(auth_type)  # outside the lock: others go on meanwhile
            with self._lock:
                self._spare.setdefault(auth_type, []).append(key)

    def key(self, auth_type: str, owner: str = "") -> Key:
        """Return the key of this owner; two owners never share one, all that name none share theirs."""
        with self._lock:
            known = self._keys.get((auth_type, owner))
            if known is None and (spare := self._spare.get(auth_type)):
                known = self._keys[auth_type, owner] = spare.pop()
        if known is not None:
            return known
        made = self._generate(auth_type)
        with self._lock:
            return self._keys.setdefault((auth_type, owner), made)


@cache
def key_ring() -> KeyRing:
    """Return the key ring of this process."""
    return KeyRing()


def _sm2_key() -> Key:
    point, private = sm2.engine().generate()
    return _sm2_with(sm2.point_to_pem(point), point, private)


def _sm2_with(credential: str, point: bytes, private: bytes) -> Key:
    def sign(message: bytes) -> bytes:
        return sm2.engine().sign(private, point, message)

    return Key(AuthType.SM3_SM2, ALGS[AuthType.SM3_SM2], credential, sign)


def _ecdsa_key(curve: ec.EllipticCurve) -> Key:
    private = ec.generate_private_key(curve)
    size = (curve.key_size + 7) // 8

    def sign(message: bytes) -> bytes:
        pair = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
        return b"".join(value.to_bytes(size, "big") for value in pair)

    return Key(AuthType.SHA256_ECDSA, ALGS[AuthType.SHA256_ECDSA], _pem(private.public_key()), sign)


def _rsa_key(bits: int) -> Key:
    private = rsa.generate_private_key(_EXPONENT, bits)

    def sign(message: bytes) -> bytes:
        return private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    return Key(AuthType.SHA256_RSA, ALGS[AuthType.SHA256_RSA], _pem(private.public_key()), sign)


def _pem(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _read_sm2(pem: str) -> Callable[[bytes, bytes], bool]:
    try:
        point = sm2.point_from_pem(pem)
    except ValueError as exc:
        raise CredentialWrong(str(exc)) from exc
    return lambda message, signature: sm2.engine().verify(point, message, signature)


def _load(pem: str) -> object:
    if "-----BEGIN PUBLIC KEY-----" not in pem:  # the loader takes other PEM labels too
        raise CredentialWrong("not one PEM block of a PUBLIC KEY")
    try:
        return load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise CredentialWrong(f"not a public key: {exc}") from exc


def _read_ecdsa(pem: str) -> Callable[[bytes, bytes], bool]:
    public = _load(pem)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise CredentialWrong("not an elliptic curve key")
    if not isinstance(public.curve, ec.SECP256R1):
        raise CredentialWrong(f"curve {public.curve.name} where P-256 is due")

    def matches(message: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * _P256_SIZE:
            return False
        r, s = (int.from_bytes(part, "big") for part in (signature[:_P256_SIZE], signature[_P256_SIZE:]))
        return _holds(lambda: public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256())))

    return matches


def _read_rsa(pem: str) -> Callable[[bytes, bytes], bool]:
    public = _load(pem)
    if not isinstance(public, rsa.RSAPublicKey):
        raise CredentialWrong("not an RSA key")
    if public.key_size < _RSA_BITS:
        raise CredentialWrong(f"an RSA modulus of {public.key_size} bits where {_RSA_BITS} are due")
    return lambda message, signature: _holds(
        lambda: public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256()),
    )


def _holds(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except InvalidSignature:
        return False
    return True


_READERS: dict[AuthType, Callable[[str], Callable[[bytes, bytes], bool]]] = {
    AuthType.SM3_SM2: _read_sm2,
    AuthType.SHA256_ECDSA: _read_ecdsa,
    AuthType.SHA256_RSA: _read_rsa,
}
