"""The reference node behind sockets with mutual TLS, for defects of the channel that no run in process can show.

Everything is real: cheroot, handshakes, certificates of a CA that is made for the purpose, the harness's own receiver;
only the clock of the run in process is missing. A lab takes well under a second to build.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance.harness import engine
from conformance.harness.binding import load_binding
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import Profile
from conformance.harness.records import Transcript
from conformance.harness.registry import Scenario
from conformance.selftest.inprocess import NODE_ID, TOKEN
from reference_node.config import load_config
from reference_node.node import Node
from reference_node.security.certificates import Address, Holder
from reference_node.security.pki import Pki
from reference_node.server import NodeServer

NAME: Final = "tls"
MODULE: Final = "conformance.suites.suite_9_1_tls"
_HOST: Final = "127.0.0.1"
_REVOKED: Final = "node-revoked"


@dataclass(frozen=True, slots=True)
class ServedLab:
    """A node with some defects on a socket, and a stage around it."""

    server: NodeServer
    collector: engine.Collector
    folder: tempfile.TemporaryDirectory[str]

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
        self.folder.cleanup()


def served_lab(faults: Sequence[str] = ()) -> ServedLab:
    """Serve a node with these defects on loopback, in mode intl, and set a stage around it."""
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
    current = engine.stage(_profile(server.address, files), load_binding("reference"))
    current.receiver.start(_HOST, 0)
    return ServedLab(server, engine.Collector(current), folder)


def _profile(url: str, files: dict[str, Path]) -> Profile:
    tls = {"mode": "intl", **{name: str(path) for name, path in files.items()}}
    return parse_profile(
        {"target": {"url": url, "node_id": NODE_ID}, "operator": {"token": TOKEN}, "tls": tls}, "on loopback"
    )
