"""What the harness observes of TLS: offers byte by byte, certificates, servers that a target is made to call."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from conformance.harness import tls_hello, tls_probe
from conformance.harness.binding import load_binding
from conformance.harness.clock import SystemClock
from conformance.harness.errors import UsageError
from conformance.harness.partner import Receiver
from conformance.harness.profile_model import TlsMode, TlsSettings
from conformance.harness.records import Request
from conformance.harness.target import HttpTransport, Unanswered
from conformance.harness.tls import Flaw, Guise, Wardrobe, identities
from conformance.harness.tls_hello import TLS_1_2, TLS_1_3, Offer
from conformance.suites import suite_9_1_tls
from reference_node.security import certificates
from reference_node.security.certificates import Address, Holder
from reference_node.security.errors import CertificateRefused
from reference_node.security.pki import Pki
from reference_node.security.trust import Trust

SUITES = {TlsMode.GM: "sm2", TlsMode.INTL: "p256"}
ASK = Request("GET", "/v1/interconn/node/query", (("node_id", "x"),), {"x-source-node-id": "node-a"}, b"")


@pytest.fixture(params=list(TlsMode))
def mode(request: pytest.FixtureRequest) -> TlsMode:
    """Either mode."""
    chosen: TlsMode = request.param
    return chosen


@pytest.fixture
def wardrobe(mode: TlsMode, tmp_path: Path) -> Iterator[Wardrobe]:
    """The certificates of a run, with a revoked one among them."""
    ca = Pki.init(tmp_path / "ca", SUITES[mode])
    gone = ca.issue(Holder("node-gone", "node", (Address("127.0.0.1", 0),)))
    ca.revoke("node-gone")
    own, key = ca.folder / "ca.pem", ca.folder / "ca-key.pem"
    files = {"issuer": own, "issuer_key": key, "revoked": gone.certificate, "revoked_key": gone.key}
    made = Wardrobe(TlsSettings(mode, own, crl=ca.folder / "ca.crl", **files))
    yield made
    made.close()


@pytest.fixture
def receiver(wardrobe: Wardrobe) -> Iterator[Receiver]:
    """The harness's own receiver, in the place of a target."""
    given: dict[str, Any] = {"record": lambda _exchange: None, "target_id": "node-b", "skew_ms": 1000}
    made = Receiver(load_binding("reference"), SystemClock(), wardrobe=wardrobe, **given)
    made.start("127.0.0.1", 0)
    yield made
    made.stop()


def test_an_offer_reads_back_as_it_was_made() -> None:
    """Versions and suites come back, signals and the numbers without meaning do not; any cut is an error."""
    made = Offer(TLS_1_3, (0x1301, 0x0A0A))
    assert tls_hello.read_offer(made.spell("127.0.0.1")) == tls_hello.Offered((TLS_1_3,), (0x1301,))
    record = Offer(0x0301, (0x000A,)).spell("node.example.org")
    assert tls_hello.read_offer(record) == tls_hello.Offered((0x0301,), (0x000A,))
    assert b"node.example.org" in record
    for end in range(len(record)):
        with contextlib.suppress(ValueError):
            assert tls_hello.read_offer(record[:end]).suites == (0x000A,)
    for nonsense in (b"", b"HTTP/1.1 400 Bad Request\r\n", bytes(600)):
        with pytest.raises(ValueError, match=r"handshake|TLS"):
            tls_hello.read_offer(nonsense)
        with pytest.raises(ValueError, match=r"handshake|TLS"):
            tls_hello.read_reply(nonsense)


def test_offers_are_told_apart_by_what_a_server_says(mode: TlsMode, receiver: Receiver) -> None:
    """A server of the harness chooses its own suite, and refuses every old version and every weak suite."""
    sound = suite_9_1_tls._NATIONAL if mode is TlsMode.GM else suite_9_1_tls._NEWEST
    taken = tls_probe.offer(receiver.address, sound)
    assert taken == {"taken": True, "version": TLS_1_3, "suite": taken["suite"]}
    assert taken["suite"] in sound.suites
    assert tls_probe.offer(receiver.address, suite_9_1_tls._STRONG)["taken"] is (mode is TlsMode.INTL)
    for name, seen in tls_probe.offers(receiver.address, suite_9_1_tls.OLD.items()).items():
        assert not seen["taken"], name
    assert not tls_probe.offer(receiver.address, suite_9_1_tls.NATIONAL_TLCP)["taken"]


def test_a_target_that_speaks_tlcp_is_told_by_its_answer() -> None:
    """GB/T 38636: an offer without extensions under version 1.1 of its own, answered with one of its suites."""
    offered = suite_9_1_tls.NATIONAL_TLCP.spell("node.example.org")
    assert offered[:3] == bytes([tls_hello.HANDSHAKE, 1, 1])
    assert tls_hello.read_offer(offered) == tls_hello.Offered((tls_hello.TLCP,), (0xE051, 0xE053, 0xE011, 0xE013))
    assert offered.endswith(b"\x01\x00")
    body = b"\x01\x01" + bytes(32) + b"\x00" + b"\xe0\x53" + b"\x00"
    message = b"\x02" + len(body).to_bytes(3) + body
    answer = bytes([tls_hello.HANDSHAKE, 1, 1]) + len(message).to_bytes(2) + message
    assert tls_hello.read_reply(answer) == tls_hello.Reply(tls_hello.TLCP, 0xE053)


def test_a_certificate_is_described(wardrobe: Wardrobe, receiver: Receiver) -> None:
    """What it names, how strong it is, and that the chain holds; from a silent place comes a reason."""
    seen = tls_probe.certificate(receiver.address, wardrobe, "node-a")
    host, port = tls_probe.place(receiver.address)
    assert (seen["shown"], seen["errors"], seen["in_time"], seen["key"], seen["bits"]) == (True, [], True, "EC", 256)
    assert seen["named"] == [["hutong-harness", host, port, "gateway"]]
    assert seen["signature"] in {"1.2.156.10197.1.501", "1.2.840.10045.4.3.2"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"https://127.0.0.1:{taken.getsockname()[1]}"
    assert tls_probe.certificate(nobody, wardrobe, "node-a")["shown"] is False
    assert tls_probe.offer(nobody, suite_9_1_tls._STRONG)["taken"] is False
    assert tls_probe.plain(nobody, "/")["status"] == 0
    assert tls_probe.renegotiation(nobody, wardrobe, "node-a")["offered"] is False


@pytest.mark.parametrize("flaw", [Flaw.EXPIRED, Flaw.FOREIGN, Flaw.REVOKED])
def test_a_flawed_certificate_fails_by_its_flaw(wardrobe: Wardrobe, receiver: Receiver, flaw: Flaw) -> None:
    """A server under it is told to be unsound, and the node's own judge refuses it too."""
    with tls_probe.impostor(receiver, wardrobe, "127.0.0.1", "node-a", flaw) as address:
        errors = tls_probe.certificate(address, wardrobe, "node-b")["errors"]
        with pytest.raises(Unanswered):
            HttpTransport(address, wardrobe).send(ASK, 10)
    assert set(errors) & {Flaw.EXPIRED: {10}, Flaw.FOREIGN: {20, 21}, Flaw.REVOKED: {23}}[flaw]
    assert wardrobe.settings.ca is not None
    trust = Trust(wardrobe.settings.ca, wardrobe.settings.crl)
    made = certificates.read(wardrobe.files("node-a", "node", flaw)[0].read_text(encoding="ascii"))
    with pytest.raises(CertificateRefused):
        trust.check(made, int(time.time() * 1000))


def test_a_sound_impostor_serves_the_partners_of_the_run(wardrobe: Wardrobe, receiver: Receiver) -> None:
    """Its certificate names its own address; one for elsewhere names another, and who has none cannot call."""
    with tls_probe.impostor(receiver, wardrobe, "127.0.0.1", "node-a", Flaw.NONE) as address:
        seen = tls_probe.certificate(address, wardrobe, "node-b")
        assert seen["named"] == [["node-a", *tls_probe.place(address), "node"]]
        assert HttpTransport(address, wardrobe).send(ASK, 10).status == 404
        with pytest.raises(Unanswered):
            HttpTransport(address, Guise(wardrobe, Flaw.BARE)).send(ASK, 10)
        assert tls_probe.plain(address, "/")["status"] in (0, 400)
    with tls_probe.impostor(receiver, wardrobe, "127.0.0.1", "node-a", Flaw.ELSEWHERE) as address:
        seen = tls_probe.certificate(address, wardrobe, "node-b")
        assert (seen["errors"], seen["named"]) == ([], [["node-a", "127.0.0.2", 1, "node"]])
    with tls_probe.impostor(receiver, None, "127.0.0.1", "node-a", Flaw.NONE) as address:
        assert tls_probe.plain(address, ASK.path)["status"] == 404


def test_an_ear_hears_what_is_offered_each_time(wardrobe: Wardrobe, mode: TlsMode) -> None:
    """The first message of a caller is told, who then hangs up; one that calls again is not left waiting."""
    with tls_probe.ear("127.0.0.1") as (address, heard):
        for _ in range(2):
            with pytest.raises(Unanswered):
                HttpTransport(address, wardrobe).send(ASK, 5)
        told = heard()
    assert told["tls"]
    assert max(told["versions"]) == TLS_1_3
    assert min(told["versions"]) == (TLS_1_3 if mode is TlsMode.GM else TLS_1_2)
    with tls_probe.ear("127.0.0.1") as (address, heard):
        assert tls_probe.plain(address, "/")["status"] == 0
        assert heard() == {"called": True, "tls": False, "why": "this is no handshake of TLS"}


def test_the_revoked_node_and_what_names_it_are_read(wardrobe: Wardrobe) -> None:
    """The node of the revoked certificate is known by its name; a certificate without names is of nobody."""
    assert wardrobe.revoked == "node-gone"
    plain = Wardrobe(TlsSettings(wardrobe.settings.mode, wardrobe.settings.ca, *wardrobe.files("node-a")))
    assert (plain.revoked, plain.issues, wardrobe.issues) == ("", False, True)
    plain.close()
    assert wardrobe.settings.ca is not None
    assert identities(x509.load_pem_x509_certificate(wardrobe.settings.ca.read_bytes())) == []
    described = tls_probe.describe(x509.load_pem_x509_certificate(wardrobe.files("node-a")[0].read_bytes()))
    assert dt.datetime.fromisoformat(described["not_after"]) > dt.datetime.now(dt.UTC)


def test_a_revocation_list_that_is_none_is_told(wardrobe: Wardrobe) -> None:
    """A wrong path and a file that holds something else are usage errors before anything is sent."""
    settings = wardrobe.settings
    assert settings.ca is not None
    for wrong in (settings.ca, settings.ca.with_name("nothing.crl")):
        with pytest.raises(UsageError, match="no revocation list"):
            Wardrobe(TlsSettings(settings.mode, settings.ca, issuer=settings.issuer, crl=wrong))
