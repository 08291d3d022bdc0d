"""Vectors of integers modulo 2^64, 2^128, 2^192 or 2^256, as limbs of 64 bits: exact, vectorised, no truncation.

A vector of n integers is an array of shape (n, limbs), dtype uint64, least limb first. Negative integers are their
two's complement. What a sum may reach is known before data move, so `Ring.holding` chooses the width and refuses bounds
that no width holds: nothing ever wraps unseen.

    >>> ring = Ring.holding(10**20)
    >>> ring.to_integers(ring.add(ring.encode([1, -5]), ring.encode([2, 3])))
    [3, -2]
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from reference_node.algorithms.errors import BatchRefused, ParamsRefused

Limbs = npt.NDArray[np.uint64]
WIDTHS: Final = (64, 128, 192, 256)
_LIMB: Final = 64


@dataclass(frozen=True, slots=True)
class Ring:
    """Integers modulo 2^bits."""

    bits: int

    @classmethod
    def holding(cls, largest: int) -> Ring:
        """Return the smallest ring that holds every integer from -largest to largest; raise ParamsRefused."""
        for bits in WIDTHS:
            if largest < 1 << (bits - 1):
                return cls(bits)
        raise ParamsRefused("/params/max_abs", f"sums up to {largest.bit_length()} bits do not fit {WIDTHS[-1]} bits")

    @property
    def limbs(self) -> int:
        """Return the number of limbs of an integer."""
        return self.bits // _LIMB

    def encode(self, integers: Sequence[int]) -> Limbs:
        """Return the vector of these integers; raise OverflowError where one does not fit."""
        size = self.bits // 8
        return self.from_bytes(b"".join(number.to_bytes(size, "little", signed=True) for number in integers))

    def to_integers(self, vector: Limbs) -> list[int]:
        """Return the integers of a vector, the upper half of the ring as negative ones."""
        raw, size = self.to_bytes(vector), self.bits // 8
        return [int.from_bytes(raw[at : at + size], "little", signed=True) for at in range(0, len(raw), size)]

    def to_bytes(self, vector: Limbs) -> bytes:
        """Return a vector as little-endian integers, one behind the other."""
        return vector.astype("<u8").tobytes()

    def from_bytes(self, raw: bytes) -> Limbs:
        """Read little-endian integers; raise BatchRefused where the length is not a multiple."""
        if len(raw) % (self.bits // 8):
            raise BatchRefused(f"{len(raw)} bytes are not integers of {self.bits} bits")
        return np.frombuffer(raw, "<u8").astype(np.uint64).reshape(-1, self.limbs)

    def add(self, left: Limbs, right: Limbs) -> Limbs:
        """Add two vectors."""
        total = np.empty_like(left)
        carry = np.zeros(len(left), np.uint64)
        for limb in range(self.limbs):
            partial = left[:, limb] + right[:, limb]
            total[:, limb] = partial + carry
            # At most one of the two additions runs over: after the first did, the partial sum is below 2^64 - 1.
            carry = ((partial < right[:, limb]) | (total[:, limb] < partial)).astype(np.uint64)
        return total

    def negate(self, vector: Limbs) -> Limbs:
        """Return the vector of the opposites."""
        one = np.zeros_like(vector)
        one[:, 0] = 1
        return self.add(~vector, one)

    def random(self, count: int) -> Limbs:
        """Draw a vector from the operating system's generator."""
        return self.from_bytes(secrets.token_bytes(count * self.bits // 8))

    def split(self, vector: Limbs, parties: int, *, kept: bool = False) -> list[Limbs]:
        """Return as many shares as there are parties; all but all of them together are uniformly random.

        `kept`, a defect, has the same shares drawn every time.
        """
        shares = [self.random(len(vector)) for _ in range(parties - 1)]
        if kept:
            shares = [self.encode([1 << (self.bits - 3)] * len(vector)) for _ in shares]
        rest = vector
        for share in shares:
            rest = self.add(rest, self.negate(share))
        return [*shares, rest]

    def join(self, shares: Sequence[Limbs]) -> Limbs:
        """Return the sum of shares."""
        total = np.zeros_like(shares[0])
        for share in shares:
            total = self.add(total, share)
        return total
