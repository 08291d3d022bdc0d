"""X.509 certificates of nodes, SM2 and P-256: written and read (9.2-a); whether one counts is told by `trust`.

Guarantees: a certificate says which node it is of, at which addresses and ports and in which role (9.2-a-3), as
`ppc://node-id@host:port?role=host` among its alternative names, beside the IP and DNS names that TLS compares; an SM2
certificate is signed SM2 with SM3 under the user id of GB/T 35276 (9.2-a-4); serial numbers are drawn at random.

General X.509 libraries refuse SM2 keys, so what is signed is put together here from parts that `cryptography` writes.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

from reference_node.security import der, sm2
from reference_node.security.errors import CredentialMalformed
from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.security.suites import AuthType

# GM/T 0006: SM2 with SM3; RFC 5758: ECDSA with SHA-256
_SIGNED_WITH: Final[Mapping[str, str]] = {
    AuthType.SM3_SM2: "1.2.156.10197.1.501",
    AuthType.SHA256_ECDSA: "1.2.840.10045.4.3.2",
}
ISSUING_SUITES: Final = tuple(_SIGNED_WITH)
GATEWAY: Final = "gateway"
LABEL: Final = "CERTIFICATE"
_BACKDATED: Final = dt.timedelta(minutes=5)  # clocks differ
_CLEAR_TO: Final = 2050  # from here on years have four digits (RFC 5280, 4.1.2.5)
_NAME_LIMIT: Final = 64
# what the libraries raise for bytes that are no certificate, or one that nobody should have issued
_UNREADABLE: Final = (
    crypto.Error,
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_PEM_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_URI: Final = re.compile(
    r"ppc://(?P<node>[A-Za-z0-9][A-Za-z0-9._:-]{0,127})@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?P<port>\d{1,5})"
    r"\?role=(?P<role>[a-z][a-z0-9-]{0,31})"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node serves; port 0 stands for any."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read host:port, with brackets around an IPv6 address."""
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not colon or not bare or not port.isdecimal() or int(port) > 65535 or (":" in bare) != (bare != host):
            raise ValueError(f"{text} is not host:port; an IPv6 address stands in brackets")
        return cls(bare, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a certificate is of."""

    node_id: str
    role: str
    addresses: tuple[Address, ...]

    def uris(self) -> list[str]:
        """Return the holder as the certificate spells it; raise ValueError where it cannot be spelt."""
        spelt = [f"ppc://{self.node_id}@{address}?role={self.role}" for address in self.addresses]
        for uri in spelt:
            if not _URI.fullmatch(uri):
                raise ValueError(f"{uri} is no identity: node id, address or role has characters that do not go there")
        return spelt


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was read; nothing says yet that anybody vouches for it."""

    data: bytes
    parsed: x509.Certificate
    public: PublicKey
    holder: Holder | None

    @property
    def serial(self) -> int:
        """Its number, drawn at random."""
        return self.parsed.serial_number

    @property
    def pem(self) -> str:
        """The certificate as files and `auth_credential` carry it."""
        return der.to_pem(LABEL, self.data)

    def serves(self, host: str, port: int) -> bool:
        """Tell whether the holder is at home at an address."""
        addresses = () if self.holder is None else self.holder.addresses
        return any(_same(host, item.host) and item.port in (0, port) for item in addresses)


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues: a CA's certificate and key."""

    certificate: Certificate
    key: PrivateKey


def read(pem: str) -> Certificate:
    """Read one certificate; raise CredentialMalformed or KeyTooWeak."""
    return read_der(der.from_pem(LABEL, pem))


def read_der(data: bytes) -> Certificate:
    """Read one certificate's DER; raise as `read` does."""
    try:
        parsed = x509.load_der_x509_certificate(data)
        key = crypto.load_certificate(crypto.FILETYPE_ASN1, data).get_pubkey()
        spki = crypto.dump_publickey(crypto.FILETYPE_ASN1, key)
        names = _alternative_names(parsed)
    except _UNREADABLE as wrong:
        raise CredentialMalformed("the certificate cannot be read") from wrong
    return Certificate(data, parsed, _public(spki), _holder(names))


def read_all(text: str) -> list[Certificate]:
    """Read every certificate of a file: its holder's first, then those of the CAs between."""
    found = [read(block) for block in _PEM_BLOCK.findall(text)]
    if not found:
        raise CredentialMalformed("the file holds no certificate")
    return found


def root(key: PrivateKey, name: str, days: float, now: dt.datetime) -> Certificate:
    """Return the certificate of a CA, signed by itself."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_key_usage(ca=True), True),
        (x509.SubjectKeyIdentifier(_key_id(key.public)), False),
    ]
    subject = _name(name)
    return read_der(_certificate(key, subject, key.public, subject, (now, days), extensions))


def issue(authority: Authority, public: PublicKey, holder: Holder, days: float, now: dt.datetime) -> Certificate:
    """Return a certificate of a node; raise ValueError where the holder cannot be spelt."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in holder.uris()]
    names += [_general_name(host) for host in dict.fromkeys(address.host for address in holder.addresses)]
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(ca=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.SubjectKeyIdentifier(_key_id(public)), False),
        (x509.AuthorityKeyIdentifier(_key_id(authority.key.public), None, None), False),
    ]
    issuer = authority.certificate.parsed.subject
    return read_der(_certificate(authority.key, issuer, public, _name(holder.node_id), (now, days), extensions))


def revocation_list(
    authority: Authority, revoked: Iterable[tuple[int, dt.datetime]], number: int, days: float, now: dt.datetime
) -> str:
    """Return the PEM of a revocation list (RFC 5280, 5)."""
    entries = b"".join(der.sequence(der.integer(serial), _time(at)) for serial, at in revoked)
    extensions = der.sequence(
        _extension(x509.AuthorityKeyIdentifier(_key_id(authority.key.public), None, None), critical=False),
        _extension(x509.CRLNumber(number), critical=False),
    )
    body = der.sequence(
        der.integer(1),
        _algorithm(authority.key),
        authority.certificate.parsed.subject.public_bytes(),
        _time(now - _BACKDATED),
        _time(now + dt.timedelta(days=days)),
        der.sequence(entries) if entries else b"",
        der.wrap(0xA0, extensions),
    )
    return der.to_pem("X509 CRL", _signed(authority.key, body))


def _certificate(
    key: PrivateKey,
    issuer: x509.Name,
    public: PublicKey,
    subject: x509.Name,
    life: tuple[dt.datetime, float],
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
) -> bytes:
    now, days = life
    body = der.sequence(
        der.wrap(0xA0, der.integer(2)),
        der.integer(secrets.randbits(127) | 1 << 126),
        _algorithm(key),
        issuer.public_bytes(),
        der.sequence(_time(now - _BACKDATED), _time(now + dt.timedelta(days=days))),
        subject.public_bytes(),
        public.spki,
        der.wrap(0xA3, der.sequence(*(_extension(value, critical=critical) for value, critical in extensions))),
    )
    return _signed(key, body)


def _signed(key: PrivateKey, body: bytes) -> bytes:
    raw = key.sign(body)
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    return der.sequence(body, _algorithm(key), der.bits(signature))


def _algorithm(key: PrivateKey) -> bytes:
    return der.sequence(der.oid(_SIGNED_WITH[key.public.auth_type]))


def _extension(value: x509.ExtensionType, *, critical: bool) -> bytes:
    flag = der.wrap(0x01, b"\xff") if critical else b""
    return der.sequence(der.oid(value.oid.dotted_string), flag, der.wrap(0x04, value.public_bytes()))


def _time(moment: dt.datetime) -> bytes:
    text = moment.astimezone(dt.UTC).strftime("%Y%m%d%H%M%SZ")
    return der.wrap(0x17, text[2:].encode()) if moment.year < _CLEAR_TO else der.wrap(0x18, text.encode())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:_NAME_LIMIT])])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _key_id(public: PublicKey) -> bytes:
    return sm2.sm3(public.spki)[:20]


def _public(spki: bytes) -> PublicKey:
    """Return the key of whatever suite it is of."""
    algorithm, curve, _bits = der.read_public(spki)
    if algorithm == der.RSA_KEY:
        auth_type = AuthType.SHA256_RSA
    else:
        auth_type = AuthType.SM3_SM2 if curve == der.SM2_CURVE else AuthType.SHA256_ECDSA
    return PublicKey.from_credential(auth_type, der.to_pem("PUBLIC KEY", spki))


def _alternative_names(parsed: x509.Certificate) -> list[str]:
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _holder(names: Iterable[str]) -> Holder | None:
    """Return whom the names tell of; those of several nodes or roles tell of nobody."""
    found = [match for match in map(_URI.fullmatch, names) if match is not None]
    if len({(match["node"], match["role"]) for match in found}) != 1:
        return None
    addresses = tuple(Address(match["host"].strip("[]"), int(match["port"])) for match in found)
    return Holder(found[0]["node"], found[0]["role"], addresses)


def _same(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one.lower() == other.lower()
