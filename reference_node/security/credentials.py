"""Partners' keys and the verification of their requests, with the places where the signing faults live.

Guarantees: a credential is parsed once and kept by its text, so that a request costs one verification and no parsing;
nothing is kept that was refused.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from reference_node.faults import Faults
from reference_node.security import leniency, signing
from reference_node.security.errors import (
    CredentialMalformed,
    CredentialRefused,
    CredentialTypeUnsupported,
    DigestMismatch,
    InvalidSignature,
    KeyTooWeak,
    SignatureRefused,
    SuiteRefused,
)
from reference_node.security.keys import PublicKey
from reference_node.security.suites import AuthType

# fault -> the component that a signature may then leave out
_LEFT_OUT: Final = {
    "method-not-covered": "@method",
    "path-not-covered": "@path",
    "query-not-covered": "@query",
    "digest-not-covered": signing.CONTENT_DIGEST,
    "token-set-not-covered": signing.TOKEN_SET,
    "nonce-not-covered": signing.NONCE,
    "source-not-covered": signing.SOURCE,
    "target-not-covered": signing.TARGET,
    "timestamp-not-covered": signing.TIMESTAMP,
}


@lru_cache(maxsize=4096)
def _parsed(auth_type: str, credential: str) -> PublicKey:
    return PublicKey.from_credential(auth_type, credential)


def key(faults: Faults, auth_type: str, credential: str) -> PublicKey:
    """Return the key of a credential; raise CredentialRefused."""
    try:
        return _parsed(auth_type, credential)
    except CredentialTypeUnsupported:
        if not faults.on("unknown-suite-downgraded"):
            raise
        return _of_any_kind(credential)
    except CredentialMalformed:
        lenient = leniency.key(faults, auth_type, credential)
        if lenient is not None:
            return lenient
        if not faults.on("broken-key-taken"):
            raise
        return leniency.any_key()
    except KeyTooWeak:
        weak = _weak(auth_type, credential)
        allowed = "weak-rsa-key-accepted" if isinstance(weak, rsa.RSAPublicKey) else "weak-curve-accepted"
        if weak is None or not faults.on(allowed):
            raise
        spki = weak.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return PublicKey(AuthType(auth_type), spki, weak)


def _of_any_kind(credential: str) -> PublicKey:
    """Take a credential for whatever it turns out to be, for the fault that does so."""
    for auth_type in AuthType:
        try:
            return _parsed(auth_type, credential)
        except CredentialRefused:
            continue
    raise CredentialMalformed("the credential is of no known kind")


def _weak(auth_type: str, credential: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None:
    """Load a key that is under strength, for the faults that take it."""
    if auth_type == AuthType.SM3_SM2:
        return None
    loaded = serialization.load_pem_public_key(credential.encode())
    return loaded if isinstance(loaded, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)) else None


def verify(faults: Faults, signer: PublicKey, request: signing.Request) -> None:
    """Return when the request was signed by this key as it stands, else raise SignatureRefused."""
    try:
        _verify(faults, signer, request)
    except SignatureRefused:
        if not faults.on("signature-not-verified"):
            raise


def _verify(faults: Faults, signer: PublicKey, request: signing.Request) -> None:
    if leniency.is_any_key(signer):
        return
    if isinstance(request.query, str) and _unsorted(request.query) and faults.on("query-order-matters"):
        raise InvalidSignature("the query is not in the order in which it was signed")
    try:
        signing.verify(signer, request)
    except DigestMismatch:
        if not _weak_digest(faults, request) and not faults.on("digest-not-checked"):
            raise
        stated = request.headers[signing.SIGNATURE]
        message = signing.signature_base(request, signer.suite.alg, version=signing.version_of(stated))
        signer.verify(message, signing.parse_signature(stated)[0])
    except SuiteRefused:
        if not faults.on("alg-downgrade-accepted"):
            raise
    except InvalidSignature:
        if not _verifies_without(faults, signer, request) and not leniency.signature(faults, signer, request):
            raise


def _unsorted(query: str) -> bool:
    """Tell whether a query of several parts stands in the reverse of its canonical order."""
    parts = query.split("&")
    return len(parts) > 2 and parts == sorted(parts, reverse=True)


def _weak_digest(faults: Faults, request: signing.Request) -> bool:
    """Tell whether the fault that takes SHA-1 digests applies."""
    name, _, value = request.headers.get(signing.CONTENT_DIGEST, "").partition("=")
    if name != "sha" or not faults.on("weak-digest-accepted"):
        return False
    return value == f":{base64.b64encode(hashlib.sha1(request.body, usedforsecurity=False).digest()).decode()}:"


def _verifies_without(faults: Faults, signer: PublicKey, request: signing.Request) -> bool:
    """Tell whether a fault lets a signature pass that leaves one component out."""
    version = signing.version_of(request.headers[signing.SIGNATURE])
    components = signing.covered(request.headers, version)
    left_out = [component for fault, component in _LEFT_OUT.items() if faults.on(fault)]
    if version > signing.OLDEST and faults.on("transport-headers-unsigned"):
        left_out += components[len(signing.COMPONENTS) :]
    if version > signing.OLDEST and faults.on("new-signature-base-not-verified"):
        return True
    for component in left_out:
        try:
            signing.verify(signer, request, tuple(item for item in components if item != component))
        except InvalidSignature:
            continue
        return True
    return False
