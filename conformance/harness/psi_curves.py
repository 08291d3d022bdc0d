"""The two suites of the open ECDH-PSI as the harness computes them (9.2-c-1): items become points, points are masked.

Written after `specs/protocols/ecdh-psi.md` alone and held against `specs/vectors/psi`. Not constant in time: the
secrets are the harness's own and live for one run.

>>> suite = SUITES["x25519-sha256"]
>>> len(suite.mask(suite.secret(), suite.point(b"id-1")))
32
"""

from __future__ import annotations

import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from conformance.harness import sm2, sm2_base
from conformance.harness.ptp import NoMessage

Triple = tuple[int, int, int]  # curve, hash, strategy by the numbers of the handshake


class Suite(ABC):
    """Curve and hash together, with how a point is written."""

    triple: Triple
    form: int
    size: int
    lost_bits: int

    @abstractmethod
    def hash(self, text: bytes) -> bytes:
        """Hash a text."""

    @abstractmethod
    def secret(self) -> bytes:
        """Draw the secret of a run."""

    @abstractmethod
    def point(self, item: bytes) -> bytes:
        """Turn an item into a point."""

    @abstractmethod
    def mask(self, secret: bytes, point: bytes) -> bytes:
        """Multiply a point; raise NoMessage where it is none."""


class Curve25519(Suite):
    """X25519 with SHA-256."""

    triple, form, size, lost_bits = (1, 11, 3), 1, 32, 1

    def hash(self, text: bytes) -> bytes:
        """Hash a text."""
        return hashlib.sha256(text).digest()

    def secret(self) -> bytes:
        """Draw the secret of a run."""
        return secrets.token_bytes(32)

    def point(self, item: bytes) -> bytes:
        """Take the digest as the u coordinate."""
        return self.hash(item)

    def mask(self, secret: bytes, point: bytes) -> bytes:
        """Multiply a point by RFC 7748."""
        try:
            return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(point))
        except ValueError:
            raise NoMessage("a point is of small order") from None


class Sm2(Suite):
    """The SM2 curve with SM3, points compressed."""

    triple, form, size, lost_bits = (2, 1, 1), 2, 33, 0

    def hash(self, text: bytes) -> bytes:
        """Hash a text."""
        return sm2.sm3(text)

    def secret(self) -> bytes:
        """Draw the secret of a run."""
        return (1 + secrets.randbelow(sm2.N - 1)).to_bytes(32, "big")

    def point(self, item: bytes) -> bytes:
        """Find the first point at or behind the digest; its y is even."""
        x = int.from_bytes(self.hash(item), "big") % sm2.P
        while _root(x) is None:
            x = (x + 1) % sm2.P
        return b"\2" + x.to_bytes(32, "big")

    def mask(self, secret: bytes, point: bytes) -> bytes:
        """Multiply a point that was checked to be on the curve."""
        x, y = _decoded(point)
        x, y = sm2_base.product(int.from_bytes(secret, "big"), (x, y))
        return (b"\3" if y & 1 else b"\2") + x.to_bytes(32, "big")


def _root(x: int) -> int | None:
    """Return a y for an x, None where there is none."""
    square = (x * x * x + sm2.A * x + sm2.B) % sm2.P
    y = pow(square, (sm2.P + 1) // 4, sm2.P)
    return y if y * y % sm2.P == square else None


def _decoded(point: bytes) -> sm2_base.Affine:
    x = int.from_bytes(point[1:], "big")
    y = _root(x) if len(point) == Sm2.size and point[0] in (2, 3) and x < sm2.P else None
    if y is None:
        raise NoMessage("a point is not on the curve")
    return x, y if y & 1 == point[0] & 1 else sm2.P - y


SUITES: Mapping[str, Suite] = {"sm2-sm3": Sm2(), "x25519-sha256": Curve25519()}

# --- points that no node may multiply -------------------------------------------------------------------------------


def off_curve() -> bytes:
    """Return an encoding whose x has no point on the SM2 curve."""
    x = 1 + secrets.randbelow(sm2.P - 1)
    while _root(x) is not None:
        x += 1
    return b"\2" + x.to_bytes(32, "big")


SMALL_ORDER = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")  # order 8 on Curve25519
ZERO = bytes(32)
NOT_CANONICAL = (2**255 - 19 + 9).to_bytes(32, "little")  # the base point, but not below the prime
