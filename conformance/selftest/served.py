"""The reference node behind sockets, for defects of the channel that no run in process can show: three labs.

    tls        mutual TLS, over IPv4
    sessions   the same, for what is done with sessions of TLS
    sockets    plain HTTP, over IPv4 and IPv6, and gRPC

Everything is real: cheroot, handshakes, certificates of a CA that is made for the purpose, the harness's own receiver;
only the clock of the run in process is missing. A lab takes well under a second to build.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from conformance.harness import engine
from conformance.harness.binding import load_binding
from conformance.harness.profile import parse_profile
from conformance.harness.records import Transcript
from conformance.harness.registry import Scenario
from conformance.selftest.inprocess import NODE_ID, TOKEN
from reference_node.config import load_config
from reference_node.node import Node
from reference_node.security.certificates import Address, Holder
from reference_node.security.pki import Pki
from reference_node.server import NodeServer

TLS: Final = "tls"
SESSIONS: Final = "sessions"
SOCKETS: Final = "sockets"
# which scenarios are acted out where
LABS: Final[Mapping[str, str]] = {
    "conformance.suites.suite_9_1_tls": TLS,
    "conformance.suites.suite_9_1_tls_sessions": SESSIONS,
    "conformance.suites.suite_9_1_ip_versions": SOCKETS,
    "conformance.suites.suite_9_1_grpc_place": SOCKETS,
    "conformance.suites.suite_9_1_header_forms": SOCKETS,
    "conformance.suites.suite_9_2_crowds": SOCKETS,
    "conformance.suites.suite_9_2_framing": SOCKETS,
}
_HOST: Final = "127.0.0.1"
_HOSTS: Final = (_HOST, "::1")
_HEAD_SECONDS: Final = 1.0
_TIMINGS: Final = {
    "callback_seconds": 3.0,
    "answer_seconds": 3.0,
    "recovery_seconds": 3.0,
    "silence_seconds": 3 * _HEAD_SECONDS,
}
_REVOKED: Final = "node-revoked"


@dataclass(frozen=True, slots=True)
class ServedLab:
    """A node with some defects on a socket, and a stage around it."""

    server: NodeServer
    collector: engine.Collector
    folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def node(self) -> Node:
        """The node under test."""
        return self.server.node

    def run(self, scenarios: Sequence[Scenario]) -> dict[str, Transcript]:
        """Act out scenarios one after the other."""
        for scenario in scenarios:
            self.collector.act(scenario)
        return self.collector.transcripts

    def close(self) -> None:
        """Let go of sockets, threads and keys."""
        self.collector.stage.receiver.stop()
        self.server.stop()
        if self.folder is not None:
            self.folder.cleanup()


def served_lab(name: str, faults: Sequence[str] = ()) -> ServedLab:
    """Serve a node with these defects on loopback, and set a stage around it."""
    return _plain(faults) if name == SOCKETS else _secured(faults)


def _plain(faults: Sequence[str]) -> ServedLab:
    own = {"node_id": NODE_ID, "operator_token": TOKEN, "faults": tuple(faults)}
    config = load_config(None, host=_HOSTS, port=0, grpc_port=0, head_seconds=_HEAD_SECONDS, **own)
    server = NodeServer(config)
    server.start()
    other = f"http://[::1]:{server.address.rpartition(':')[2]}"
    places = {"other_url": other, "grpc": server.grpc_address or ""}
    return _staged(server, places, {"timings": _TIMINGS})


def _secured(faults: Sequence[str]) -> ServedLab:
    folder = tempfile.TemporaryDirectory(prefix="hutong-lab-")
    root = Path(folder.name)
    ca = Pki.init(root, "p256")
    own = ca.issue(Holder(NODE_ID, "node", (Address(_HOST, 0),)))
    revoked = ca.issue(Holder(_REVOKED, "node", (Address(_HOST, 0),)))
    ca.revoke(_REVOKED)
    anchors = {"ca": root / "ca.pem", "crl": root / "ca.crl"}
    config = load_config(
        None,
        node_id=NODE_ID,
        port=0,
        grpc_port=0,
        operator_token=TOKEN,
        tls="intl",
        tls_certificate=own.certificate,
        tls_key=own.key,
        tls_ca=anchors["ca"],
        tls_crl=anchors["crl"],
        faults=tuple(faults),
    )
    server = NodeServer(config)
    server.start()
    issuer = {"issuer": anchors["ca"], "issuer_key": root / "ca-key.pem"}
    files = anchors | issuer | {"revoked": revoked.certificate, "revoked_key": revoked.key}
    tls = {"mode": "intl", **{name: str(path) for name, path in files.items()}}
    staged = _staged(server, {"grpc": server.grpc_address or ""}, {"tls": tls})
    current = replace(staged.collector.stage, revoke=lambda certificate: _revoke(ca, certificate))
    return replace(staged, collector=engine.Collector(current), folder=folder)


def _revoke(ca: Pki, certificate: Path) -> None:
    ca.revoke(str(certificate))


def _staged(server: NodeServer, places: Mapping[str, str], more: Mapping[str, Any]) -> ServedLab:
    target = {"url": server.address, "node_id": NODE_ID, **places}
    profile = parse_profile({"target": target, "operator": {"token": TOKEN}, **more}, "on loopback")
    current = engine.stage(profile, load_binding("reference"))
    current.receiver.start(_HOST, 0)
    return ServedLab(server, engine.Collector(current))
