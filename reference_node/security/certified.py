"""Certificates as credentials, `auth_type` CERT (9.2-a): a key counts because a CA vouches for whose it is.

Guarantees: chain, dates, revocation list and the node id inside are judged when the certificate is presented; where
the configuration does not list CERT, or the credential is of another type, nothing is different from a bare key.
"""

from __future__ import annotations

from reference_node.node import Node
from reference_node.security import certificates, credentials
from reference_node.security.certificates import ISSUING_SUITES
from reference_node.security.errors import CertificateRefused, CredentialTypeUnsupported
from reference_node.security.keys import PublicKey
from reference_node.security.suites import CERT


def key(node: Node, auth_type: str, credential: str, source: str) -> PublicKey:
    """Return the key that a node presents; raise CredentialRefused."""
    if auth_type != CERT or CERT not in node.config.auth_types or node.trust is None:
        return credentials.key(node.faults, auth_type, credential)
    own, *between = certificates.read_all(credential)
    node.trust.check(own, node.now(), between)
    if own.holder is None or own.holder.node_id != source:
        raise CertificateRefused("the certificate is of another node than the one that presents it")
    if own.public.auth_type not in ISSUING_SUITES:
        raise CredentialTypeUnsupported("a certificate's key is on SM2 or P-256")
    return own.public
