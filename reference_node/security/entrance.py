"""By which channel a request may come in once TLS is on (9.1-b, 9.2-a, 9.2-g).

Guarantees: what nodes ask each other comes by TLS with a certificate that counts still, and of the very node that the
request names as its source; the own side comes by TLS, with or without a certificate; the plain loopback port serves
the components of this machine and nothing else; what comes across the isolation gap has no connection that could be
secured, and was signed as a file by the node that it is from (9.2-h). Without TLS there is nothing to check here.
"""

from __future__ import annotations

from typing import Final

from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security import signing
from reference_node.security.certificates import Certificate
from reference_node.security.guards import OF_COMPONENTS, REMOTE_OF_GAP
from reference_node.security.incoming import Incoming
from reference_node.security.trust import Trust

_OWN_SIDE: Final = "/v1/platform/"
_DATA_PLANE: Final = tuple(f"/v1/interconn/chan/{name}" for name in ("push", "pop", "peek", "release"))


def check(node: Node, incoming: Incoming) -> None:
    """Return when the request may have come this way, else refuse."""
    if node.tls is None or incoming.remote.startswith(REMOTE_OF_GAP):
        return
    presented = incoming.channel
    if presented is None:
        if incoming.path in OF_COMPONENTS or incoming.path in _DATA_PLANE:
            return
        raise Refusal("CHANNEL_NOT_SECURE")
    if incoming.path.startswith(_OWN_SIDE):
        return
    if presented.certificate is None and node.faults.on("client-certificate-not-demanded"):
        return
    if presented.certificate is None and presented.resumed and node.faults.on("resumed-without-certificate"):
        return
    if presented.certificate is None:
        raise Refusal("CLIENT_CERTIFICATE_MISSING")
    if presented.holder is None or _withdrawn(node, node.tls.trust, presented.certificate, resumed=presented.resumed):
        raise Refusal("CERTIFICATE_REFUSED")
    if presented.resumed and node.faults.on("resumed-session-not-compared"):
        return
    if node.faults.on("certificate-of-other-node-taken"):
        return
    if incoming.headers.get(signing.SOURCE, presented.holder.node_id) != presented.holder.node_id:
        raise Refusal("CERTIFICATE_MISMATCH", pointer=signing.SOURCE)


def _withdrawn(node: Node, trust: Trust, certificate: Certificate, *, resumed: bool) -> bool:
    """Tell whether the certificate of an open connection counts no more, as the defects of this node leave it."""
    if resumed and node.faults.on("resumed-certificate-not-judged"):
        return False
    if node.faults.on("revocation-spares-session" if resumed else "revocation-spares-connection"):
        return trust.expired(certificate, node.now())
    return trust.withdrawn(certificate, node.now())
