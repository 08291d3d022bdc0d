"""Nodes over mutual TLS, national and international: who gets in, who does not, and what a listener hears."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from OpenSSL import SSL

from reference_node.config import Config, load_config
from reference_node.errors import ConfigError
from reference_node.security.pki import Files, Pki
from reference_node.security.suites import TLS_SUITES, TlsSuite, WeakSuite, tls_registry
from reference_node.server import NodeServer
from reference_node.transport.client import ChannelClient
from reference_node.transport.outbound import Unreachable
from tests.reference_node.transport.tlsing import Line, Realm, bare, own, realm
from tests.wires import Tap

pytestmark = pytest.mark.slow
QUERY = "/v1/interconn/node/query?node_id="
SESSION = "session_job-0123456789abcdef0123456789abcdef"
TOKEN = "token-of-the-session-0123456789"
PARTIES = {"guest.0": "node-a", "host.0": "node-b"}


@pytest.fixture(params=["gm", "intl"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Realm]:
    """A CA of either mode and room for nodes."""
    with realm(request.param, tmp_path) as made:
        yield made


def _context(here: Realm, files: Files | None) -> SSL.Context:
    return bare(files, suites=b"TLS_SM4_GCM_SM3" if here.mode == "gm" else b"")


def _sign(a: NodeServer, b: NodeServer, address: str) -> None:
    applied = own(a, "POST", "contract/apply", {"address": address, "node_id": b.node.node_id}).json
    confirm = {"contract_id": applied["data"]["contract_id"], "status": "APPROVED"}
    confirmed = own(b, "POST", "contract/confirm", confirm).json
    assert confirmed["data"]["delivery"] == "DELIVERED"


def test_two_nodes_sign_a_contract_and_send_messages(here: Realm) -> None:
    """Everything between two nodes goes over mutual TLS; their components reach them on the plain loopback port."""
    a, b = here.serve("node-a"), here.serve("node-b")
    assert a.address.startswith("https://127.0.0.1:")
    assert a.node.component_address.startswith("http://127.0.0.1:")
    _sign(a, b, b.address)
    for server in (a, b):
        server.node.sessions.open(SESSION, TOKEN, PARTIES, {})
    with (
        ChannelClient(a.node.component_address, SESSION, TOKEN, "guest.0", PARTIES, timeout=20.0) as guest,
        ChannelClient(b.node.component_address, SESSION, TOKEN, "host.0", PARTIES, timeout=20.0) as host,
    ):
        for payload in (b"", b"small", b"x" * 3_000_000):
            guest.send("host.0", "step", payload)
            assert host.recv("guest.0", "step") == payload


@pytest.mark.parametrize("mode", ["gm", "off"])
def test_a_listener_hears_no_plaintext(mode: str, tmp_path: Path) -> None:
    """The names in a contract are on a plain wire and nowhere on a secured one."""
    canary, name = "node-canary-4711", "canary institution"
    with realm("gm", tmp_path) as here:
        plain: dict[str, Any] = {"tls": "off", "tls_certificate": None, "tls_key": None, "tls_ca": None}
        settings = plain if mode == "off" else {}
        a = here.serve(canary, institution=name, **settings)
        b = here.serve("node-b", **settings)
        with Tap(b.address) as tap:
            if mode == "gm":
                applied = own(a, "POST", "contract/apply", {"address": tap.address, "node_id": "node-b"})
                assert applied.status == 200
            else:
                url = f"{a.address}/v1/platform/node/contract/apply"
                token = {"authorization": "Bearer " + a.node.identity.operator_token}
                asked = requests.post(
                    url, json={"address": tap.address, "node_id": "node-b"}, headers=token, timeout=10
                )
                assert asked.status_code == 200
            heard = bytes(tap.heard)
    assert len(heard) > 1000
    for word in (canary, name, "interconn", "contract"):
        assert (word.encode() in heard) == (mode == "off"), word


def test_the_channel_is_what_it_is_said_to_be(here: Realm) -> None:
    """RFC 8998 with everything national in mode gm; TLS 1.3 with strong suites in mode intl, on IPv4 and IPv6."""
    a = here.serve("node-a", host=["127.0.0.1", "::1"])
    assert [address.split("//")[1].rsplit(":", 1)[0] for address in a.addresses] == ["127.0.0.1", "[::1]"]
    for address in a.addresses:
        with Line(address, _context(here, here.files("node-b", out=here.folder / address[-9:]))) as line:
            assert line.ask("GET", QUERY + "node-a").status == 200
            assert line.tls.get_protocol_version_name() == "TLSv1.3"
            suite, group = line.tls.get_cipher_name(), line.tls.get_group_name()
        if here.mode == "gm":
            assert (suite, group) == ("TLS_SM4_GCM_SM3", "curveSM2")
        else:
            assert (suite, group) == ("TLS_AES_256_GCM_SHA384", "X25519MLKEM768")


def test_nodes_need_a_certificate_and_operators_do_not(here: Realm) -> None:
    """What is between nodes is refused without a client certificate; the own side takes its token."""
    a = here.serve("node-a")
    with Line(a.address, _context(here, None)) as line:
        assert line.ask("GET", QUERY + "node-a").error == "CLIENT_CERTIFICATE_MISSING"
        assert line.ask("POST", "/v1/interconn/chan/pop", {}, {"topic": "t"}).error == "CLIENT_CERTIFICATE_MISSING"
    assert own(a, "GET", "query?node_id=node-a").json["data"]["node_id"] == "node-a"


def test_the_source_has_to_be_the_certificates_node(here: Realm) -> None:
    """A node that names another one as the source of its request is refused before anything else is looked at."""
    a = here.serve("node-a")
    with Line(a.address, _context(here, here.files("node-b"))) as line:
        headers = {"x-source-node-id": "node-c", "x-target-node-id": "node-a"}
        answer = line.ask("GET", "/v1/interconn/node/health?contract_id=x", headers)
        assert (answer.status, answer.error) == (401, "CERTIFICATE_MISMATCH")
        headers["x-source-node-id"] = "node-b"
        assert line.ask("GET", "/v1/interconn/node/health?contract_id=x", headers).error == "HEADER_MISSING"


def test_certificates_that_do_not_count_end_the_connection(here: Realm, tmp_path: Path) -> None:
    """Revoked, of another CA of the same name, out of date: no answer comes."""
    a = here.serve("node-a")
    revoked = here.files("node-r")
    here.ca.revoke("node-r")
    stranger = Realm(here.mode, tmp_path, Pki.init(tmp_path / "other", {"gm": "sm2", "intl": "p256"}[here.mode]))
    for files in (revoked, stranger.files("node-s"), here.files("node-e", days=-0.001)):
        with pytest.raises(SSL.Error), Line(a.address, _context(here, files)) as line:
            line.ask("GET", QUERY + "node-a")


def test_a_revocation_holds_on_an_open_connection(here: Realm) -> None:
    """A connection that was made before its certificate was revoked opens nothing afterwards."""
    a = here.serve("node-a")
    with Line(a.address, _context(here, here.files("node-b"))) as line:
        assert line.ask("GET", QUERY + "node-a").status == 200
        here.ca.revoke("node-b")
        assert line.ask("GET", QUERY + "node-a").error == "CERTIFICATE_REFUSED"


def test_a_caller_makes_sure_of_whom_it_calls(here: Realm, tmp_path: Path) -> None:
    """A node does not talk to a server of another node, at another port, of another CA, revoked, or without TLS."""
    a, b = here.serve("node-a"), here.serve("node-b")
    outbound = a.node.partner._outbound

    def call(url: str, target: str = "node-b") -> int:
        return outbound.send("GET", url + QUERY + "node-b", {"x-target-node-id": target}, b"", 10).status

    assert call(b.address) == 200
    with pytest.raises(Unreachable):
        call(b.address, "node-c")
    with pytest.raises(Unreachable):
        call(b.address.replace("https:", "http:"))
    with pytest.raises(Unreachable):
        call(b.address.replace("127.0.0.1", "localhost"))
    gateway = here.serve("node-g", here.files("node-g", role="gateway"))
    assert call(gateway.address, "node-c") == 404  # it is a node of its own, which knows nobody of that id
    other = Realm(here.mode, tmp_path, Pki.init(tmp_path / "other", {"gm": "sm2", "intl": "p256"}[here.mode]))
    posing = other.files("node-d")
    d = here.serve("node-d", posing, tls_ca=other.ca.folder / "ca.pem", tls_crl=other.ca.folder / "ca.crl")
    with pytest.raises(Unreachable):
        call(d.address, "node-d")
    here.ca.revoke("node-b")
    a.node.partner._outbound = None  # type: ignore[assignment]
    outbound._local.__dict__.clear()
    with pytest.raises(Unreachable):
        call(b.address)


def test_an_operator_is_told_why_the_channel_failed(
    here: Realm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A partner of another CA: the reason is in the hint and in the log of the caller, and no key is."""
    a = here.serve("node-a")
    other = Realm(here.mode, tmp_path, Pki.init(tmp_path / "other", {"gm": "sm2", "intl": "p256"}[here.mode]))
    d = here.serve(
        "node-d", other.files("node-d"), tls_ca=other.ca.folder / "ca.pem", tls_crl=other.ca.folder / "ca.crl"
    )
    with caplog.at_level("WARNING", "reference_node"):
        refused = own(a, "POST", "contract/apply", {"address": d.address, "node_id": "node-d"}).json["data"]
    assert refused["error"] == "PARTNER_UNREACHABLE"
    assert refused["reason"].startswith("TLS: ")
    assert "certificate" in refused["reason"]
    assert refused["reason"] in refused["hint"]
    told = [row.getMessage() for row in caplog.records if "partner not reached" in row.getMessage()]
    assert any(
        refused["reason"] in json.loads(line)["reason"] and d.address.removeprefix("https://") in line for line in told
    )
    assert "PRIVATE" not in "".join(told)


def test_weak_protocols_and_suites_are_refused(here: Realm) -> None:
    """No handshake under TLS 1.2, with CBC, without forward secrecy, or with the suites of the other mode."""
    a = here.serve("node-a")
    offers: list[dict[str, Any]] = [
        {"version": SSL.TLS1_1_VERSION, "ciphers": b"ALL:@SECLEVEL=0"},
        {"version": SSL.TLS1_2_VERSION, "ciphers": b"ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA"},
        {"version": SSL.TLS1_2_VERSION, "ciphers": b"AES256-GCM-SHA384:AES128-SHA"},
        {"suites": b"TLS_AES_128_GCM_SHA256" if here.mode == "gm" else b"TLS_SM4_GCM_SM3", "ciphers": b"AES128-SHA"},
        {"suites": b"TLS_AES_128_CCM_8_SHA256", "ciphers": b"AES128-SHA"},
    ]
    for offer in offers:
        with pytest.raises(SSL.Error):
            Line(a.address, bare(None, **offer))


def test_the_plain_port_serves_components_only(here: Realm) -> None:
    """Neither nodes nor the operator get anything there, and the secured port does not speak plain HTTP."""
    a = here.serve("node-a")
    token = {"authorization": "Bearer " + a.node.identity.operator_token}
    for path in (QUERY + "node-a", "/v1/platform/node/query?node_id=node-a"):
        answer = requests.get(a.node.component_address + path, headers=token, timeout=10)
        assert (answer.status_code, answer.json()["data"]["error"]) == (403, "CHANNEL_NOT_SECURE")
    popped = requests.post(f"{a.node.component_address}/v1/interconn/chan/pop", timeout=10, json={"topic": "t"})
    assert popped.json()["data"]["error"] != "CHANNEL_NOT_SECURE"
    with pytest.raises(requests.ConnectionError):
        requests.get(a.address.replace("https:", "http:") + QUERY + "node-a", timeout=10)


def test_a_caller_that_dawdles_is_left(tmp_path: Path) -> None:
    """A connection that shakes no hands is ended in time and keeps nobody waiting (9.2-a-5)."""
    with realm("gm", tmp_path) as here:
        a = here.serve("node-a", tls_handshake_seconds=0.2)
        parts = a.address.rsplit(":", 1)
        with socket.create_connection(("127.0.0.1", int(parts[1])), timeout=10) as idle:
            assert own(a, "GET", "query?node_id=node-a").status == 200
            assert idle.recv(1) == b""


def test_messages_over_grpc_are_secured(here: Realm) -> None:
    """The certificates of the channel serve gRPC too, national ones as well: a small message and a stream of frames."""
    a, b = here.serve("node-a", grpc_port=0), here.serve("node-b", grpc_port=0)
    _sign(a, b, b.address)
    addresses = {"node-a": a.grpc_address or "", "node-b": b.grpc_address or ""}
    for server in (a, b):
        server.node.sessions.open(SESSION, TOKEN, PARTIES, addresses)
    with (
        ChannelClient(a.node.component_address, SESSION, TOKEN, "guest.0", PARTIES, timeout=20.0) as guest,
        ChannelClient(b.node.component_address, SESSION, TOKEN, "host.0", PARTIES, timeout=20.0) as host,
    ):
        for payload in (b"over grpc", b"x" * 30_000_000):
            guest.send("host.0", "step", payload)
            assert host.recv("guest.0", "step") == payload
            host.send("guest.0", "back", payload)
            assert guest.recv("host.0", "back") == payload


def _settings(tmp_path: Path, mode: str, files: Files, ca: Pki, **more: Any) -> Config:
    given: dict[str, Any] = {
        "tls": mode,
        "tls_certificate": files.certificate,
        "tls_key": files.key,
        "tls_ca": ca.folder / "ca.pem",
        "tls_crl": ca.folder / "ca.crl",
    }
    return load_config(None, data=tmp_path / "data", node_id="node-a", port=0, **{**given, **more})


def test_a_channel_that_is_not_whole_stops_the_start(tmp_path: Path) -> None:
    """Missing files, files of another mode, another key, another node, suites of the other mode."""
    with realm("gm", tmp_path) as here:
        mine, other = here.files("node-a"), here.files("node-b")
        (tmp_path / "intl").mkdir()
        p256 = Pki.init(tmp_path / "intl" / "ca", "p256")
        crossed = Files(mine.certificate, other.key)
        wrong: list[tuple[str, Config]] = [
            ("needs certificate", load_config(None, node_id="node-a", tls="gm")),
            ("takes a certificate of a SHA256_ECDSA key", _settings(tmp_path, "intl", mine, here.ca)),
            ("is not the key of", _settings(tmp_path, "gm", crossed, here.ca)),
            ("not of this node", _settings(tmp_path, "gm", other, here.ca)),
            ("none of them", _settings(tmp_path, "gm", mine, here.ca, tls_suites=["TLS_AES_128_GCM_SHA256"])),
            ("No such file", _settings(tmp_path, "gm", mine, here.ca, tls_ca=tmp_path / "none.pem")),
            ("holds no revocation list", _settings(tmp_path, "gm", mine, here.ca, tls_crl=p256.folder / "ca.pem")),
        ]
        for why, config in wrong:
            with pytest.raises(ConfigError, match=why):
                NodeServer(config)
    with pytest.raises(ConfigError, match="suites"):
        load_config(None, tls_suites=["TLS_AES_128_CCM_8_SHA256"])


def test_no_weak_suite_can_be_registered() -> None:
    """The strength of a suite is that of its weakest primitive; what is not registered makes no suite."""
    assert all(suite.strength_bits >= 112 for suite in TLS_SUITES)
    for cipher, digest, group in (("DES", "SM3", "SM2"), ("SM4", "SHA-1", "SM2"), ("SM4", "SM3", "P-192")):
        with pytest.raises(WeakSuite):
            tls_registry(TlsSuite("weak", "intl", "1.2", cipher, digest, group))
    with pytest.raises(ValueError, match="one name"):
        tls_registry(TLS_SUITES[0], TLS_SUITES[0])
    assert json.dumps([suite.name for suite in TLS_SUITES if suite.mode == "gm"]) == '["TLS_SM4_GCM_SM3"]'
