"""One side of the open ECDH-PSI, played by the harness (9.2-c-1): messages in, messages out, no clock and no wire.

A `Party` is told what it holds, takes messages by their tags and returns what it says to them; what is wrong with its
messages on purpose is a `Bend`. Guarantees: written after `specs/protocols/ecdh-psi.md` alone; everything that the
other side sends is kept for the judge; a message that breaks the protocol raises NoMessage.

>>> from conformance.harness import compute_messages
>>> one, two = Party(0, ["a", "b"]), Party(1, ["b", "c"])
>>> compute_messages.exchange(one, two)
>>> one.found, two.found
({'b'}, {'b'})
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.harness.compute_messages import Said, packed, unpacked, unwrapped, wrapped
from conformance.harness.psi_curves import SUITES, Suite, Triple
from conformance.harness.ptp import NoMessage

REQUEST, RESPONSE, CONFIRM, ONCE, TWICE = "Handshake", "Handshake_response", "Handshake_confirm", "enc", "dual.enc"
BOTH = -1
LEAST_BITS, STATISTICAL_BITS = 96, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """What is wrong with this side's messages on purpose; by default nothing.

    `triple` is offered, or chosen, in the place of the right suite; `bits` is the length of tags that is chosen;
    `points` and `tags` replace what the streams carry; `announced` and `count` are added to the numbers that are told.
    """

    triple: Triple | None = None
    bits: int = 0
    points: Callable[[list[bytes]], list[bytes]] | None = None
    tags: Callable[[list[bytes]], list[bytes]] | None = None
    announced: int = 0
    count: int = 0
    confirm: bool = False


class Party:
    """One side. `result` is the rank that gets the result, or BOTH."""

    def __init__(
        self,
        rank: int,
        items: Sequence[str],
        *,
        suites: Sequence[str] = tuple(SUITES),
        result: int = BOTH,
        bend: Bend | None = None,
    ) -> None:
        self.rank, self.result, self.bend = rank, result, bend or Bend()
        self.items = sorted(set(items), key=lambda _: secrets.token_bytes(8))
        self.names = tuple(suites)
        self.suite: Suite = SUITES[self.names[0]]
        self.found: set[str] | None = None
        self.error_code = 0
        self.confirmed: bool | None = None
        self.bits = 0
        self.received: dict[str, list[bytes]] = {ONCE: [], TWICE: []}  # the other's points, the tags of the own ones
        self.double: list[bytes] = []  # the other's points, masked by both, in the order in which they came
        self._secret, self._request, self._transcript = b"", b"", b""
        self._ended: set[str] = set()
        self._early: Said = []

    def begin(self) -> Said:
        """Return what this side says first."""
        if self.rank == 0:
            return []
        suits = [self._suit(SUITES[name]) for name in self.names]
        forms = list(dict.fromkeys(SUITES[name].form for name in self.names))
        ecc = wrapped(
            "EccProtocolProposal",
            supported_versions=[1],
            ec_suits=suits,
            point_octet_formats=forms,
            support_point_truncation=True,
        )
        told = {"item_num": len(self.items) + self.bend.announced, "result_to_rank": self.result}
        io = wrapped("PsiDataIoProposal", supported_versions=[1], **told)
        self._request = packed(
            "HandshakeRequest",
            version=2,
            requester_rank=1,
            supported_algos=[1],
            protocol_families=[1],
            protocol_family_params=[ecc],
            io_param=io,
        )
        return [(REQUEST, self._request)]

    def heard(self, tag: str, payload: bytes) -> Said:
        """Take a message of the other side's; return what there is to say to it. Raises NoMessage.

        What overtakes the handshake waits for it: tags keep no order among them.
        """
        if tag not in (REQUEST, RESPONSE) and not self._secret:
            self._early.append((tag, payload))
            return []
        match tag:
            case "Handshake" | "Handshake_response":
                said = (self._answer if tag == REQUEST else self._answered)(payload)
                early, self._early = (self._early, []) if self._secret else ([], self._early)
                return said + [more for row in early for more in self.heard(*row)]
            case "Handshake_confirm":
                self.confirmed = payload == self._seen(1 - self.rank)
                points = [self.suite.mask(self._secret, self.suite.point(item.encode())) for item in self.items]
                return [self._batch(ONCE, self.bend.points(points) if self.bend.points else points)]
            case _:
                return self._took(tag, payload)

    # --- handshake --------------------------------------------------------------------------------------------------

    def _answer(self, payload: bytes) -> Said:
        asked = unpacked("HandshakeRequest", payload)
        ecc = unwrapped("EccProtocolProposal", asked.protocol_family_params[0])
        io = unwrapped("PsiDataIoProposal", asked.io_param)
        offered = {(suit.curve, suit.hash, suit.hash2curve_strategy) for suit in ecc.ec_suits}
        chosen = next((SUITES[name] for name in self.names if SUITES[name].triple in offered), None)
        if chosen is None:
            raise NoMessage("the proposal holds no suite in common")
        self.bits = self.bend.bits or _bits(chosen, len(self.items), io.item_num)
        result = wrapped(
            "EccProtocolResult",
            version=1,
            ec_suit=self._suit(chosen),
            point_octet_format=chosen.form,
            bit_length_after_truncated=self.bits,
        )
        said = packed(
            "HandshakeResponse",
            header={"error_code": 0},
            algo=1,
            protocol_families=[1],
            protocol_family_params=[result],
            io_param=wrapped("PsiDataIoResult", version=1, result_to_rank=self.result),
        )
        return [(RESPONSE, said), self._settled(chosen, payload, said)]

    def _answered(self, payload: bytes) -> Said:
        told = unpacked("HandshakeResponse", payload)
        self.error_code = told.header.error_code
        if self.error_code:
            return []
        ecc = unwrapped("EccProtocolResult", told.protocol_family_params[0])
        triple = (ecc.ec_suit.curve, ecc.ec_suit.hash, ecc.ec_suit.hash2curve_strategy)
        chosen = next((SUITES[name] for name in self.names if SUITES[name].triple == triple), self.suite)
        self.bits = ecc.bit_length_after_truncated
        return [self._settled(chosen, self._request, payload)]

    def _settled(self, suite: Suite, request: bytes, response: bytes) -> tuple[str, bytes]:
        """Hold to what was agreed; return the confirmation of it."""
        self.suite, self._secret = suite, suite.secret()
        parts = b"".join(len(part).to_bytes(8, "big") + part for part in (request, response))
        self._transcript = suite.hash(b"hutong ecdh-psi transcript 1" + parts)
        seen = self._seen(self.rank)
        return CONFIRM, seen[::-1] if self.bend.confirm else seen

    def _seen(self, rank: int) -> bytes:
        return self.suite.hash(b"hutong ecdh-psi confirm 1" + bytes([rank]) + self._transcript)

    def _suit(self, suite: Suite) -> dict[str, int]:
        return dict(zip(("curve", "hash", "hash2curve_strategy"), self.bend.triple or suite.triple, strict=True))

    # --- exchange ---------------------------------------------------------------------------------------------------

    @property
    def tag_size(self) -> int:
        """The bytes of a tag."""
        return self.suite.size if self.bits < 0 else self.bits // 8

    def _took(self, tag: str, payload: bytes) -> Said:
        size = self.suite.size if tag == ONCE else self.tag_size
        batch: Any = unpacked("EcdhPsiCipherBatch", payload)
        if tag not in self.received or batch.type != tag or batch.count * size != len(batch.ciphertext):
            raise NoMessage(f"a batch of {tag} is due")
        self.received[tag] += [batch.ciphertext[at : at + size] for at in range(0, len(batch.ciphertext), size)]
        self._ended |= {tag} if batch.is_last_batch else set()
        said: Said = []
        if tag == ONCE and batch.is_last_batch:
            self.double = [self.suite.mask(self._secret, point)[-self.tag_size :] for point in self.received[ONCE]]
            if self.result in (BOTH, 1 - self.rank):
                said = [self._batch(TWICE, self.bend.tags(list(self.double)) if self.bend.tags else self.double)]
        if self._ended == {ONCE, TWICE}:
            theirs = set(self.double)
            pairs = zip(self.items, self.received[TWICE], strict=True)
            self.found = {item for item, own in pairs if own in theirs}
        return said

    def _batch(self, tag: str, values: Sequence[bytes]) -> tuple[str, bytes]:
        count = len(values) + (self.bend.count if tag == ONCE else 0)
        return tag, packed("EcdhPsiCipherBatch", type=tag, is_last_batch=True, count=count, ciphertext=b"".join(values))


def _bits(suite: Suite, own: int, other: int) -> int:
    """Return the least bits of a tag for sets of these sizes."""
    sizes = sum(max(count - 1, 0).bit_length() for count in (own, other))
    return max(LEAST_BITS, -(-(STATISTICAL_BITS + sizes + suite.lost_bits) // 8) * 8)
