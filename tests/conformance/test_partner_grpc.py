"""The partners that the harness plays over gRPC: what comes is answered and recorded, plain and over mutual TLS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from OpenSSL import SSL
from OpenSSL.crypto import X509

from conformance.harness import channel, ptp, signing, tls_probe
from conformance.harness.binding import load_binding
from conformance.harness.clock import SystemClock
from conformance.harness.partner import Behaviour, Partner, Receiver, Reply
from conformance.harness.partner_grpc import AWAY, HANGS
from conformance.harness.profile_model import TlsMode, TlsSettings
from conformance.harness.records import Exchange
from conformance.harness.tls import Flaw, Guise, Wardrobe, identities
from conformance.harness.tls_tunnel import Tunnels
from reference_node.security.pki import Pki
from tests.waiting import eventually

HEADERS = {name: f"a-{name}" for name in channel.NODE_HEADERS} | {"x-target-node-id": "partner", "x-nonce": "n" * 16}


@pytest.fixture
def heard() -> list[Exchange]:
    """What was recorded."""
    return []


def _receiver(heard: list[Exchange], wardrobe: Wardrobe | None = None) -> tuple[Receiver, Partner]:
    given: dict[str, Any] = {"record": heard.append, "target_id": "node-b", "skew_ms": 1000}
    receiver = Receiver(load_binding("reference"), SystemClock(), wardrobe=wardrobe, **given)
    receiver.start("127.0.0.1", 0, grpc_port=0)
    partner = Partner("partner", signing.KeyRing().key("SM3_SM2", "partner"), receiver.address, "story")
    receiver.add(partner)
    return receiver, partner


@pytest.fixture
def played(heard: list[Exchange]) -> Iterator[tuple[Receiver, Partner]]:
    """A partner on loopback, in clear."""
    receiver, partner = _receiver(heard)
    yield receiver, partner
    receiver.stop()


def _place(receiver: Receiver) -> str:
    assert receiver.grpc_address.startswith("grpc://127.0.0.1:")
    return receiver.grpc_address.removeprefix("grpc://")


def _invoke(opened: grpc.Channel, payload: bytes, seconds: float = 10) -> dict[str, Any]:
    body = ptp.packed("Inbound", metadata={channel.TOPIC: "t", channel.SEQUENCE: "3"}, payload=payload)
    call: Any = opened.unary_unary(channel.METHODS["chanInvoke"], bytes, bytes)
    return ptp.unpacked("Outbound", call(body, timeout=seconds, metadata=tuple(HEADERS.items())))


def _frames(*payloads: bytes) -> list[bytes]:
    numbers = [{channel.TOPIC: "t", channel.SEQUENCE: str(number), "part": "0"} for number in range(len(payloads))]
    return [ptp.Frame({**row, "last": "1"}, payload).content for row, payload in zip(numbers, payloads, strict=True)]


def _stream(opened: grpc.Channel, frames: Iterator[bytes] | list[bytes]) -> Any:
    headers = {**HEADERS, channel.FRAME_CODE: "hmac-sm3"}
    call: Any = opened.stream_stream(channel.METHODS["chanTransport"], bytes, bytes)
    return call(iter(frames), timeout=10, metadata=tuple(headers.items()))


def test_a_message_is_answered_and_recorded_as_over_http(
    played: tuple[Receiver, Partner], heard: list[Exchange]
) -> None:
    """Metadata stand as headers, the body as on the wire, and what is wrong with the signing is noted."""
    with grpc.insecure_channel(_place(played[0])) as opened:
        assert _invoke(opened, b"hello")["code"] == channel.OK
    (row,) = heard
    assert (row.operation, row.partner, row.request.path) == ("chanInvoke", "partner", channel.METHODS["chanInvoke"])
    told = channel.sent(row.operation, row.request)
    assert (told["topic"], told["sequence"], told["payload"], told["token"]) == ("t", 3, "hello", "a-x-ptp-token")
    assert "KEY_UNKNOWN" in row.problems
    assert channel.request_problem(row.operation, row.request) == ""


def test_each_message_of_a_stream_is_answered_when_it_is_whole(
    played: tuple[Receiver, Partner], heard: list[Exchange]
) -> None:
    """A caller that waits for an answer before it sends on gets it; the stream is one call in the record."""
    answered = threading.Semaphore(0)

    def slowly() -> Iterator[bytes]:
        for frame in _frames(b"one", b"two"):
            yield frame
            assert answered.acquire(timeout=10)

    with grpc.insecure_channel(_place(played[0])) as opened:
        codes = []
        for answer in _stream(opened, slowly()):
            codes.append(ptp.unpacked("Outbound", answer)["code"])
            answered.release()
    assert codes == [channel.OK, channel.OK]
    eventually(lambda: len(heard) == 1)
    told = channel.sent("chanTransport", heard[0].request)
    assert [row["payload"] for row in told["messages"]] == ["one", "two"]
    assert heard[0].problems == ("KEY_UNKNOWN",)


def _broken(act: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        act()
    failure: Any = caught.value
    status: grpc.StatusCode = failure.code()
    return status


@pytest.mark.parametrize("status", [AWAY, HANGS])
def test_a_partner_breaks_off_or_hangs_and_then_answers_again(
    played: tuple[Receiver, Partner], heard: list[Exchange], status: str
) -> None:
    """A call ends with the status that the behaviour names, alone and in a stream, and is recorded as not taken."""
    receiver, partner = played
    left = [Reply(status=503, lost=status)] * 2
    behaviour: Behaviour = lambda _sent: left.pop() if left else Reply()  # noqa: E731
    for operation in channel.BETWEEN_NODES:
        partner.answers(operation, behaviour)
    began = time.monotonic()
    with grpc.insecure_channel(_place(receiver)) as opened:
        assert _broken(lambda: _invoke(opened, b"x", 0.3)) == grpc.StatusCode[status]
        assert _broken(lambda: list(_stream(opened, _frames(b"x")))) == grpc.StatusCode[status]
        assert _invoke(opened, b"x")["code"] == channel.OK
    assert time.monotonic() - began < 10
    assert sorted(row.answer.status for row in heard if row.answer) == [200, 503, 503]


def test_a_refusal_ends_a_stream_and_a_cut_one_counts_as_unheard(
    played: tuple[Receiver, Partner], heard: list[Exchange]
) -> None:
    """Behind a refusal nothing more is answered; what ends within a message was not taken."""
    receiver, partner = played
    partner.answers("chanTransport", lambda _sent: Reply(status=503, raw=ptp.packed("Outbound", code=channel.FULL)))
    with grpc.insecure_channel(_place(receiver)) as opened:
        answers = list(_stream(opened, _frames(b"one", b"two")))
        assert [ptp.unpacked("Outbound", answer)["code"] for answer in answers] == [channel.FULL]
        assert list(_stream(opened, [ptp.Frame({"part": "0"}, b"half").content])) == []
    eventually(lambda: len(heard) == 2)
    assert [row.answer.status for row in heard if row.answer] == [503, 499]


@pytest.mark.parametrize(("mode", "suite"), [(TlsMode.INTL, "p256"), (TlsMode.GM, "sm2")])
def test_over_tls_both_certificates_are_demanded(
    mode: TlsMode, suite: str, tmp_path: Path, heard: list[Exchange]
) -> None:
    """A caller with a certificate of the CA is heard, one in clear, of another CA or without one is not."""
    own, other = (Pki.init(tmp_path / name, suite) for name in ("ca", "other"))
    wardrobe, stranger = (
        Wardrobe(
            TlsSettings(
                mode, ca=own.folder / "ca.pem", issuer=issuer.folder / "ca.pem", issuer_key=issuer.folder / "ca-key.pem"
            )
        )
        for issuer in (own, other)
    )
    receiver, _ = _receiver(heard, wardrobe)
    tunnels = Tunnels()

    def call(context: SSL.Context) -> dict[str, Any]:
        host, port = _place(receiver).split(":")
        with grpc.insecure_channel(f"unix:{tunnels.outward(context, host, int(port))}") as opened:
            return _invoke(opened, b"hello")

    try:
        assert call(wardrobe.context("node-b"))["code"] == channel.OK
        for context in (stranger.context("node-b"), wardrobe.context("node-b", flaw=Flaw.BARE)):
            assert _broken(lambda context=context: call(context)) == grpc.StatusCode.UNAVAILABLE  # type: ignore[misc]
        with grpc.insecure_channel(_place(receiver)) as opened:
            assert _broken(lambda: _invoke(opened, b"hello")) == grpc.StatusCode.UNAVAILABLE
        if mode is TlsMode.INTL:
            with grpc.secure_channel(
                _place(receiver), grpc.ssl_channel_credentials(*wardrobe.material("node-b"))
            ) as opened:
                assert _invoke(opened, b"hello")["code"] == channel.OK
    finally:
        tunnels.close()
        stranger.close()
        receiver.stop()
    assert len(heard) == (2 if mode is TlsMode.INTL else 1)


@pytest.mark.parametrize(("mode", "suite"), [(TlsMode.INTL, "p256"), (TlsMode.GM, "sm2")])
def test_an_impostor_shows_the_certificate_that_is_meant(
    mode: TlsMode, suite: str, tmp_path: Path, heard: list[Exchange]
) -> None:
    """In a sound guise it names its own place and is heard, in a flawed one or in clear a careful caller turns away."""
    ca = Pki.init(tmp_path, suite)
    files = {"ca": ca.folder / "ca.pem", "issuer": ca.folder / "ca.pem", "issuer_key": ca.folder / "ca-key.pem"}
    wardrobe = Wardrobe(TlsSettings(mode, **files))
    receiver, _ = _receiver(heard, wardrobe)
    tunnels = Tunnels()
    shown: list[X509] = []

    def look(_line: SSL.Connection, certificate: X509, _error: int, _depth: int, sound: int) -> bool:
        shown.append(certificate)
        return bool(sound)

    def call(guise: Guise | None) -> tuple[str, dict[str, Any]]:
        context = wardrobe.context("node-b")
        context.set_verify(SSL.VERIFY_PEER, look)
        with tls_probe.grpc_impostor(receiver, guise, "127.0.0.1") as address:
            host, port = address.removeprefix("grpc://").split(":")
            with grpc.insecure_channel(f"unix:{tunnels.outward(context, host, int(port))}") as opened:
                return address, _invoke(opened, b"hello")

    try:
        address, answer = call(Guise(wardrobe, shown="partner"))
        assert answer["code"] == channel.OK
        (named,) = identities(shown[-1].to_cryptography())
        assert (named.node_id, f"grpc://{named.host}:{named.port}") == ("partner", address)
        for guise in (Guise(wardrobe, Flaw.EXPIRED, "partner"), Guise(wardrobe, Flaw.FOREIGN, "partner"), None):
            assert _broken(lambda guise=guise: call(guise)) == grpc.StatusCode.UNAVAILABLE  # type: ignore[misc]
    finally:
        tunnels.close()
        receiver.stop()
    assert len(heard) == 1
