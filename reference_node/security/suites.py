"""The signature suites a node may speak, strongest national suite first, and how two sides agree on one.

Guarantees (9.2-b): a suite's strength is computed from its key and its digest, never declared; none under 112 bits can
be registered; SM2 with SM3 is preferred whenever both sides have it, whatever order a configuration lists.

Example:
    >>> negotiate(["SHA256_RSA", "SM3_SM2"], ["SM3_SM2", "CERT"]).alg
    'sm2-sm3'

"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives import hashes

from reference_node.security import primitives
from reference_node.security.errors import CredentialTypeUnsupported, NoCommonSuite, SuiteRefused, WeakSuite
from reference_node.security.primitives import MINIMUM_STRENGTH_BITS


class AuthType(StrEnum):
    """The kinds of credential, as `auth_type` spells them."""

    SM3_SM2 = "SM3_SM2"
    SHA256_ECDSA = "SHA256_ECDSA"
    SHA256_RSA = "SHA256_RSA"


# a certificate of the agreed CA as credential: the suite is the one of the key inside
CERT: Final = "CERT"


class KeyKind(StrEnum):
    """The kinds of key a suite signs with."""

    SM2 = "SM2"
    EC = "EC"
    RSA = "RSA"


# the digest's name in content-digest (RFC 9530; sm3 in its manner)
_DIGESTS: Final[dict[str, type[hashes.HashAlgorithm]]] = {"sm3": hashes.SM3, "sha-256": hashes.SHA256}


def strength(kind: KeyKind, key_bits: int, digest: str) -> int:
    """Return the security strength in bits: the weaker of the key and the digest's collision resistance."""
    of_key = primitives.rsa_strength if kind is KeyKind.RSA else primitives.curve_strength
    return min(of_key(key_bits), primitives.hash_strength(digest))


@dataclass(frozen=True, slots=True)
class Suite:
    """A signature algorithm with its digest; `preference` 1 is tried first, `key_bits` is the least a key may have."""

    alg: str
    auth_type: str
    digest: str
    kind: KeyKind
    key_bits: int
    preference: int
    national: bool

    @property
    def strength_bits(self) -> int:
        """Security strength in bits, computed."""
        return strength(self.kind, self.key_bits, self.digest)

    def digest_of(self, data: bytes) -> bytes:
        """Return the suite's digest of some bytes."""
        return digest(self.digest, data)


def digest(name: str, data: bytes) -> bytes:
    """Return the digest of some bytes; `name` is sm3 or sha-256."""
    running = hashes.Hash(_DIGESTS[name]())
    running.update(data)
    return running.finalize()


def registry(*suites: Suite) -> tuple[Suite, ...]:
    """Order suites by preference; refuse a weak one, and two that cannot be told apart."""
    for suite in suites:
        if suite.strength_bits < MINIMUM_STRENGTH_BITS:
            raise WeakSuite(f"{suite.alg} has {suite.strength_bits} bits, under {MINIMUM_STRENGTH_BITS}")
    for told_by in ("alg", "auth_type", "preference"):
        if len({getattr(suite, told_by) for suite in suites}) != len(suites):
            raise ValueError(f"two suites share the same {told_by}")
    return tuple(sorted(suites, key=lambda suite: suite.preference))


SUITES: Final = registry(
    Suite("sm2-sm3", AuthType.SM3_SM2, "sm3", KeyKind.SM2, 256, preference=1, national=True),
    Suite("ecdsa-p256-sha256", AuthType.SHA256_ECDSA, "sha-256", KeyKind.EC, 256, preference=2, national=False),
    Suite("rsa-v1_5-sha256", AuthType.SHA256_RSA, "sha-256", KeyKind.RSA, 2048, preference=3, national=False),
)
_BY_ALG: Final = {suite.alg: suite for suite in SUITES}
_BY_AUTH_TYPE: Final = {suite.auth_type: suite for suite in SUITES}


def suite_of_alg(alg: str) -> Suite:
    """Return the suite that an `alg` parameter names, else raise SuiteRefused."""
    if alg not in _BY_ALG:
        raise SuiteRefused("the signature's algorithm is not one of " + ", ".join(_BY_ALG))
    return _BY_ALG[alg]


def suite_of_auth_type(auth_type: str) -> Suite:
    """Return the suite that an `auth_type` names, else raise CredentialTypeUnsupported."""
    if auth_type not in _BY_AUTH_TYPE:
        raise CredentialTypeUnsupported("auth_type is not one of " + ", ".join(_BY_AUTH_TYPE))
    return _BY_AUTH_TYPE[auth_type]


def negotiate(ours: Iterable[str], theirs: Iterable[str]) -> Suite:
    """Return the most preferred suite that both lists of `auth_type` hold; names that nobody knows are passed over."""
    common = set(ours) & set(theirs)
    for suite in SUITES:
        if suite.auth_type in common:
            return suite
    raise NoCommonSuite("the two sides have no signature suite in common")


@dataclass(frozen=True, slots=True)
class TlsSuite:
    """A cipher suite of the channel (9.2-g), as OpenSSL names it, and the primitives that it is made of."""

    name: str
    mode: str
    version: str
    cipher: str
    digest: str
    group: str

    @property
    def strength_bits(self) -> int:
        """Security strength in bits: the weakest of cipher, digest and key exchange."""
        return primitives.weakest(self.cipher, self.digest, self.group)


def tls_registry(*suites: TlsSuite) -> tuple[TlsSuite, ...]:
    """Take suites in the order of preference; refuse one of a primitive that is not registered, or given before."""
    for suite in suites:
        if suite.strength_bits < MINIMUM_STRENGTH_BITS:
            raise WeakSuite(f"{suite.name} has {suite.strength_bits} bits, under {MINIMUM_STRENGTH_BITS}")
    if len({suite.name for suite in suites}) != len(suites):
        raise ValueError("two suites of the channel have one name")
    return suites


TLS_SUITES: Final = tls_registry(
    TlsSuite("TLS_SM4_GCM_SM3", "gm", "1.3", "SM4", "SM3", "SM2"),
    TlsSuite("TLS_AES_256_GCM_SHA384", "intl", "1.3", "AES-256", "SHA-384", "X25519"),
    TlsSuite("TLS_CHACHA20_POLY1305_SHA256", "intl", "1.3", "ChaCha20", "SHA-256", "X25519"),
    TlsSuite("TLS_AES_128_GCM_SHA256", "intl", "1.3", "AES-128", "SHA-256", "X25519"),
    TlsSuite("ECDHE-ECDSA-AES256-GCM-SHA384", "intl", "1.2", "AES-256", "SHA-384", "X25519"),
    TlsSuite("ECDHE-ECDSA-CHACHA20-POLY1305", "intl", "1.2", "ChaCha20", "SHA-256", "X25519"),
    TlsSuite("ECDHE-ECDSA-AES128-GCM-SHA256", "intl", "1.2", "AES-128", "SHA-256", "X25519"),
)
