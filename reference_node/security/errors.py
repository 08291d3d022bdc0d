"""What the security layer refuses with: each class carries the catalogue's error name and a hint.

    SecurityFailure
    ├── BackendUnavailable          an SM2 implementation cannot be used on this machine
    ├── PrivateKeyRefused           a stored private key is unreadable, exposed or not one of ours
    ├── VaultKeyRefused             the keys of the encrypted store cannot be used
    ├── StoreTampered               something stored is not what was written (9.2-e-1)
    ├── KeyDestroyed                the key of something stored was destroyed on purpose (9.2-d-3)
    ├── WeakSuite                   a suite under the minimum strength was offered for registration (9.2-b)
    ├── NoCommonSuite               two sides share no signature suite
    ├── CredentialRefused           a presented credential is not taken (8.1.2, 9.2-a)
    │   ├── CredentialMalformed
    │   ├── CredentialTypeUnsupported
    │   ├── CertificateRefused      nobody trusted vouches for a certificate, or not any more
    │   └── KeyTooWeak
    └── SignatureRefused            a signed request is not taken (9.2-a, 9.2-b)
        ├── SignatureMissing
        ├── SignatureMalformed
        ├── SuiteRefused
        ├── DigestMismatch
        └── InvalidSignature

`name` is the key in the error catalogue that the interfaces answer with; `hint` says what the caller can do about it.
Messages never hold key material or signatures.
"""

from __future__ import annotations

from typing import ClassVar


class SecurityFailure(Exception):
    """Base of every failure of this layer."""

    name: ClassVar[str] = "INTERNAL"
    default_hint: ClassVar[str] = "look at the node's log"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint


class BackendUnavailable(SecurityFailure):
    """An SM2 implementation is absent or too old here."""

    default_hint = "install OpenSSL 3 (libcrypto.so.3), or let the node fall back to gmssl"


class PrivateKeyRefused(SecurityFailure):
    """A private key file cannot be taken."""

    default_hint = "give an unencrypted PKCS#8 PEM file readable by its owner only (chmod 600)"


class VaultKeyRefused(SecurityFailure):
    """The vault's keys are absent, exposed or not those that its data is sealed under."""

    default_hint = "give the key-encryption key that this data folder was made with, or restore both from a backup"


class StoreTampered(SecurityFailure):
    """Something stored is not what was written: it was changed, moved to another place, or cut."""

    name = "STORE_TAMPERED"
    default_hint = "look at the log for the place, and restore a backup with hutong node restore"


class KeyDestroyed(SecurityFailure):
    """What is wanted was sealed under a key that has been destroyed on purpose."""

    name = "RESOURCE_NOT_FOUND"
    default_hint = "the data was destroyed at the end of its agreed period"


class WeakSuite(SecurityFailure):
    """A suite under the minimum strength cannot be registered."""

    default_hint = "choose a digest of 224 bits or more and a curve of 224 bits or an RSA modulus of 2048 bits or more"


class NoCommonSuite(SecurityFailure):
    """The two sides have no signature suite in common."""

    name = "SUITE_REFUSED"
    default_hint = "enable one of SM3_SM2, SHA256_ECDSA, SHA256_RSA on both sides"


class CredentialRefused(SecurityFailure):
    """A presented credential is not taken."""

    name = "CREDENTIAL_MALFORMED"
    default_hint = "send one PEM block, BEGIN PUBLIC KEY, of the kind that auth_type names"


class CredentialMalformed(CredentialRefused):
    """The credential cannot be read as the public key that its type promises."""


class CredentialTypeUnsupported(CredentialRefused):
    """The credential's type is not one that this version takes."""

    name = "CREDENTIAL_TYPE_UNSUPPORTED"
    default_hint = "use auth_type SM3_SM2, SHA256_ECDSA or SHA256_RSA"


class CertificateRefused(CredentialRefused):
    """No CA that is trusted vouches for the certificate, or not at this time, or no longer."""

    name = "CERTIFICATE_REFUSED"
    default_hint = "present a certificate of the agreed CA that is valid today, not revoked, and of the sending node"


class KeyTooWeak(CredentialRefused):
    """The key does not reach what its suite demands: a short RSA modulus, or another curve than the suite's."""

    name = "KEY_TOO_WEAK"
    default_hint = "use the SM2 recommended curve, P-256, or an RSA modulus of 2048 bits or more"


class SignatureRefused(SecurityFailure):
    """A signed request is not taken."""

    name = "SIGNATURE_INVALID"


class SignatureMissing(SignatureRefused):
    """The request carries no x-auth-sign."""

    name = "SIGNATURE_MISSING"
    default_hint = 'send x-auth-sign: :<base64>:;alg="sm2-sm3"'


class SignatureMalformed(SignatureRefused):
    """x-auth-sign, or a header that the signature covers, is not of the documented form."""

    name = "SIGNATURE_MALFORMED"
    default_hint = 'send x-auth-sign: :<base64>:;alg="sm2-sm3" and every covered header once, in visible ASCII'


class SuiteRefused(SignatureRefused):
    """The signature's algorithm is unknown, or is not the one of the signer's key."""

    name = "SUITE_REFUSED"
    default_hint = "sign with the algorithm of the key that was presented in auth_credential"


class DigestMismatch(SignatureRefused):
    """content-digest is absent, of another algorithm, or not that of the body received."""

    name = "DIGEST_MISMATCH"
    default_hint = "compute content-digest over the body's exact bytes: sm3 with sm2-sm3, sha-256 with the others"


class InvalidSignature(SignatureRefused):
    """The signature does not belong to this message and key."""

    default_hint = "compare your signature base with specs/protocols/request-signing.md, byte for byte"
