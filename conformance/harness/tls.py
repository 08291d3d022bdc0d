"""TLS as the harness speaks it, with a certificate for each node that it plays (9.1-b, 9.2-a, 9.2-g).

    intl    TLS 1.2 or 1.3, certificates of P-256
    gm      TLS 1.3 of RFC 8998: TLS_SM4_GCM_SM3, certificates of SM2

Guarantees: what is sent in a node's name goes over a connection with that node's certificate, issued when it is first
wanted where the profile gives an issuer, else with the one certificate of the profile; the target's certificate is
demanded in both directions and judged by the profile's CA, and by its revocation list where the profile gives one;
certificates that must not be taken are made on purpose only. Nothing here is shared with the reference node.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from cheroot.errors import FatalSSLAlert
from cheroot.makefile import StreamReader, StreamWriter
from cheroot.ssl import Adapter
from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto
from urllib3.contrib.pyopenssl import PyOpenSSLContext, WrappedSocket
from urllib3.util import wait_for_read, wait_for_write

from conformance.harness import sm2
from conformance.harness.errors import UsageError
from conformance.harness.profile_model import TlsMode, TlsSettings

GATEWAY = "gateway"  # the role of a certificate that serves all the nodes that are played
_DAYS = dt.timedelta(days=2)
_SLACK = dt.timedelta(minutes=5)
BRIEF_SECONDS = 5
_SECONDS = 10.0
_ELSEWHERE = "https://127.0.0.2:1"  # an address at which nobody is played
_STRANGER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A CA that nobody trusts")])
_RECORD = 16 * 1024
# PKCS#8 of an SM2 key as OpenSSL writes it: the private scalar of 32 bytes, then the public point of 64
_KEY_HEAD = bytes.fromhex("308187020100301306072a8648ce3d020106082a811ccf5501822d046d306b0201010420")
_KEY_MIDDLE = bytes.fromhex("a14403420004")
# SubjectPublicKeyInfo and signature algorithm have the same length with P-256 and with SM2
_SM2_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
_SM2_SM3 = bytes.fromhex("300a06082a811ccf55018375")


class Flaw(StrEnum):
    """What is wrong with a certificate that is shown on purpose."""

    NONE = ""
    BARE = "bare"
    EXPIRED = "expired"
    BRIEF = "brief"
    FOREIGN = "foreign"
    ELSEWHERE = "elsewhere"
    REVOKED = "revoked"


class Wardrobe:
    """The certificates of the nodes that are played; `address` is where they say that they serve."""

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self.address = "https://127.0.0.1:0"
        if settings.ca is None or (settings.certificate is None and settings.issuer is None):
            hint = "Give ca, and certificate with key or issuer with issuer_key, in [tls]."
            raise UsageError("[tls] of the profile does not say whom to trust and what to show", hint=hint)
        self._crl = None if settings.crl is None else _list_of(settings.crl)
        self._lock = threading.Lock()
        self._made: dict[tuple[str, ...], tuple[Path, Path]] = {}
        self.lasting = contextlib.ExitStack()  # what others let go of when the run ends
        self._folder = tempfile.TemporaryDirectory(prefix="hutong-tls-")
        try:
            self._issuer = _Issuer(settings, Path(self._folder.name)) if settings.issuer else None
        except BaseException:
            self._folder.cleanup()
            raise

    @property
    def issues(self) -> bool:
        """Whether certificates can be made here, also wrong ones."""
        return self._issuer is not None

    @property
    def revoked(self) -> str:
        """The node of the certificate that the target's revocation list names, "" where the profile gives none."""
        if self.settings.revoked is None or self.settings.revoked_key is None:
            return ""
        parsed = x509.load_pem_x509_certificate(self.settings.revoked.read_bytes())
        return next((identity.node_id for identity in identities(parsed)), "")

    def files(self, node_id: str, role: str = "node", flaw: Flaw = Flaw.NONE, address: str = "") -> tuple[Path, Path]:
        """Return certificate and key with which this node is played, at an address of its own where one is given."""
        if flaw is Flaw.REVOKED and self.settings.revoked and self.settings.revoked_key:
            return self.settings.revoked, self.settings.revoked_key
        if self._issuer is None:
            if self.settings.certificate is None or self.settings.key is None:
                raise UsageError("[tls] certificate comes without key", hint="Give both.")
            return self.settings.certificate, self.settings.key
        with self._lock:
            which = (node_id, role, flaw, address)
            if which not in self._made:
                path = Path(self._folder.name) / f"{len(self._made)}.pem"
                text = self._issuer.issue(node_id, role, address or self.address, flaw)
                path.write_text(text, encoding="ascii")
                self._made[which] = (path, self._issuer.key_file)
            return self._made[which]

    def context(
        self, node_id: str, role: str = "node", *, server: bool = False, flaw: Flaw = Flaw.NONE, address: str = ""
    ) -> SSL.Context:
        """Return what connections of this node are made from."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD if server else SSL.TLS_CLIENT_METHOD)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if self.settings.mode is TlsMode.GM:
            context.set_min_proto_version(SSL.TLS1_3_VERSION)
            context.set_tls13_ciphersuites(b"TLS_SM4_GCM_SM3")
            handle = context._context  # noqa: SLF001  pyOpenSSL has no call for the groups
            Binding().lib.SSL_CTX_set1_curves_list(handle, b"curveSM2:X25519:P-256")
        else:
            context.set_min_proto_version(SSL.TLS1_2_VERSION)
        if flaw is not Flaw.BARE:
            certificate, key = self.files(node_id, role, flaw, address)
            context.use_certificate_chain_file(str(certificate))
            context.use_privatekey_file(str(key))
        context.load_verify_locations(str(self.settings.ca))
        store = context.get_cert_store()
        if self._crl is not None and store is not None:
            store.add_crl(self._crl)
            store.set_flags(crypto.X509StoreFlags.CRL_CHECK)
        demanded = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        context.set_verify(demanded if server else SSL.VERIFY_PEER)
        return context

    def material(self, node_id: str, role: str = "node", address: str = "") -> tuple[bytes, bytes, bytes]:
        """Return CA, key and certificate of a node in PEM, for gRPC, which has a TLS of its own."""
        certificate, key = self.files(node_id, role, address=address)
        ca = self.settings.ca.read_bytes() if self.settings.ca else b""
        return ca, key.read_bytes(), certificate.read_bytes()

    def close(self) -> None:
        """Delete the keys that were made for the run."""
        self.lasting.close()
        self._folder.cleanup()


@dataclass(frozen=True, slots=True)
class Guise:
    """A wardrobe of which one certificate is shown: flawed, or of the node `shown`, or for another `address`."""

    wardrobe: Wardrobe
    flaw: Flaw = Flaw.NONE
    shown: str = ""
    address: str = ""

    def context(self, node_id: str, role: str = "node", *, server: bool = False) -> SSL.Context:
        """Return what connections are made from."""
        who = self.shown or node_id
        return self.wardrobe.context(who, role, server=server, flaw=self.flaw, address=self.address)


@dataclass(frozen=True, slots=True)
class Named:
    """Whom a certificate names: a node in a role at an address; port 0 stands for any."""

    node_id: str
    host: str
    port: int
    role: str


def identities(certificate: x509.Certificate) -> list[Named]:
    """Return everybody whom a certificate names by `ppc://node-id@host:port?role=role` (9.2-a-3)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    found = []
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        parts = urlsplit(uri)
        node_id, at, _ = parts.netloc.rpartition("@")
        if parts.scheme == "ppc" and at and parts.port is not None and parts.query.startswith("role="):
            found.append(Named(node_id, parts.hostname or "", parts.port, parts.query.removeprefix("role=")))
    return found


def _list_of(path: Path) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(path.read_bytes())
    except (OSError, ValueError) as wrong:
        raise UsageError(f"[tls] crl: {path} holds no revocation list", hint="Give a PEM file.") from wrong


class _Issuer:
    """Certifies the nodes that are played, all with one key of the run."""

    def __init__(self, settings: TlsSettings, folder: Path) -> None:
        if settings.issuer is None or settings.issuer_key is None:
            raise UsageError("[tls] issuer comes without issuer_key", hint="Give both, or certificate and key.")
        self._national = settings.mode is TlsMode.GM
        self._certificate = x509.load_pem_x509_certificate(settings.issuer.read_bytes())
        self._secret = settings.issuer_key.read_bytes()
        self._stand_in = ec.generate_private_key(ec.SECP256R1())
        self._point, self._scalar = sm2.engine().generate()
        encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        own = self._stand_in.private_bytes(*encoding)
        if self._national:
            own = _pem("PRIVATE KEY", _KEY_HEAD + self._scalar + _KEY_MIDDLE + self._point).encode()
            self._private, self._public = _sm2_pair(self._secret, str(settings.issuer_key))
        self.key_file = folder / "key.pem"
        with os.fdopen(os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(own)

    def issue(self, node_id: str, role: str, address: str, flaw: Flaw) -> str:
        """Return the certificate of one node in PEM; one of another CA is signed with the node's own key."""
        builder = self._draft(node_id, role, _ELSEWHERE if flaw is Flaw.ELSEWHERE else address, flaw)
        own = flaw is Flaw.FOREIGN
        if not self._national:
            signer = self._stand_in if own else serialization.load_pem_private_key(self._secret, password=None)
            if not isinstance(signer, ec.EllipticCurvePrivateKey):
                raise UsageError("[tls] issuer_key is no key on P-256", hint="Give the key of the issuer.")
            return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        draft = builder.sign(self._stand_in, hashes.SHA256())
        kind = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        spki = self._stand_in.public_key().public_bytes(*kind)
        body = draft.tbs_certificate_bytes.replace(spki, _SM2_SPKI + self._point).replace(_ECDSA, _SM2_SM3, 1)
        pair = (self._scalar, self._point) if own else (self._private, self._public)
        raw = sm2.engine().sign(*pair, body)
        signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        bits = bytes([0x03, len(signature) + 1, 0]) + signature
        content = body + _SM2_SM3 + bits
        return _pem("CERTIFICATE", b"\x30\x82" + len(content).to_bytes(2) + content)

    def _draft(self, node_id: str, role: str, address: str, flaw: Flaw) -> x509.CertificateBuilder:
        parts = urlsplit(address)
        host, now = parts.hostname or "", dt.datetime.now(dt.UTC)
        names = [x509.UniformResourceIdentifier(f"ppc://{node_id}@{parts.netloc}?role={role}"), _general(host)]
        ends = now + {Flaw.EXPIRED: -_SLACK, Flaw.BRIEF: dt.timedelta(seconds=BRIEF_SECONDS)}.get(flaw, _DAYS)
        issuer = _STRANGER if flaw is Flaw.FOREIGN else self._certificate.subject
        issuer_key = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node_id[:64])]))
            .issuer_name(issuer)
            .public_key(self._stand_in.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - _DAYS - _SLACK)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier(issuer_key, None, None), critical=False)
        )


class NodeAdapter(requests.adapters.HTTPAdapter):
    """Carries requests to the target in the name of one node."""

    def __init__(self, wardrobe: Wardrobe | Guise, node_id: str, pool_maxsize: int) -> None:
        self._context = _Context(wardrobe.context(node_id))
        super().__init__(pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools with the node's context."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave it to the context: the profile says whom to trust."""


class _Context(PyOpenSSLContext):
    """A context that was made elsewhere and stays as it is; host names are compared by urllib3."""

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(ssl.PROTOCOL_TLS_CLIENT)
        self._ctx = context

    @property
    def verify_mode(self) -> int:
        """The target's certificate is demanded."""
        return ssl.CERT_REQUIRED

    @verify_mode.setter
    def verify_mode(self, _value: int) -> None:
        """It is so from the beginning; a context in use cannot be changed."""

    def set_alpn_protocols(self, protocols: list[bytes | str]) -> None:
        """HTTP/1.1 is all that is spoken."""


def wrapped(wardrobe: Wardrobe | Guise, node_id: str, sock: Any, host: str) -> Any:
    """Shake hands on a socket in the name of one node; return it secured, with the methods of a socket."""
    return _Context(wardrobe.context(node_id)).wrap_socket(sock, server_hostname=host)


class ServerAdapter(Adapter):
    """What cheroot asks for secured sockets of the receiver."""

    def __init__(self, context: Callable[[], SSL.Context]) -> None:
        super().__init__(None, None)
        self._make = context
        self._lock = threading.Lock()
        self._made: SSL.Context | None = None

    def bind(self, sock: Any) -> Any:
        """Leave the listening socket as it is."""
        return sock

    def wrap(self, sock: Any) -> tuple[WrappedSocket, dict[str, Any]]:
        """Return a socket whose handshake is still to come."""
        with self._lock:
            self._made = self._made or self._make()
        return _Served(self._made, sock), self.get_environ()

    def get_environ(self) -> dict[str, Any]:
        """Return what requests find in their environment."""
        return {"wsgi.url_scheme": "https"}

    def makefile(self, sock: Any, mode: str = "r", bufsize: int = -1) -> StreamReader | StreamWriter:
        """Return a reader or a writer."""
        return StreamReader(sock, mode, bufsize) if "r" in mode else StreamWriter(sock, mode, bufsize)


class _Served(WrappedSocket):
    """A connection of the target's; the thread that serves it shakes hands."""

    def __init__(self, context: SSL.Context, sock: Any) -> None:
        connection = SSL.Connection(context, sock)
        connection.set_accept_state()
        super().__init__(connection, sock)
        self._shaken = False

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        try:
            if not self._shaken:
                self._shake()
            return super().recv_into(*args, **kwargs)
        except (SSL.Error, ssl.SSLError) as lost:
            raise FatalSSLAlert(str(lost)) from lost

    def send(self, data: bytes) -> int:
        try:
            return self._send_until_done(data[:_RECORD])
        except (SSL.Error, ssl.SSLError) as lost:
            raise FatalSSLAlert(str(lost)) from lost

    def shutdown(self, how: int) -> None:
        with contextlib.suppress(SSL.Error):
            self.connection.shutdown()
        self.socket.shutdown(how)

    def _shake(self) -> None:
        until = time.monotonic() + _SECONDS
        while not self._shaken:
            left = max(0.0, until - time.monotonic())
            try:
                self.connection.do_handshake()
                self._shaken = True
            except SSL.WantReadError:
                in_time = wait_for_read(self.socket, left)
            except SSL.WantWriteError:
                in_time = wait_for_write(self.socket, left)
            if not self._shaken and not in_time:
                raise TimeoutError("timed out")


def _sm2_pair(pem: bytes, where: str) -> tuple[bytes, bytes]:
    """Return private scalar and public point of an SM2 key file."""
    try:
        point, private = sm2.pair_from_pem(pem.decode("ascii"))
    except ValueError as wrong:
        raise UsageError(f"{where} is no SM2 key: {wrong}", hint="Give the key of the issuer.") from wrong
    return private, point


def _pem(label: str, data: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(data).replace("CERTIFICATE", label)


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
