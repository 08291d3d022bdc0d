"""Whose certificates count (9.2-a): those of the configured CA that are valid at the node's time and not revoked.

Guarantees: the chain, the dates of every link and the revocation list decide, the last one failing closed once it is
out of date; the files are read again when they change, so that a revocation holds for the next handshake and, through
`withdrawn`, for connections that are open; files that cannot be read any more leave nobody trusted.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from OpenSSL import crypto

from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.security import certificates
from reference_node.security.certificates import Certificate
from reference_node.security.errors import CertificateRefused, CredentialRefused

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which pyOpenSSL has no name for
_CRL_BLOCK: Final = re.compile(r"-----BEGIN X509 CRL-----[A-Za-z0-9+/=\s]+-----END X509 CRL-----")

Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Anchors:
    """What the files held when they were read last."""

    authorities: tuple[Certificate, ...]
    lists: tuple[x509.CertificateRevocationList, ...]
    revoked: frozenset[tuple[bytes, int]]


class Trust:
    """The CAs of a node and what they have revoked."""

    def __init__(self, ca: Path, crl: Path | None = None, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self._files: tuple[Path, ...] = (ca,) if crl is None else (ca, crl)
        self._checks_lists = crl is not None
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._anchors = self._read()

    @property
    def stamp(self) -> Stamp:
        """What changes whenever the files do."""
        self.anchors()
        return self._stamp

    def anchors(self) -> Anchors:
        """Return the CAs and lists as the files hold them now."""
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp and not self.faults.on("revocation-list-read-once"):
                self._anchors = self._read()
                self._stamp = stamp
            return self._anchors

    def fill(self, store: crypto.X509Store) -> None:
        """Put everything into a store that judges chains."""
        anchors = self.anchors()
        for authority in anchors.authorities:
            store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, authority.data))
        for listed in anchors.lists:
            store.add_crl(listed)
        flags = crypto.X509StoreFlags.X509_STRICT
        if self._checks_lists and not self.faults.on("revoked-certificate-taken"):
            flags |= crypto.X509StoreFlags.CRL_CHECK
        if self.faults.on("expired-certificate-taken"):
            flags |= _NO_CHECK_TIME
        store.set_flags(flags)

    def check(self, certificate: Certificate, now_ms: int, between: Iterable[Certificate] = ()) -> None:
        """Return when a certificate counts at this time, else raise CertificateRefused with the reason."""
        store = crypto.X509Store()
        try:
            self.fill(store)
        except ConfigError as unreadable:
            raise CertificateRefused(f"nobody is trusted for the moment: {unreadable}") from unreadable
        store.set_time(dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC))
        chain = [crypto.load_certificate(crypto.FILETYPE_ASN1, item.data) for item in between]
        mine = crypto.load_certificate(crypto.FILETYPE_ASN1, certificate.data)
        try:
            crypto.X509StoreContext(store, mine, chain).verify_certificate()
        except crypto.X509StoreContextError as refused:
            raise CertificateRefused(f"the certificate is not taken: {refused}") from refused

    def withdrawn(self, certificate: Certificate, now_ms: int) -> bool:
        """Tell whether a certificate that counted once has expired or been revoked since; cheap enough to ask often."""
        if self.expired(certificate, now_ms):
            return True
        if self.faults.on("revoked-certificate-taken"):
            return False
        try:
            revoked = self.anchors().revoked
        except ConfigError:
            return True
        return (certificate.parsed.issuer.public_bytes(), certificate.serial) in revoked

    def expired(self, certificate: Certificate, now_ms: int) -> bool:
        """Tell whether a certificate's time is over."""
        late = now_ms > certificate.parsed.not_valid_after_utc.timestamp() * 1000
        return late and not self.faults.on("expired-certificate-taken")

    def _look(self) -> Stamp:
        try:
            return tuple((found.st_mtime_ns, found.st_size) for found in (path.stat() for path in self._files))
        except OSError as missing:
            raise ConfigError(
                f"{missing.filename}: {missing.strerror}", hint="correct ca and crl in [tls]"
            ) from missing

    def _read(self) -> Anchors:
        ca, *crls = (_text(path) for path in self._files)
        try:
            lists = tuple(x509.load_pem_x509_crl(block.encode()) for text in crls for block in _CRL_BLOCK.findall(text))
            authorities = tuple(certificates.read_all(ca))
        except (CredentialRefused, ValueError) as wrong:
            raise ConfigError(f"[tls] ca or crl cannot be read: {wrong}", hint="give PEM files") from wrong
        if self._checks_lists and not lists:
            raise ConfigError(f"{self._files[1]} holds no revocation list", hint="give the PEM that `pki crl` writes")
        revoked = frozenset((each.issuer.public_bytes(), row.serial_number) for each in lists for row in each)
        return Anchors(authorities, lists, revoked)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path} cannot be read", hint="give a PEM file") from wrong
