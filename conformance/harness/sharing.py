"""One party of the sum by additive sharing, played by the harness (9.2-c-1): messages in, messages out.

Guarantees: written after `specs/protocols/additive-statistics.md` alone, for two parties; what the other sends is kept
for the judge; a message that breaks the protocol raises NoMessage.

>>> from conformance.harness import compute_messages
>>> terms = Terms(("guest.0", "host.0"), ("kwh",), scale=2)
>>> one, two = Party("guest.0", terms, [(1050, 2)]), Party("host.0", terms, [(25, 1)])
>>> compute_messages.exchange(one, two)
>>> one.opened, two.opened
([1075, 3], [1075, 3])
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.harness.compute_messages import Said, packed, unpacked
from conformance.harness.ptp import NoMessage

AGREEMENT, SHARE, OPENING = "sharing.agreement", "sharing.share", "sharing.opening"
WIDTHS = (64, 128, 192, 256)


@dataclass(frozen=True, slots=True)
class Terms:
    """What both parties hold to; both get the result."""

    parties: tuple[str, ...]
    columns: tuple[str, ...]
    scale: int = 6
    max_abs: int = 10**12
    max_rows: int = 10**9

    @property
    def bits(self) -> int:
        """The width of the ring that holds every sum within the bounds."""
        most = len(self.parties) * self.max_rows * max(1, self.max_abs * 10**self.scale)
        return next(bits for bits in WIDTHS if most < 1 << (bits - 1))

    def agreement(self) -> bytes:
        """Return the message by which a party says what it holds to."""
        return packed(
            "Agreement",
            version=1,
            functionality="statistics",
            parties=self.parties,
            result_parties=sorted(self.parties),
            columns=self.columns,
            scale=self.scale,
            max_abs=str(self.max_abs),
            max_rows=self.max_rows,
            modulus_bits=self.bits,
        )


class Party:
    """One of two parties; `totals` are the scaled sum and the number of its values, column by column."""

    def __init__(self, me: str, terms: Terms, totals: Sequence[tuple[int, int]]) -> None:
        self.me, self.terms = me, terms
        self._plain = [number % self._modulus for pair in totals for number in pair]
        self._given = [secrets.randbelow(self._modulus) for _ in self._plain]
        self.share: list[int] = []  # what the other gave this one
        self.opened: list[int] | None = None
        self._held: list[int] = []
        self._early: Said = []  # tags keep no order among them

    @property
    def _modulus(self) -> int:
        return 1 << self.terms.bits

    def begin(self) -> Said:
        """Return what this party says first."""
        return [(AGREEMENT, self.terms.agreement())]

    def heard(self, tag: str, payload: bytes) -> Said:
        """Take a message of the other's; return what there is to say to it. Raises NoMessage."""
        match tag:
            case "sharing.agreement":
                if unpacked("Agreement", payload) != unpacked("Agreement", self.terms.agreement()):
                    raise NoMessage("the other party holds to something else")
                return [(SHARE, self._vector(self._given))]
            case "sharing.share":
                self.share = self._values(payload)
                rows = zip(self._plain, self._given, self.share, strict=True)
                self._held = [(plain - given + share) % self._modulus for plain, given, share in rows]
                return [(OPENING, self._vector(self._held)), *(self.heard(*self._early.pop()) if self._early else [])]
            case "sharing.opening" if not self._held:
                self._early.append((tag, payload))
                return []
            case "sharing.opening":
                sums = zip(self._held, self._values(payload), strict=True)
                self.opened = [_signed((held + other) % self._modulus, self._modulus) for held, other in sums]
                return []
        raise NoMessage(f"{tag} is no tag of this protocol")

    def _vector(self, numbers: Sequence[int]) -> bytes:
        values = b"".join(number.to_bytes(self.terms.bits // 8, "little") for number in numbers)
        return packed("ShareVector", modulus_bits=self.terms.bits, count=len(numbers), values=values)

    def _values(self, payload: bytes) -> list[int]:
        told, size = unpacked("ShareVector", payload), self.terms.bits // 8
        if (told.modulus_bits, told.count, len(told.values)) != (8 * size, len(self._plain), size * len(self._plain)):
            raise NoMessage("a vector of the agreed width and length is due")
        return [int.from_bytes(told.values[at : at + size], "little") for at in range(0, len(told.values), size)]


def _signed(number: int, modulus: int) -> int:
    return number - modulus if number >= modulus // 2 else number
