"""A peer that breaks the open intersection protocol is refused with the error of what it did, whatever its rank."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reference_node.algorithms.channel import LocalChannel
from reference_node.algorithms.errors import (
    BatchRefused,
    ChannelFailure,
    CountRefused,
    DowngradeRefused,
    HandshakeRefused,
    PeerRefused,
    PointRefused,
)
from reference_node.algorithms.psi.curves import P25519, SM2_P, PointFormat, Sm2, Suite, make_curve
from reference_node.algorithms.psi.handshake import (
    BOTH,
    Agreement,
    Offer,
    answer,
    confirm,
    enough_bits,
    propose,
    required_bits,
)
from reference_node.proto import ecc_pb2, ecdh_psi_pb2, handshake_pb2, header_pb2, psi_pb2
from tests.reference_node.algorithms.parties import GUEST, HOST, component, play

ITEMS = 6
Request = handshake_pb2.HandshakeRequest
Response = handshake_pb2.HandshakeResponse
Batch = ecdh_psi_pb2.EcdhPsiCipherBatch


def table(folder: Path) -> Path:
    """Write a table of some identifiers."""
    path = folder / "own.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id"], *([str(at)] for at in range(ITEMS))])
    return path


def refusal(
    folder: Path,
    hostile: Callable[[LocalChannel], Any],
    *,
    suite: str = "x25519-sha256",
    me: str = HOST,
    confirm: bool = False,
) -> Any:
    """Run an honest side as `me` against a hostile one; return what the honest one raised."""
    other = GUEST if me == HOST else HOST
    params = {"id": "id", "suites": suite, "workers": 1, "confirm": confirm}
    honest = component("intersection", params, table(folder), None, "joined")
    acts = {name: honest if name == me else hostile for name in (GUEST, HOST)}
    ended = play(acts, timeout=2)
    assert other in ended
    return ended[me]


def choosing(change: Callable[[ecc_pb2.EccProtocolResult, psi_pb2.PsiDataIoResult, Response], None]) -> Any:
    """Return a hostile chooser (rank 0) whose answer is honest but for one change."""

    def hostile(channel: LocalChannel) -> None:
        channel.recv(HOST, "Handshake")
        ecc = ecc_pb2.EccProtocolResult(
            version=1,
            ec_suit=ecc_pb2.EcSuit(curve=1, hash=11, hash2curve_strategy=3),
            point_octet_format=1,
            bit_length_after_truncated=96,
        )
        io = psi_pb2.PsiDataIoResult(version=1, result_to_rank=BOTH)
        response = Response(header=header_pb2.ResponseHeader(error_code=0), algo=1, protocol_families=[1])
        change(ecc, io, response)
        response.protocol_family_params.add().Pack(ecc)
        response.io_param.Pack(io)
        channel.send(HOST, "Handshake_response", response.SerializeToString())

    return hostile


def proposing(change: Callable[[ecc_pb2.EccProtocolProposal, psi_pb2.PsiDataIoProposal, Request], None]) -> Any:
    """Return a hostile proposer (rank 1) whose proposal is honest but for one change."""

    def hostile(channel: LocalChannel) -> Any:
        ecc = ecc_pb2.EccProtocolProposal(
            supported_versions=[1],
            ec_suits=[ecc_pb2.EcSuit(curve=1, hash=11, hash2curve_strategy=3)],
            point_octet_formats=[1],
            support_point_truncation=True,
        )
        io = psi_pb2.PsiDataIoProposal(supported_versions=[1], item_num=ITEMS, result_to_rank=BOTH)
        request = Request(version=2, requester_rank=1, supported_algos=[1], protocol_families=[1])
        change(ecc, io, request)
        request.protocol_family_params.add().Pack(ecc)
        if request.version:
            request.io_param.Pack(io)
        channel.send(GUEST, "Handshake", request.SerializeToString())
        return Response.FromString(channel.recv(GUEST, "Handshake_response")).header

    return hostile


def _set(message: Any, **fields: Any) -> None:
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(message, name)[:]
            getattr(message, name).extend(value)
        elif hasattr(value, "DESCRIPTOR"):
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)


SM2_SUIT = ecc_pb2.EcSuit(curve=2, hash=1, hash2curve_strategy=1)
ODD_SUIT = ecc_pb2.EcSuit(curve=3, hash=30, hash2curve_strategy=13)

ANSWERS = {
    "a suite that was not offered": (lambda ecc, _io, _r: _set(ecc, ec_suit=SM2_SUIT), DowngradeRefused),
    "an unknown suite": (lambda ecc, _io, _r: _set(ecc, ec_suit=ODD_SUIT), DowngradeRefused),
    "another point format": (lambda ecc, _io, _r: _set(ecc, point_octet_format=2), DowngradeRefused),
    "tags of 32 bits": (lambda ecc, _io, _r: _set(ecc, bit_length_after_truncated=32), DowngradeRefused),
    "tags of no bits": (lambda ecc, _io, _r: _set(ecc, bit_length_after_truncated=0), DowngradeRefused),
    "tags of 100 bits": (lambda ecc, _io, _r: _set(ecc, bit_length_after_truncated=100), DowngradeRefused),
    "tags longer than points": (lambda ecc, _io, _r: _set(ecc, bit_length_after_truncated=264), DowngradeRefused),
    "an older version": (lambda ecc, _io, _r: _set(ecc, version=0), DowngradeRefused),
    "another algorithm": (lambda _ecc, _io, r: _set(r, algo=2), DowngradeRefused),
    "the result for itself alone": (lambda _ecc, io, _r: _set(io, result_to_rank=0), DowngradeRefused),
    "no family": (lambda _ecc, _io, r: _set(r, protocol_families=[]), BatchRefused),
    "an error": (lambda _ecc, _io, r: _set(r.header, error_code=31100202), HandshakeRefused),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_outside_the_proposal_is_refused(tmp_path: Path, name: str) -> None:
    """The proposer takes nothing that it did not offer, and nothing weaker than the rule for tags."""
    change, error = ANSWERS[name]
    assert type(refusal(tmp_path, choosing(change))) is error


PROPOSALS = {
    "another version": (lambda _ecc, _io, r: _set(r, version=1), 31100201),
    "another version of the parts": (lambda ecc, _io, _r: _set(ecc, supported_versions=[9]), 31100201),
    "another algorithm": (lambda _ecc, _io, r: _set(r, supported_algos=[3]), 31100202),
    "another rank": (lambda _ecc, _io, r: _set(r, requester_rank=0), 31100100),
    "no family": (lambda _ecc, _io, r: _set(r, protocol_families=[2]), 31100100),
    "no suite in common": (lambda ecc, _io, _r: _set(ecc, ec_suits=[]), 31100203),
    "an unknown point format": (lambda ecc, _io, _r: _set(ecc, point_octet_formats=[4]), 31100203),
    "fewer than no items": (lambda _ecc, io, _r: _set(io, item_num=-1), 31100100),
    "other result parties": (lambda _ecc, io, _r: _set(io, result_to_rank=1), 31100200),
}


@pytest.mark.parametrize("name", PROPOSALS)
def test_proposal_that_cannot_be_met_is_answered_with_its_code(tmp_path: Path, name: str) -> None:
    """The chooser answers with the error code of what is wrong and raises the same."""
    change, code = PROPOSALS[name]
    seen: list[Any] = []
    hostile = proposing(change)
    failure = refusal(tmp_path, lambda channel: seen.append(hostile(channel)), me=GUEST)
    assert isinstance(failure, HandshakeRefused)
    assert failure.error_code == code
    assert seen[0].error_code == code


@pytest.mark.parametrize("me", [GUEST, HOST])
def test_handshake_of_noise_is_refused(tmp_path: Path, me: str) -> None:
    """Bytes that are no message at all are refused by either rank."""

    def hostile(channel: LocalChannel) -> None:
        channel.send(me, "Handshake_response" if me == HOST else "Handshake", b"\xff\xff\xff")

    assert isinstance(refusal(tmp_path, hostile, me=me), PeerRefused)


def after_handshake(send: Callable[[LocalChannel, bytes], None], suite: Suite = Suite.X25519) -> Any:
    """Return a hostile chooser that is honest in the handshake and hands its good points to `send`."""

    def hostile(channel: LocalChannel) -> None:
        agreement = answer(channel, HOST, Offer((suite,), ITEMS, BOTH))
        curve = make_curve(suite, agreement.form)
        digests = b"".join(curve.digest(str(at).encode()) for at in range(ITEMS))
        send(channel, curve.mask(curve.points(digests)))

    return hostile


def enc(points: bytes, size: int = 32, **changed: Any) -> bytes:
    """Write a batch of points, honest but for what is changed."""
    fields = {
        "type": "enc",
        "batch_index": 0,
        "is_last_batch": True,
        "count": len(points) // size,
        "ciphertext": points,
    }
    return Batch(**(fields | changed)).SerializeToString()


def u(value: int) -> bytes:
    """Write a coordinate of Curve25519."""
    return value.to_bytes(32, "little")


SMALL_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P25519 - 1,
)
X25519_POINTS = {
    **{f"small order {at}": u(value) for at, value in enumerate(SMALL_ORDER)},
    "p": u(P25519),
    "p + 9": u(P25519 + 9),
    "2^255 - 1": u(2**255 - 1),
    "top bit set": u(9 | 1 << 255),
}


@pytest.mark.parametrize("name", X25519_POINTS)
def test_bad_points_of_curve25519_are_refused(tmp_path: Path, name: str) -> None:
    """Points of small order and coordinates that are not below p end the run."""
    bad = X25519_POINTS[name]
    hostile = after_handshake(lambda channel, good: channel.send(HOST, "enc", enc(good[:-32] + bad)))
    assert isinstance(refusal(tmp_path, hostile), PointRefused)


def _no_point() -> bytes:
    x = 1
    while Sm2(PointFormat.X962_COMPRESSED)._lift_slice(x.to_bytes(32, "big"))[1:] == x.to_bytes(32, "big"):
        x += 1
    return b"\x02" + x.to_bytes(32, "big")


SM2_POINTS = {
    "off the curve": _no_point(),
    "x not below p": b"\x02" + (SM2_P + 1).to_bytes(32, "big"),
    "infinity": bytes(33),
    "another prefix": b"\x05" + bytes(31) + b"\x09",
    "uncompressed prefix": b"\x04" + bytes(32),
}


@pytest.mark.parametrize("name", SM2_POINTS)
def test_bad_points_of_sm2_are_refused(tmp_path: Path, name: str) -> None:
    """Points that are not on the curve, not below p, at infinity or of another format end the run."""
    bad = SM2_POINTS[name]
    hostile = after_handshake(lambda channel, good: channel.send(HOST, "enc", enc(good[:-33] + bad, 33)), Suite.SM2)
    assert isinstance(refusal(tmp_path, hostile, suite="sm2-sm3"), PointRefused)


BATCHES: dict[str, tuple[Callable[[bytes], list[bytes]], type[PeerRefused]]] = {
    "bytes cut off": (lambda good: [enc(good)[:-5]], BatchRefused),
    "a point cut off": (lambda good: [enc(good[:-1], count=ITEMS)], BatchRefused),
    "count too high": (lambda good: [enc(good, count=ITEMS + 1)], BatchRefused),
    "count negative": (lambda good: [enc(good, count=-1)], BatchRefused),
    "another type": (lambda good: [enc(good, type="dual.enc")], BatchRefused),
    "batch skipped": (lambda good: [enc(good, batch_index=1)], BatchRefused),
    "batch doubled": (lambda good: [enc(good[:96], is_last_batch=False)] * 2, BatchRefused),
    "empty batch before the last": (lambda _good: [enc(b"", is_last_batch=False)], BatchRefused),
}


@pytest.mark.parametrize("name", BATCHES)
def test_malformed_batches_are_refused(tmp_path: Path, name: str) -> None:
    """A batch that is cut, miscounted, mistyped, out of order or doubled ends the run."""
    make, error = BATCHES[name]

    def send(channel: LocalChannel, good: bytes) -> None:
        for raw in make(good):
            channel.send(HOST, "enc", raw)

    assert type(refusal(tmp_path, after_handshake(send))) is error


@pytest.mark.parametrize("count", [ITEMS - 1, ITEMS + 1])
def test_other_count_than_announced_is_refused(tmp_path: Path, count: int) -> None:
    """The chooser knows how many items were announced and takes neither fewer nor more."""

    def hostile(channel: LocalChannel) -> None:
        agreement = propose(channel, GUEST, Offer((Suite.X25519,), ITEMS, BOTH))
        curve = make_curve(Suite.X25519, agreement.form)
        points = curve.mask(b"".join(curve.digest(str(at).encode()) for at in range(count)))
        channel.send(GUEST, "enc", enc(points))

    assert type(refusal(tmp_path, hostile, me=GUEST)) is CountRefused


@pytest.mark.parametrize("count", [ITEMS - 1, ITEMS + 1])
def test_other_number_of_tags_than_items_is_refused(tmp_path: Path, count: int) -> None:
    """Double masks come back for every item, no fewer and no more."""

    def send(channel: LocalChannel, good: bytes) -> None:
        channel.send(HOST, "enc", enc(good))
        channel.send(HOST, "dual.enc", enc(bytes(12 * count), 12, type="dual.enc"))

    assert type(refusal(tmp_path, after_handshake(send))) is CountRefused


def test_tags_grow_with_both_sets() -> None:
    """Tags have 40 bits more than both sizes need, in whole bytes, and 96 at least."""
    assert required_bits(Suite.X25519, 1 << 28, 1 << 28) == 104
    assert required_bits(Suite.SM2, 1 << 28, 1 << 28) == 96
    assert required_bits(Suite.SM2, 10**9, 10**9) == 104
    assert required_bits(Suite.SM2, 0, 1) == 96


def test_tags_too_short_for_the_set_that_came_are_refused() -> None:
    """A proposer that learns the other's size from its batches refuses tags that are too short for it."""
    agreement = Agreement(Suite.SM2, PointFormat.X962_COMPRESSED, 96, BOTH, None, b"")
    enough_bits(agreement, 1 << 28, 1 << 28)
    with pytest.raises(DowngradeRefused):
        enough_bits(agreement, 1 << 28, 1 + (1 << 28))


@pytest.mark.parametrize("me", [GUEST, HOST])
@pytest.mark.parametrize("suite", list(Suite))
def test_a_handshake_that_was_changed_on_the_way_is_found_out(tmp_path: Path, me: str, suite: Suite) -> None:
    """Neither side goes on with one that saw another proposal or answer than itself (9.2-f)."""

    def hostile(channel: LocalChannel) -> None:
        act = answer if me == HOST else propose
        seen = act(channel, me, Offer((suite,), ITEMS, BOTH))
        confirm(channel, me, replace(seen, transcript=bytes(32)))

    failure = refusal(tmp_path, hostile, suite=suite, me=me, confirm=True)
    assert isinstance(failure, DowngradeRefused)
    assert "on the way" in str(failure)


def test_a_confirmation_that_is_sent_back_is_refused(tmp_path: Path) -> None:
    """The rank is part of it: a side cannot be shown its own."""

    def hostile(channel: LocalChannel) -> None:
        answer(channel, HOST, Offer((Suite.SM2,), ITEMS, BOTH))
        channel.send(HOST, "Handshake_confirm", channel.recv(HOST, "Handshake_confirm"))

    assert isinstance(refusal(tmp_path, hostile, suite="sm2-sm3", confirm=True), DowngradeRefused)


def test_lost_peer_ends_in_a_time_out(tmp_path: Path) -> None:
    """A peer that falls silent leaves a typed failure and no thread that waits for ever."""
    failure = refusal(tmp_path, after_handshake(lambda _channel, _good: None))
    assert isinstance(failure, ChannelFailure)
