"""The harness over TLS: a certificate for each node that it plays, and the target's demanded both ways."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from conformance import cli
from conformance.harness.binding import load_binding
from conformance.harness.clock import SystemClock
from conformance.harness.errors import UsageError
from conformance.harness.partner import Receiver
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import TlsMode, TlsSettings
from conformance.harness.records import Request
from conformance.harness.target import HttpTransport, Unanswered
from conformance.harness.tls import Wardrobe
from reference_node.security import certificates
from reference_node.security.certificates import Address, Holder
from reference_node.security.pki import Pki
from reference_node.security.trust import Trust

SUITES = {TlsMode.GM: "sm2", TlsMode.INTL: "p256"}
ASK = Request("GET", "/v1/interconn/node/query", (("node_id", "x"),), {"x-source-node-id": "node-b"}, b"")


@pytest.fixture(params=list(TlsMode))
def ca(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[TlsMode, Pki]:
    """A CA of either mode."""
    return request.param, Pki.init(tmp_path / "ca", SUITES[request.param])


def _settings(mode: TlsMode, ca: Pki) -> TlsSettings:
    own = ca.folder / "ca.pem"
    return TlsSettings(mode, ca=own, issuer=own, issuer_key=ca.folder / "ca-key.pem")


@pytest.fixture
def wardrobe(ca: tuple[TlsMode, Pki]) -> Iterator[Wardrobe]:
    """The certificates of a run."""
    made = Wardrobe(_settings(*ca))
    yield made
    made.close()


def _receiver(wardrobe: Wardrobe) -> Receiver:
    given: dict[str, Any] = {"record": lambda _exchange: None, "target_id": "node-b", "skew_ms": 1000}
    receiver = Receiver(load_binding("reference"), SystemClock(), wardrobe=wardrobe, **given)
    receiver.start("127.0.0.1", 0)
    return receiver


def test_the_nodes_that_are_played_get_certificates_that_count(ca: tuple[TlsMode, Pki], wardrobe: Wardrobe) -> None:
    """What the harness issues is taken by the node's own judge, is of the right node, and its key is kept secret."""
    wardrobe.address = "https://127.0.0.1:4711"
    trust = Trust(ca[1].folder / "ca.pem", ca[1].folder / "ca.crl")
    for node_id, role in (("partner-1", "node"), ("x" * 100, "node"), ("harness", "gateway")):
        certificate, key = wardrobe.files(node_id, role)
        made = certificates.read(certificate.read_text())
        trust.check(made, int(time.time() * 1000))
        assert made.holder == Holder(node_id, role, (Address("127.0.0.1", 4711),))
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert wardrobe.files(node_id, role) == (certificate, key)
    wardrobe.close()
    assert not key.exists()


def test_calls_go_in_the_name_of_their_source(wardrobe: Wardrobe) -> None:
    """Each request goes over a connection with the certificate of the node that it names; answers come back whole."""
    receiver = _receiver(wardrobe)
    transport = HttpTransport(receiver.address, wardrobe)
    try:
        for source in ("node-a", "node-b", "", "no node id!"):
            asked = Request(ASK.method, ASK.path, ASK.query, {"x-source-node-id": source}, b"")
            assert transport.send(asked, 10).status == 404
        assert set(transport._sessions) == {"node-a", "node-b", "hutong-harness"}
        assert len(receiver.exchanges("-")) == 4
    finally:
        receiver.stop()


def test_both_sides_demand_a_certificate_of_the_ca(ca: tuple[TlsMode, Pki], wardrobe: Wardrobe, tmp_path: Path) -> None:
    """The receiver refuses a caller of another CA, and a transport does not talk to such a server."""
    receiver = _receiver(wardrobe)
    mode, own = ca
    other = Pki.init(tmp_path / "other", SUITES[mode])
    stranger = Wardrobe(_settings(mode, other))
    half = Wardrobe(
        TlsSettings(mode, own.folder / "ca.pem", issuer=other.folder / "ca.pem", issuer_key=other.folder / "ca-key.pem")
    )
    try:
        for wrong, why in ((stranger, "certificate verify failed"), (half, "SSLError: (read error|bad handshake)")):
            with pytest.raises(Unanswered, match=why):
                HttpTransport(receiver.address, wrong).send(ASK, 10)
        with pytest.raises(Unanswered):
            HttpTransport(receiver.address.replace("https:", "http:"), wardrobe).send(ASK, 10)
        assert not receiver.exchanges("-")
    finally:
        for one in (stranger, half):
            one.close()
        receiver.stop()


def test_one_certificate_for_all_is_enough(ca: tuple[TlsMode, Pki]) -> None:
    """Where the profile gives certificate and key, every node that is played shows them."""
    mode, own = ca
    files = own.issue(Holder("harness", "gateway", (Address("127.0.0.1", 0),)))
    wardrobe = Wardrobe(TlsSettings(mode, own.folder / "ca.pem", files.certificate, files.key))
    receiver = _receiver(wardrobe)
    try:
        assert HttpTransport(receiver.address, wardrobe).send(ASK, 10).status == 404
        assert wardrobe.files("node-a") == (files.certificate, files.key)
    finally:
        receiver.stop()


def test_a_profile_says_all_about_tls_or_is_refused(ca: tuple[TlsMode, Pki], tmp_path: Path) -> None:
    """Relative paths count from the profile; what is shown of it are no paths; half a setting is told."""
    target = {"url": "https://127.0.0.1:1", "node_id": "node-a"}
    where = str(tmp_path / "p.toml")
    profile = parse_profile({"target": target, "tls": {"mode": "gm", "ca": "ca.pem"}}, where)
    assert profile.tls == TlsSettings(TlsMode.GM, ca=tmp_path / "ca.pem")
    assert profile.public()["tls"] == {"mode": "gm"}
    assert parse_profile(profile.public(), where).tls == TlsSettings(TlsMode.GM)
    with pytest.raises(UsageError, match="no mode of TLS"):
        parse_profile({"target": target, "tls": {"mode": "tls"}}, where)
    with pytest.raises(UsageError, match="whom to trust"):
        Wardrobe(TlsSettings(TlsMode.GM, ca=tmp_path / "ca.pem"))
    own = ca[1].folder
    with pytest.raises(UsageError, match="issuer_key"):
        Wardrobe(TlsSettings(ca[0], own / "ca.pem", issuer=own / "ca.pem"))
    with pytest.raises(UsageError, match="no SM2 key"):
        Wardrobe(TlsSettings(TlsMode.GM, own / "ca.pem", issuer=own / "ca.pem", issuer_key=own / "ca.crl"))


def test_the_channel_of_mode_gm_is_all_national(wardrobe: Wardrobe) -> None:
    """In memory, both ends of the harness agree on the suite of RFC 8998, or on a strong international one."""
    ends = [
        SSL.Connection(wardrobe.context("node-a"), None),
        SSL.Connection(wardrobe.context("harness", "gateway", server=True), None),
    ]
    ends[0].set_connect_state()
    ends[1].set_accept_state()
    for _ in range(4):
        for one, other in (ends, ends[::-1]):
            with suppress(SSL.WantReadError):
                one.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65536))
    gm = wardrobe.settings.mode is TlsMode.GM
    assert ends[0].get_cipher_name() == ("TLS_SM4_GCM_SM3" if gm else "TLS_AES_256_GCM_SHA384")
    assert not gm or ends[0].get_group_name() == "curveSM2"


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(TlsMode))
def test_the_demonstration_over_tls(mode: TlsMode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two nodes and the harness over mutual TLS, with certificates that `hutong pki` has issued: they conform."""
    words = ["certify", "--demo", "--tls", mode.value, "--only", "8.1.2", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["hutong", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    recorded = (tmp_path / "out" / "events.jsonl").read_text(encoding="utf-8")
    assert f'"tls":{{"mode":"{mode.value}"}}' in recorded
    assert "PRIVATE KEY" not in recorded
