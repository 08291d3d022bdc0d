"""gmssl 3.2.2 as an SM2 backend: its arithmetic, with its defects mended around it.

The bare library's `CryptSM2` (each is shown in the tests, on the library and mended here):

* strips every leading 0 and 4 digit of a public key that starts with 04: the point is set after construction instead;
* draws its nonce with `random`, also outside [1, n-1]: nonces come from `secrets` and are range checked;
* hard-codes the user id: the digest is computed here and handed over ready;
* takes r and s out of range, so one signature has two spellings: ranges are checked before it is asked;
* takes points off the curve: points are checked before it is asked;
* may answer None instead of a signature: another nonce is drawn;
* breaks with TypeError where the sum is the point at infinity, which a signer can bring about: that is a refusal.

Portable and slow (hundreds of operations a second); the node uses it only where libcrypto 3 is absent. It is not
constant in time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from gmssl.sm2 import CryptSM2, default_ecc_table

from reference_node.security import sm2
from reference_node.security.errors import InvalidSignature


class GmsslBackend:
    """The adapter; `nonces` is its one source of randomness.

    Example:
        >>> backend = GmsslBackend()
        >>> private, public = backend.keygen()
        >>> backend.verify(public, b"m", backend.sign(private, b"m"))

    """

    name: Final = "gmssl"

    def __init__(self, nonces: Callable[[], int] = sm2.random_scalar) -> None:
        self._nonces = nonces

    def keygen(self) -> tuple[int, bytes]:
        """Draw a key pair."""
        private = sm2.random_scalar(sm2.N - 1)
        return private, self.public_of(private)

    def public_of(self, private: int) -> bytes:
        """Return the public point of a private scalar."""
        return _public_of(private)

    def sign(self, private: int, message: bytes, user_id: bytes = sm2.DEFAULT_USER_ID) -> bytes:
        """Sign a message; the answer is r || s."""
        return self.sign_digest(private, sm2.signed_digest(_public_of(private), message, user_id))

    def sign_digest(self, private: int, digest: bytes) -> bytes:
        """Sign SM3(ZA || message) given ready, drawing nonces until one serves."""
        sm2.check_private(private)
        library = _library(private=private)
        while True:
            nonce = self._nonces()
            if not 1 <= nonce < sm2.N:
                continue
            answer = library.sign(digest, f"{nonce:064x}")
            if answer is not None:
                return bytes.fromhex(answer)

    def verify(self, public: bytes, message: bytes, signature: bytes, user_id: bytes = sm2.DEFAULT_USER_ID) -> None:
        """Return when the signature holds, else raise InvalidSignature."""
        sm2.check_point(public)
        self.verify_digest(public, sm2.signed_digest(public, message, user_id), signature)

    def verify_digest(self, public: bytes, digest: bytes, signature: bytes) -> None:
        """Verify over SM3(ZA || message) given ready."""
        sm2.check_point(public)
        sm2.split_signature(signature)
        try:
            holds = _library(public=public).verify(signature.hex(), digest)
        except TypeError as infinity:  # the library turns the point at infinity into None and indexes it
            raise InvalidSignature("the SM2 signature does not belong to this message and key") from infinity
        if not holds:
            raise InvalidSignature("the SM2 signature does not belong to this message and key")


@lru_cache(maxsize=256)
def _public_of(private: int) -> bytes:
    sm2.check_private(private)
    return b"\x04" + bytes.fromhex(_library()._kg(private, default_ecc_table["g"]))  # noqa: SLF001 - no public name


def _library(private: int = 0, public: bytes = b"") -> CryptSM2:
    library = CryptSM2(private_key=f"{private:064x}", public_key="")
    library.public_key = public[1:].hex()  # past the constructor, which would strip digits
    return library
