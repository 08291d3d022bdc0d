"""The two suites: identifiers become points, and points are masked with a secret scalar.

Guarantees:

* `x25519-sha256`: the digest SHA-256(item) is the u coordinate (RFC 7748; bit 255 is ignored); the mask is X25519.
* `sm2-sm3`: u = SM3(item) as a big-endian integer modulo p; the point is the first one with x = u, u + 1, ... (modulo
  p) on the curve, with an even y (try and increment, ePrint 2009/226, section 1.1); the mask is a scalar in [1, n-1].
* A point of the other side is used only after it was checked: length, canonical coordinates below p, on the curve (its
  group is prime, so it lies in it), not of small order (X25519, where the product would be zero).
* Secrets come from the operating system's generator, live for one run, and show in no text.

Points travel as one byte string, one behind the other, each `point_bytes` long. Work is split over `workers` threads:
OpenSSL runs outside the interpreter's lock, and so does the compiled kernel that takes large batches of compressed SM2
points where the extra `fast` is installed. Which of the two served cannot be told from the points.

    >>> curve = make_curve(Suite.X25519, PointFormat.UNCOMPRESSED)
    >>> len(curve.mask(curve.points(curve.digest(b"id-1"))))
    32
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum, StrEnum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes

from reference_node.algorithms.errors import PointRefused
from reference_node.algorithms.psi import libcrypto

DIGEST_BYTES: Final = 32
P25519: Final = 2**255 - 19
SM2_P: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
SM2_N: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
KERNEL_FROM: Final = 4096  # SM2 operations behind which the compiled kernel is loaded
_LARGE_BYTES: Final = 4 * KERNEL_FROM  # of tables that are likely to have that many rows
_settled = threading.Event()
_SLICE: Final = 256  # points a thread takes at once: some 10 ms of work


class Suite(StrEnum):
    """Curve and hash together."""

    X25519 = "x25519-sha256"
    SM2 = "sm2-sm3"


class PointFormat(IntEnum):
    """How a point is written; the numbers are those of the handshake."""

    UNCOMPRESSED = 1
    X962_COMPRESSED = 2
    X962_UNCOMPRESSED = 3


FORMATS: Final = {
    Suite.X25519: (PointFormat.UNCOMPRESSED,),
    Suite.SM2: (PointFormat.X962_COMPRESSED, PointFormat.X962_UNCOMPRESSED),
}


class Curve(ABC):
    """One suite with one secret."""

    suite: Suite
    point_bytes: int
    lost_bits: int  # how many bits of a truncated tag carry nothing

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="mask") if workers > 1 else None

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    @abstractmethod
    def digest(item: bytes) -> bytes:
        """Hash an item to 32 bytes."""

    @abstractmethod
    def points(self, digests: bytes) -> bytes:
        """Turn digests, one behind the other, into points."""

    @abstractmethod
    def check(self, points: bytes) -> None:
        """Refuse points that are not canonical; what costs arithmetic is checked by `mask`."""

    @abstractmethod
    def _mask_slice(self, points: bytes) -> bytes:
        """Mask points in this thread."""

    def mask(self, points: bytes) -> bytes:
        """Multiply points by the secret; raise PointRefused where one of them is not to be used."""
        if len(points) % self.point_bytes:
            raise PointRefused(f"{len(points)} bytes are not points of {self.point_bytes} bytes each")
        return self._split(self._mask_slice, points, self.point_bytes)

    def tags(self, points: bytes, size: int) -> bytes:
        """Return the last `size` bytes of each point."""
        table = np.frombuffer(points, np.uint8).reshape(-1, self.point_bytes)
        return np.ascontiguousarray(table[:, self.point_bytes - size :]).tobytes()

    def _split(self, work: Callable[[bytes], bytes], data: bytes, size: int) -> bytes:
        if self._pool is None or len(data) <= _SLICE * size:
            return work(data)
        step = _SLICE * size
        return b"".join(self._pool.map(work, [data[at : at + step] for at in range(0, len(data), step)]))


class X25519(Curve):
    """Curve25519 with SHA-256."""

    suite = Suite.X25519
    point_bytes = 32
    lost_bits = 1  # the top bit of the last byte is always 0

    def __init__(self, secret: bytes | None = None, workers: int = 1) -> None:
        super().__init__(workers)
        self._secret = secret or secrets.token_bytes(32)

    @staticmethod
    def digest(item: bytes) -> bytes:
        """Hash an item with SHA-256."""
        return hashlib.sha256(item).digest()

    def points(self, digests: bytes) -> bytes:
        """Take the digests themselves: every 32 bytes are a u coordinate."""
        return digests

    def check(self, points: bytes) -> None:
        """Refuse coordinates that are not below p."""
        table = np.frombuffer(points, np.uint8).reshape(-1, 32)
        large = (table[:, 31] & 0x7F == 0x7F) & (table[:, 0] >= 0xED)
        large &= (table[:, 1:31] == 0xFF).all(axis=1)
        if bool(large.any()) or bool((table[:, 31] & 0x80).any()):
            raise PointRefused("a coordinate is not below the field's prime")

    def _mask_slice(self, points: bytes) -> bytes:
        arithmetic = libcrypto.X25519Arithmetic(self._secret)
        made = []
        for at in range(0, len(points), 32):
            product = arithmetic.product(points[at : at + 32])
            if product is None:
                raise PointRefused("a point is of small order")
            made.append(product)
        return b"".join(made)


class Sm2(Curve):
    """The recommended curve of GB/T 32918.5 with SM3."""

    suite = Suite.SM2
    lost_bits = 0

    def __init__(self, form: PointFormat, secret: int | None = None, workers: int = 1) -> None:
        super().__init__(workers)
        # Within 64 of 0 and n lie the scalars that the kernel refuses; drawing one has a chance of 2^-249.
        self._secret = secret or 64 + secrets.randbelow(SM2_N - 128)
        self._seen = 0
        compressed = form is PointFormat.X962_COMPRESSED
        self._form = libcrypto.COMPRESSED if compressed else libcrypto.UNCOMPRESSED
        self._first = (b"\x02", b"\x03") if compressed else (b"\x04",)
        self.point_bytes = 33 if compressed else 65

    @staticmethod
    def digest(item: bytes) -> bytes:
        """Hash an item with SM3."""
        state = hashes.Hash(hashes.SM3())
        state.update(item)
        return state.finalize()

    def points(self, digests: bytes) -> bytes:
        """Find for each digest the first point at or behind it."""
        return self._split(self._lift_slice, digests, DIGEST_BYTES)

    def check(self, points: bytes) -> None:
        """Refuse encodings that do not begin as the format demands; OpenSSL takes other formats and infinity too."""
        size = self.point_bytes
        if any(points[at : at + 1] not in self._first for at in range(0, len(points), size)):
            raise PointRefused("a point is not of the agreed format")

    def _kernel(self, count: int) -> ModuleType | None:
        """Return the compiled kernel where it pays: loading it takes longer than libcrypto takes for a few points."""
        self._seen += count
        return sm2_kernel() if self._form == libcrypto.COMPRESSED and self._seen >= KERNEL_FROM else None

    def _lift_slice(self, digests: bytes) -> bytes:
        kernel = self._kernel(len(digests) // DIGEST_BYTES)
        if kernel is not None:
            lifted: bytes = kernel.lift(digests)
            return lifted
        arithmetic = libcrypto.Sm2Arithmetic(self._secret)
        made = []
        for at in range(0, len(digests), DIGEST_BYTES):
            x = int.from_bytes(digests[at : at + DIGEST_BYTES], "big") % SM2_P
            while not arithmetic.lift(x):
                x = (x + 1) % SM2_P
            made.append(arithmetic.point(self._form))
        return b"".join(made)

    def _mask_slice(self, points: bytes) -> bytes:
        size = self.point_bytes
        kernel = self._kernel(len(points) // size)
        if kernel is not None:
            product: bytes | None = kernel.multiply(points, self._secret)
            if product is None:
                raise PointRefused("a point is not on the curve")
            return product
        arithmetic = libcrypto.Sm2Arithmetic(self._secret)
        made = []
        for at in range(0, len(points), size):
            if not arithmetic.load(points[at : at + size]):
                raise PointRefused("a point is not on the curve")
            made.append(arithmetic.product(self._form))
        return b"".join(made)


def load_ahead(files: Iterable[Path]) -> None:
    """Have the compiled kernel loaded where tables are large enough for it to pay, and leave it alone from here on.

    A component that is confined can keep no compiled code: it would be made anew, for seconds, each time.
    """
    if sum(path.stat().st_size for path in files if path.is_file()) >= _LARGE_BYTES:
        kernel = sm2_kernel()
        if kernel is not None:
            kernel.multiply(kernel.lift(bytes(DIGEST_BYTES)), SM2_N // 3)
    _settled.set()


@cache
def sm2_kernel() -> ModuleType | None:
    """Return the compiled kernel, or None where numba is not installed or finds no folder to keep compiled code in."""
    if _settled.is_set():
        return None
    try:
        from reference_node.algorithms.psi import sm2_kernel as kernel
    except (ImportError, RuntimeError):
        return None
    return kernel


def make_curve(suite: Suite, form: PointFormat, workers: int = 1, *, kept: bool = False) -> Curve:
    """Draw a secret for a suite, or take the same in every run (`kept`, a defect); raise EngineUnavailable."""
    if suite is Suite.X25519:
        return X25519(bytes(range(32)) if kept else None, workers=workers)
    return Sm2(form, SM2_N // 3 if kept else None, workers=workers)


def digester(suite: Suite) -> Callable[[bytes], bytes]:
    """Return the hash of a suite."""
    return X25519.digest if suite is Suite.X25519 else Sm2.digest
