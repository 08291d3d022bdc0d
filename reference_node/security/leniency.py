"""What careless verifiers let pass: the places of the faults that take malformed keys and signatures (9.1-b, 9.2-f).

Guarantees: asked only about what was refused already, and each fault only where the request has its particular flaw.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidSignature as LibraryInvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from reference_node.faults import Faults
from reference_node.security import der, signing, sm2
from reference_node.security.errors import CredentialRefused, InvalidSignature, PrivateKeyRefused
from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.security.suites import AuthType

_HALF: Final = 32
_SM2_POINT: Final = 65
_END: Final = "-----END PUBLIC KEY-----\n"
_P256_ORDER: Final = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551
_ORDERS: Final = {AuthType.SM3_SM2: sm2.N, AuthType.SHA256_ECDSA: _P256_ORDER}


@cache
def any_key() -> PublicKey:
    """Return the key that stands for one that is none, for the faults that take it."""
    return PrivateKey.generate(AuthType.SM3_SM2).public


def is_any_key(key: PublicKey) -> bool:
    """Tell whether a key is the one that a fault has put in the place of none: whatever it is said to sign passes."""
    return key is any_key()


def key(faults: Faults, auth_type: str, credential: str) -> PublicKey | None:
    """Return what a fault makes of a credential that is not a key of its suite."""
    if "PRIVATE KEY" in credential:
        return _public_half(credential) if faults.on("private-key-taken") else None
    first, end, rest = credential.partition(_END)
    if rest.strip():
        return PublicKey.from_credential(auth_type, first + end) if faults.on("second-key-ignored") else None
    flaw = _flaw_of_key(credential)
    return any_key() if flaw and faults.on(flaw) else None


def _public_half(credential: str) -> PublicKey | None:
    try:
        return PrivateKey.from_pem(credential).public
    except PrivateKeyRefused:
        return None


def _flaw_of_key(credential: str) -> str:
    """Name the fault that would take a credential, "" where none would."""
    try:
        algorithm, _, bits = der.read_public(der.from_pem("PUBLIC KEY", credential))
    except CredentialRefused:
        return ""
    if algorithm == der.RSA_KEY:
        return "rsa-exponent-one-taken" if bits.endswith(b"\x02\x01\x01") else ""
    if not any(bits[1:]):
        return "point-at-infinity-taken"
    if bits[0] in (2, 3):
        return "compressed-key-taken"
    return "curve-name-believed" if len(bits) == _SM2_POINT else ""


def signature(faults: Faults, signer: PublicKey, request: signing.Request) -> bool:
    """Tell whether a fault lets a signature pass that does not hold as it stands."""
    alg = signer.suite.alg
    given, _ = signing.parse_signature(request.headers[signing.SIGNATURE])
    message = signing.signature_base(request, alg)
    if signer.auth_type in _ORDERS:
        return _on_curve(faults, signer, message, given)
    return _of_rsa(faults, signer, message, given)


def _on_curve(faults: Faults, signer: PublicKey, message: bytes, given: bytes) -> bool:
    order = _ORDERS[signer.auth_type]
    if len(given) == 2 * _HALF:
        r, s = int.from_bytes(given[:_HALF], "big"), int.from_bytes(given[_HALF:], "big")
        if 0 in (r, s):
            return faults.on("zero-signature-taken")
        if r >= order or s >= order:
            return faults.on("signature-range-not-checked")
        return _of_64_bytes(faults, signer, message, given)
    return any(_holds(signer, message, right) and faults.on(fault) for fault, right in _undressed(given))


def _of_64_bytes(faults: Faults, signer: PublicKey, message: bytes, given: bytes) -> bool:
    if signer.auth_type is AuthType.SM3_SM2:
        negated = given[:_HALF] + (sm2.N - int.from_bytes(given[_HALF:], "big")).to_bytes(_HALF, "big")
        if _holds(signer, message, negated):
            return faults.on("negated-signature-taken")
        return _under_no_id(signer, message, given) and faults.on("sm2-user-id-not-bound")
    return _over_sha1(signer, message, given) and faults.on("sha1-signature-taken")


def _over_sha1(signer: PublicKey, message: bytes, given: bytes) -> bool:
    loaded = serialization.load_der_public_key(signer.spki)
    weak = hashes.SHA1()  # noqa: S303  what the fault takes
    try:
        if isinstance(loaded, rsa.RSAPublicKey):
            loaded.verify(given, message, padding.PKCS1v15(), weak)
        elif isinstance(loaded, ec.EllipticCurvePublicKey):
            r, s = int.from_bytes(given[:_HALF], "big"), int.from_bytes(given[_HALF:], "big")
            loaded.verify(encode_dss_signature(r, s), message, ec.ECDSA(weak))
    except LibraryInvalidSignature:
        return False
    return True


def _under_no_id(signer: PublicKey, message: bytes, given: bytes) -> bool:
    try:
        sm2.best_backend().verify(signer.spki[-sm2.POINT_BYTES :], message, given, b"")
    except InvalidSignature:
        return False
    return True


def _undressed(given: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the raw signature that may be hidden in one of another length, with the fault that would find it."""
    if given[:1] == b"\x30":
        try:
            r, s = decode_dss_signature(given)
        except ValueError:
            return
        yield "der-signature-taken", r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")
    if len(given) == 2 * _HALF + 1:
        yield "signature-read-to-its-length", given[: 2 * _HALF]
    if len(given) == 2 * _HALF + 2:
        yield "leading-zeros-dropped", given[1 : _HALF + 1] + given[_HALF + 2 :]


def _of_rsa(faults: Faults, signer: PublicKey, message: bytes, given: bytes) -> bool:
    if given[:1] == b"\x00" and _holds(signer, message, given[1:]):
        return faults.on("leading-zeros-dropped")
    if _holds(signer, message, given[:-1]):
        return faults.on("signature-read-to-its-length")
    return _over_sha1(signer, message, given) and faults.on("sha1-signature-taken")


def _holds(signer: PublicKey, message: bytes, given: bytes) -> bool:
    try:
        signer.verify(message, given)
    except InvalidSignature:
        return False
    return True
