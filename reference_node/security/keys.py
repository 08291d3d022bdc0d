"""Key pairs of the three suites: made, kept on disk, presented as credentials, used.

Guarantees: a private key never shows in `repr`; its file has mode 0600 and is never overwritten nor, where others can
read it, taken; a credential becomes a `PublicKey` only after its kind, curve, size and point were checked (9.2-b);
`verify` raises and never returns a bool.

Example:
    >>> key = PrivateKey.generate(AuthType.SM3_SM2)
    >>> peer = PublicKey.from_credential("SM3_SM2", key.public.pem)
    >>> peer.verify(b"message", key.sign(b"message"))

"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature as LibraryInvalidSignature
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from reference_node.security import der, sm2
from reference_node.security.errors import CredentialMalformed, InvalidSignature, KeyTooWeak, PrivateKeyRefused
from reference_node.security.suites import AuthType, KeyKind, Suite, suite_of_auth_type

_RSA_BITS: Final = 2048
_RSA_LIMIT: Final = 8192  # a longer modulus only costs the verifier time
_RSA_EXPONENT: Final = 65537
_ECDSA_BYTES: Final = 64
_OTHERS: Final = 0o077
_OWNER_ONLY: Final = 0o600
_PRIVATE_LABEL: Final = "PRIVATE KEY"
_PUBLIC_LABEL: Final = "PUBLIC KEY"
_NO_MATCH: Final = "the signature does not belong to this message and key"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A checked public key; two are equal when suite and SubjectPublicKeyInfo are."""

    auth_type: AuthType
    spki: bytes
    _handle: bytes | ec.EllipticCurvePublicKey | rsa.RSAPublicKey = field(repr=False, compare=False)

    @classmethod
    def from_credential(cls, auth_type: str, pem: str) -> Self:
        """Take what a peer presents; raise CredentialTypeUnsupported, CredentialMalformed or KeyTooWeak."""
        suite = suite_of_auth_type(auth_type)
        data = der.from_pem(_PUBLIC_LABEL, pem)
        algorithm, curve, bits = der.read_public(data)
        _check_kind(suite, algorithm, curve)
        if suite.kind is KeyKind.SM2:
            sm2.check_point(bits)
            return cls(AuthType(suite.auth_type), der.sm2_public(bits), bits)
        try:
            loaded = serialization.load_der_public_key(data)
        except (ValueError, UnsupportedAlgorithm) as unreadable:
            raise CredentialMalformed("the credential's key is not valid for its kind") from unreadable
        if isinstance(loaded, rsa.RSAPublicKey):
            _check_modulus(loaded.key_size)
        elif not isinstance(loaded, ec.EllipticCurvePublicKey):
            raise CredentialMalformed("the credential's key is of a kind that no suite uses")
        return cls(AuthType(suite.auth_type), _spki(loaded), loaded)

    @property
    def suite(self) -> Suite:
        """The suite this key signs with."""
        return suite_of_auth_type(self.auth_type)

    @property
    def pem(self) -> str:
        """The key as `auth_credential` carries it."""
        return der.to_pem(_PUBLIC_LABEL, self.spki)

    @property
    def fingerprint(self) -> str:
        """Hex SM3 of the SubjectPublicKeyInfo, 64 characters."""
        return sm2.sm3(self.spki).hex()

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return when the signature holds, else raise InvalidSignature."""
        if isinstance(self._handle, bytes):
            sm2.best_backend().verify(self._handle, message, signature)
            return
        try:
            if isinstance(self._handle, rsa.RSAPublicKey):
                self._handle.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                self._handle.verify(_ecdsa_der(signature), message, ec.ECDSA(hashes.SHA256()))
        except LibraryInvalidSignature as wrong:
            raise InvalidSignature(_NO_MATCH) from wrong


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class PrivateKey:
    """A private key with its public half; `repr` shows the fingerprint only."""

    public: PublicKey
    _secret: int | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.auth_type}, fingerprint={self.public.fingerprint[:16]}..., secret=***)"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled; save it to a file of its own")

    @classmethod
    def generate(cls, auth_type: str) -> Self:
        """Draw a fresh key for a suite; raise CredentialTypeUnsupported."""
        kind = suite_of_auth_type(auth_type).kind
        if kind is KeyKind.SM2:
            return cls._of_sm2(*sm2.best_backend().keygen())
        if kind is KeyKind.EC:
            return cls._of_library(ec.generate_private_key(ec.SECP256R1()))
        return cls._of_library(rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS))

    @classmethod
    def from_pem(cls, pem: str) -> Self:
        """Read an unencrypted PKCS#8 PEM of any suite; the key tells which. Raise PrivateKeyRefused or KeyTooWeak."""
        try:
            data = der.from_pem(_PRIVATE_LABEL, pem)
            if der.is_sm2_private(data):
                return cls._checked_sm2(*der.read_sm2_private(data))
            loaded = serialization.load_der_private_key(data, password=None)
        except (CredentialMalformed, ValueError, TypeError, UnsupportedAlgorithm) as unreadable:
            raise PrivateKeyRefused("the private key is not a PKCS#8 PEM of a known kind") from unreadable
        if isinstance(loaded, rsa.RSAPrivateKey):
            _check_modulus(loaded.key_size)
            return cls._of_library(loaded)
        if isinstance(loaded, ec.EllipticCurvePrivateKey):
            if not isinstance(loaded.curve, ec.SECP256R1):
                raise KeyTooWeak("the private key is not on P-256, the curve of SHA256_ECDSA")
            return cls._of_library(loaded)
        raise PrivateKeyRefused("the private key is of a kind that no suite uses")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file that its owner alone can read."""
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise PrivateKeyRefused(f"{path.name} can be read by others than its owner", hint="chmod 600 the file")
            content = file.read()
        try:
            text = content.decode("ascii")
        except UnicodeDecodeError as binary:
            raise PrivateKeyRefused(f"{path.name} is not a PEM file") from binary
        return cls.from_pem(text)

    def save(self, path: Path) -> None:
        """Write the key to a new file of mode 0600; FileExistsError where there is one already."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(self.to_pem())

    def to_pem(self) -> str:
        """Return the key as unencrypted PKCS#8 PEM: a secret, for its file only."""
        if isinstance(self._secret, int):
            point = self.public.spki[-sm2.POINT_BYTES :]
            return der.to_pem(_PRIVATE_LABEL, der.sm2_private(self._secret, point))
        return self._secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii")

    def sign(self, message: bytes) -> bytes:
        """Sign a message; r || s of 64 bytes with the curves, PKCS#1 v1.5 with RSA."""
        if isinstance(self._secret, int):
            return sm2.best_backend().sign(self._secret, message)
        if isinstance(self._secret, rsa.RSAPrivateKey):
            return self._secret.sign(message, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self._secret.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    @classmethod
    def _checked_sm2(cls, private: int, point: bytes | None) -> Self:
        sm2.check_private(private)
        public = sm2.best_backend().public_of(private)
        if point not in (None, public):
            raise CredentialMalformed("the SM2 private key and its public half do not belong together")
        return cls._of_sm2(private, public)

    @classmethod
    def _of_sm2(cls, private: int, point: bytes) -> Self:
        return cls(PublicKey(AuthType.SM3_SM2, der.sm2_public(point), point), private)

    @classmethod
    def _of_library(cls, secret: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> Self:
        auth_type = AuthType.SHA256_RSA if isinstance(secret, rsa.RSAPrivateKey) else AuthType.SHA256_ECDSA
        public = secret.public_key()
        return cls(PublicKey(auth_type, _spki(public), public), secret)


def _check_kind(suite: Suite, algorithm: bytes, curve: bytes | None) -> None:
    """Refuse a key of another kind or curve than the suite's, before any library parses it."""
    if suite.kind is KeyKind.RSA:
        if algorithm != der.RSA_KEY:
            raise CredentialMalformed(f"{suite.auth_type} takes an RSA key and the credential holds another kind")
        return
    if algorithm != der.EC_KEY:
        raise CredentialMalformed(f"{suite.auth_type} takes a key on a curve and the credential holds another kind")
    if curve is None:
        raise CredentialMalformed("an elliptic curve key names its curve")
    if curve != (der.SM2_CURVE if suite.kind is KeyKind.SM2 else der.P256_CURVE):
        raise KeyTooWeak(f"the credential's curve is not the one of {suite.auth_type}")


def _check_modulus(bits: int) -> None:
    if bits < _RSA_BITS:
        raise KeyTooWeak(f"the RSA modulus has {bits} bits, under {_RSA_BITS}")
    if bits > _RSA_LIMIT:
        raise CredentialMalformed(f"the RSA modulus has {bits} bits, over {_RSA_LIMIT}")


def _spki(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _ecdsa_der(signature: bytes) -> bytes:
    if len(signature) != _ECDSA_BYTES:
        raise InvalidSignature("an ECDSA signature has 64 bytes")
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
