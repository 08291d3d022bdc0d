"""SM2 signatures (GB/T 32918.2 on the curve of GB/T 32918.5) behind one small interface.

Guarantees, whichever backend serves (9.2-b):

* a signature is the raw 64 bytes r || s, big endian; both lie in [1, n-1] and r + s is not 0 modulo n;
* the signed digest is SM3(ZA || message), ZA binding the user id, the curve and the public key;
* a public key is taken only as 65 bytes 04 || x || y, with coordinates below p and on the curve;
* a private key lies in [1, n-2]; nonces come from a cryptographic generator and are never reused by design;
* `verify` raises and never returns a bool.

Example:
    >>> backend = best_backend()
    >>> private, public = backend.keygen()
    >>> backend.verify(public, b"message", backend.sign(private, b"message"))

"""

from __future__ import annotations

import secrets
from functools import cache
from typing import Final, Protocol

from cryptography.hazmat.primitives import hashes

from reference_node.security.errors import BackendUnavailable, CredentialMalformed, InvalidSignature

P: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
A: Final = P - 3
B: Final = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
N: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
GX: Final = 0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7
GY: Final = 0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0

DEFAULT_USER_ID: Final = b"1234567812345678"
SIGNATURE_BYTES: Final = 64
POINT_BYTES: Final = 65
_CURVE_BYTES: Final = b"".join(value.to_bytes(32, "big") for value in (A, B, GX, GY))
_USER_ID_LIMIT: Final = 8190  # its length in bits is written in two bytes; OpenSSL refuses 8191 already


class Sm2Backend(Protocol):
    """One implementation of SM2; all of them sign and verify interchangeably."""

    @property
    def name(self) -> str:
        """How the backend is called in logs and reports."""

    def keygen(self) -> tuple[int, bytes]:
        """Draw a key pair: the private scalar and the public point as 65 bytes."""

    def public_of(self, private: int) -> bytes:
        """Return the public point that belongs to a private scalar."""

    def sign(self, private: int, message: bytes, user_id: bytes = DEFAULT_USER_ID) -> bytes:
        """Sign a message; the answer is r || s."""

    def verify(self, public: bytes, message: bytes, signature: bytes, user_id: bytes = DEFAULT_USER_ID) -> None:
        """Return when the signature holds, else raise InvalidSignature; a bad point raises CredentialMalformed."""


def sm3(data: bytes) -> bytes:
    """Return the 32 bytes SM3 digest (GB/T 32905)."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def signed_digest(public: bytes, message: bytes, user_id: bytes = DEFAULT_USER_ID) -> bytes:
    """Return SM3(ZA || message), what is really signed (GB/T 32918.2, 5.5 and 6.1)."""
    return sm3(identity_digest(public, user_id) + message)


def identity_digest(public: bytes, user_id: bytes = DEFAULT_USER_ID) -> bytes:
    """Return ZA, the digest of the signer's id, the curve and the public key (GB/T 32918.2, 5.5)."""
    check_user_id(user_id)
    bits = (len(user_id) * 8).to_bytes(2, "big")
    return sm3(bits + user_id + _CURVE_BYTES + public[1:])


def check_user_id(user_id: bytes) -> None:
    """Refuse an id whose length in bits would not fit its two bytes."""
    if len(user_id) > _USER_ID_LIMIT:
        raise ValueError(f"an SM2 user id has at most {_USER_ID_LIMIT} bytes")


def check_private(private: int) -> None:
    """Refuse a scalar outside [1, n-2]; n-1 has no inverse of 1+d."""
    if not 1 <= private <= N - 2:
        raise ValueError("an SM2 private key lies in [1, n-2]")


def check_point(public: bytes) -> None:
    """Refuse whatever is not an uncompressed finite point of the curve."""
    if len(public) != POINT_BYTES or public[0] != 0x04:
        raise CredentialMalformed("an SM2 public key is an uncompressed point, 65 bytes from 04 on")
    x, y = int.from_bytes(public[1:33], "big"), int.from_bytes(public[33:], "big")
    if x >= P or y >= P:
        raise CredentialMalformed("a coordinate of the SM2 public key is not below the field's prime")
    if (y * y - (x * x * x + A * x + B)) % P:
        raise CredentialMalformed("the SM2 public key is not a point of the curve")


def split_signature(signature: bytes) -> tuple[int, int]:
    """Return r and s, both within [1, n-1] and with r + s not 0 modulo n (GB/T 32918.2, 7.1)."""
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature("an SM2 signature has 64 bytes")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (1 <= r < N and 1 <= s < N) or r + s == N:
        raise InvalidSignature("r or s of the SM2 signature is out of range")
    return r, s


def random_scalar(limit: int = N) -> int:
    """Draw uniformly from [1, limit-1]."""
    return 1 + secrets.randbelow(limit - 1)


@cache
def best_backend() -> Sm2Backend:
    """Return libcrypto 3 where it is there, else gmssl behind its adapter; chosen once for the process."""
    # both modules import this one, so they are fetched when the choice is made
    from reference_node.security.sm2_gmssl import GmsslBackend
    from reference_node.security.sm2_libcrypto import LibcryptoBackend

    try:
        return LibcryptoBackend()
    except BackendUnavailable:
        return GmsslBackend()
