"""The alliance's handshake for ECDH-PSI: rank 1 proposes, rank 0 chooses, both end with the same `Agreement`.

Guarantees: an answer outside the proposal is refused (DowngradeRefused), and so is a tag length under the rule

    bits >= 40 + ceil(log2 m) + ceil(log2 n) (+ 1 for Curve25519, whose last byte has 7 bits), in whole bytes, >= 96

which leaves a false match in the whole run a chance of at most 2^-40. The proposer learns the other side's size only
from its batches, so it checks that part of the rule then (`enough_bits`). A refusal travels as an error code of the
answer's header before it is raised here. `transcript` is the suite's hash over both messages as they stood on the wire;
`confirm` has both sides show each other that they saw the same, before any item leaves, so that whoever stripped a
suite between them is found out (9.2-f).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from google.protobuf.message import DecodeError

from reference_node.algorithms.channel import Channel
from reference_node.algorithms.contract import Defect, sound
from reference_node.algorithms.errors import BatchRefused, DowngradeRefused, HandshakeRefused
from reference_node.algorithms.psi.curves import FORMATS, PointFormat, Suite
from reference_node.proto import ecc_pb2, handshake_pb2, header_pb2, psi_pb2

VERSION: Final = 2
PART_VERSION: Final = 1
REQUEST, RESPONSE, CONFIRM = "Handshake", "Handshake_response", "Handshake_confirm"
BOTH: Final = -1
WHOLE_POINTS: Final = -1
STATISTICAL_BITS: Final = 40
LEAST_BITS: Final = 96
_TRANSCRIPT: Final = b"hutong ecdh-psi transcript 1"
_CONFIRM: Final = b"hutong ecdh-psi confirm 1"
_POINT_BYTES: Final = {
    PointFormat.UNCOMPRESSED: 32,
    PointFormat.X962_COMPRESSED: 33,
    PointFormat.X962_UNCOMPRESSED: 65,
}
_TRIPLES: Final = {
    Suite.X25519: (
        ecc_pb2.CURVE_TYPE_CURVE25519,
        ecc_pb2.HASH_TYPE_SHA_256,
        ecc_pb2.HASH_TO_CURVE_STRATEGY_DIRECT_HASH_AS_POINT_X,
    ),
    Suite.SM2: (
        ecc_pb2.CURVE_TYPE_SM2,
        ecc_pb2.HASH_TYPE_SM3,
        ecc_pb2.HASH_TO_CURVE_STRATEGY_TRY_AND_INCREMENT,
    ),
}


@dataclass(frozen=True, slots=True)
class Offer:
    """What a party brings to the handshake: suites in the order of its liking, its size, who gets the result."""

    suites: tuple[Suite, ...]
    items: int
    result_to_rank: int
    truncation: bool = True


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides hold to; `peer_items` is None for the proposer, who is not told."""

    suite: Suite
    form: PointFormat
    tag_bits: int
    result_to_rank: int
    peer_items: int | None
    transcript: bytes

    @property
    def tag_bytes(self) -> int:
        """Return the length of a tag on the wire."""
        return _POINT_BYTES[self.form] if self.tag_bits == WHOLE_POINTS else self.tag_bits // 8


def required_bits(suite: Suite, own: int, peer: int) -> int:
    """Return the least bits of a tag for sets of these sizes."""
    sizes = max(own - 1, 0).bit_length() + max(peer - 1, 0).bit_length()
    bits = STATISTICAL_BITS + sizes + (suite is Suite.X25519)
    return max(LEAST_BITS, -(-bits // 8) * 8)


def enough_bits(agreement: Agreement, own: int, peer: int, defect: Defect = sound) -> None:
    """Refuse tags that are too short for the sizes that turned out."""
    enough = agreement.tag_bits == WHOLE_POINTS or agreement.tag_bits >= required_bits(agreement.suite, own, peer)
    if not defect("psi-short-tags-taken") and not enough:
        raise DowngradeRefused(f"tags of {agreement.tag_bits} bits are too short for {own} and {peer} items")


def propose(channel: Channel, peer: str, offer: Offer, defect: Defect = sound) -> Agreement:
    """Send the proposal, as rank 1, and take the answer; raise PeerRefused."""
    request = _request(offer).SerializeToString(deterministic=True)
    channel.send(peer, REQUEST, request)
    raw = channel.recv(peer, RESPONSE)
    try:
        response = handshake_pb2.HandshakeResponse.FromString(raw)
    except DecodeError as wrong:
        raise BatchRefused("the handshake's answer is not a HandshakeResponse") from wrong
    if response.header.error_code != header_pb2.OK:
        message = response.header.error_msg[:200]
        raise HandshakeRefused(f"the other side refused: {message!r}", error_code=response.header.error_code)
    suite, form, bits = _chosen(response, offer, defect)
    agreement = Agreement(suite, form, bits, offer.result_to_rank, None, transcript(suite, request, raw))
    enough_bits(agreement, offer.items, 0, defect)
    return agreement


def answer(channel: Channel, peer: str, offer: Offer, defect: Defect = sound) -> Agreement:
    """Take the proposal, as rank 0, and answer with a choice or an error code; raise PeerRefused."""
    raw = channel.recv(peer, REQUEST)
    try:
        suite, form, truncation, items = _choose(raw, offer, defect)
    except HandshakeRefused as refused:
        header = header_pb2.ResponseHeader(error_code=refused.error_code, error_msg=str(refused))
        channel.send(peer, RESPONSE, handshake_pb2.HandshakeResponse(header=header).SerializeToString())
        raise
    bits = required_bits(suite, offer.items, items) if truncation else WHOLE_POINTS
    response = _response(suite, form, bits, offer).SerializeToString(deterministic=True)
    channel.send(peer, RESPONSE, response)
    return Agreement(suite, form, bits, offer.result_to_rank, items, transcript(suite, raw, response))


def transcript(suite: Suite, request: bytes, response: bytes) -> bytes:
    """Hash both messages, each behind its length in eight bytes, with the suite's hash."""
    return _hashed(suite, _TRANSCRIPT + b"".join(len(part).to_bytes(8, "big") + part for part in (request, response)))


def confirm(channel: Channel, peer: str, agreement: Agreement, defect: Defect = sound) -> None:
    """Show the other side what was seen of the handshake, and refuse one that saw another; raise DowngradeRefused."""
    rank = channel.parties.index(channel.me)
    channel.send(peer, CONFIRM, _seen(agreement, rank))
    same = hmac.compare_digest(channel.recv(peer, CONFIRM), _seen(agreement, 1 - rank))
    if not defect("psi-confirmation-ignored") and not same:
        raise DowngradeRefused("the other side saw another handshake: somebody changed it on the way")


def _seen(agreement: Agreement, rank: int) -> bytes:
    return _hashed(agreement.suite, _CONFIRM + bytes([rank]) + agreement.transcript)


def _hashed(suite: Suite, text: bytes) -> bytes:
    if suite is Suite.X25519:
        return hashlib.sha256(text).digest()
    state = hashes.Hash(hashes.SM3())
    state.update(text)
    return state.finalize()


def _request(offer: Offer) -> handshake_pb2.HandshakeRequest:
    request = handshake_pb2.HandshakeRequest(
        version=VERSION,
        requester_rank=1,
        supported_algos=[handshake_pb2.ALGO_TYPE_ECDH_PSI],
        protocol_families=[handshake_pb2.PROTOCOL_FAMILY_ECC],
    )
    formats = dict.fromkeys(form for suite in offer.suites for form in FORMATS[suite])
    ecc = ecc_pb2.EccProtocolProposal(
        supported_versions=[PART_VERSION],
        ec_suits=[_suit(suite) for suite in offer.suites],
        point_octet_formats=list(map(int, formats)),
        support_point_truncation=offer.truncation,
    )
    request.protocol_family_params.add().Pack(ecc)
    request.io_param.Pack(
        psi_pb2.PsiDataIoProposal(
            supported_versions=[PART_VERSION], item_num=offer.items, result_to_rank=offer.result_to_rank
        )
    )
    return request


def _response(suite: Suite, form: PointFormat, bits: int, offer: Offer) -> handshake_pb2.HandshakeResponse:
    response = handshake_pb2.HandshakeResponse(
        header=header_pb2.ResponseHeader(error_code=header_pb2.OK),
        algo=handshake_pb2.ALGO_TYPE_ECDH_PSI,
        protocol_families=[handshake_pb2.PROTOCOL_FAMILY_ECC],
    )
    response.protocol_family_params.add().Pack(
        ecc_pb2.EccProtocolResult(
            version=PART_VERSION,
            ec_suit=_suit(suite),
            point_octet_format=int(form),
            bit_length_after_truncated=bits,
        )
    )
    response.io_param.Pack(psi_pb2.PsiDataIoResult(version=PART_VERSION, result_to_rank=offer.result_to_rank))
    return response


def _suit(suite: Suite) -> ecc_pb2.EcSuit:
    curve, digest, strategy = _TRIPLES[suite]
    return ecc_pb2.EcSuit(curve=curve, hash=digest, hash2curve_strategy=strategy)


def _suite_of(suit: ecc_pb2.EcSuit) -> Suite | None:
    triple = (suit.curve, suit.hash, suit.hash2curve_strategy)
    return next((suite for suite, known in _TRIPLES.items() if known == triple), None)


def _choose(raw: bytes, offer: Offer, defect: Defect = sound) -> tuple[Suite, PointFormat, bool, int]:
    """Read a proposal and choose; raise HandshakeRefused with the error code that the answer carries."""
    try:
        request = handshake_pb2.HandshakeRequest.FromString(raw)
    except DecodeError as wrong:
        raise _refused(header_pb2.INVALID_REQUEST, "not a HandshakeRequest") from wrong
    if request.version != VERSION:
        raise _refused(header_pb2.UNSUPPORTED_VERSION, f"handshake version {request.version}, not {VERSION}")
    if request.requester_rank != 1:
        raise _refused(header_pb2.INVALID_REQUEST, "the proposal is not from rank 1")
    if handshake_pb2.ALGO_TYPE_ECDH_PSI not in request.supported_algos:
        raise _refused(header_pb2.UNSUPPORTED_ALGO, "ECDH-PSI is not among the algorithms")
    families = list(request.protocol_families)
    ecc, io = ecc_pb2.EccProtocolProposal(), psi_pb2.PsiDataIoProposal()
    at = families.index(handshake_pb2.PROTOCOL_FAMILY_ECC) if handshake_pb2.PROTOCOL_FAMILY_ECC in families else -1
    if not 0 <= at < len(request.protocol_family_params) or not request.protocol_family_params[at].Unpack(ecc):
        raise _refused(header_pb2.INVALID_REQUEST, "no parameters of the ECC family")
    if not request.io_param.Unpack(io) or io.item_num < 0:
        raise _refused(header_pb2.INVALID_REQUEST, "no sizes")
    if PART_VERSION not in ecc.supported_versions or PART_VERSION not in io.supported_versions:
        raise _refused(header_pb2.UNSUPPORTED_VERSION, f"version {PART_VERSION} of ECC and sizes is not supported")
    if io.result_to_rank != offer.result_to_rank:
        raise _refused(header_pb2.HANDSHAKE_REFUSED, "the result parties differ")
    proposed = {_suite_of(suit) for suit in ecc.ec_suits}
    suite = next((suite for suite in offer.suites if suite in proposed), None)
    if defect("psi-weak-offer-taken"):
        suite = suite or offer.suites[0]
    if suite is None:
        raise _refused(header_pb2.UNSUPPORTED_PARAMS, "no suite in common")
    form = next((form for form in FORMATS[suite] if form in ecc.point_octet_formats), None)
    if form is None:
        raise _refused(header_pb2.UNSUPPORTED_PARAMS, "no point format in common")
    return suite, form, ecc.support_point_truncation and offer.truncation, io.item_num


def _chosen(
    response: handshake_pb2.HandshakeResponse, offer: Offer, defect: Defect = sound
) -> tuple[Suite, PointFormat, int]:
    """Read a choice and hold it against the proposal; raise BatchRefused or DowngradeRefused."""
    ecc, io = ecc_pb2.EccProtocolResult(), psi_pb2.PsiDataIoResult()
    families: Sequence[int] = list(response.protocol_families)
    if families != [handshake_pb2.PROTOCOL_FAMILY_ECC] or len(response.protocol_family_params) != 1:
        raise BatchRefused("the answer does not choose the ECC family alone")
    if not response.protocol_family_params[0].Unpack(ecc) or not response.io_param.Unpack(io):
        raise BatchRefused("the answer lacks parameters")
    if response.algo != handshake_pb2.ALGO_TYPE_ECDH_PSI or (ecc.version, io.version) != (PART_VERSION, PART_VERSION):
        raise DowngradeRefused("another algorithm or version was chosen than was offered")
    if io.result_to_rank != offer.result_to_rank:
        raise DowngradeRefused("the result parties were changed")
    suite = _suite_of(ecc.ec_suit)
    if defect("psi-weak-answer-taken"):
        suite = suite or offer.suites[0]
    if suite is None or suite not in offer.suites:
        raise DowngradeRefused("a suite was chosen that was not offered")
    if ecc.point_octet_format not in FORMATS[suite]:
        raise DowngradeRefused("a point format was chosen that was not offered")
    form, bits = PointFormat(ecc.point_octet_format), ecc.bit_length_after_truncated
    if bits != WHOLE_POINTS and not (offer.truncation and bits % 8 == 0 and 0 < bits <= 8 * _POINT_BYTES[form]):
        raise DowngradeRefused(f"tags of {bits} bits were not offered")
    return suite, form, bits


def _refused(code: int, reason: str) -> HandshakeRefused:
    return HandshakeRefused(reason, error_code=code)
